"""Datasette: its pages read, plugins write by `execute_write`. It has no settings for a connection."""
# mypy: disable-error-code="import-not-found,import-untyped"

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

from datasette.app import Datasette

from tests.clients.steps import MODE, PRIMARY, REPLICA, check_rows, follow, named, tell


def database(datasette: Datasette) -> Any:
    return datasette.get_database(Path(REPLICA).stem)


async def rows(datasette: Datasette) -> int:
    """As a browser asks for them."""
    answer = await datasette.client.get(f"/{Path(REPLICA).stem}/t.json?_shape=array")
    return len(answer.json())


async def write(datasette: Datasette, sql: str = "INSERT INTO t VALUES (1)") -> None:
    await database(datasette).execute_write(sql)


async def run() -> None:
    primary, replica = Datasette([PRIMARY]), Datasette([REPLICA])
    await primary.invoke_startup()
    await write(primary, f"PRAGMA journal_mode={MODE}")
    await write(primary, "CREATE TABLE t (x)")
    await write(primary)
    follow()
    await replica.invoke_startup()
    check_rows(await rows(replica), 1)
    timeout = (await database(replica).execute("PRAGMA busy_timeout")).first()[0]
    refused = ""
    try:
        await write(replica)
    except Exception as error:
        refused = named(error)
    await write(primary)
    follow()
    check_rows(await rows(replica), 2)
    tell(read=1, timeout=timeout, refused=refused, settings="ok", sqlite=sqlite3.sqlite_version)


asyncio.run(run())
