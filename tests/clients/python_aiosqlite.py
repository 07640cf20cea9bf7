"""aiosqlite: Python's sqlite3 in a thread, for asyncio. Its settings are as there."""
# mypy: disable-error-code="import-not-found"

import asyncio
import sqlite3

import aiosqlite

from tests.clients.steps import MODE, PRIMARY, REPLICA, check_rows, follow, said, tell

SETTINGS = ("busy_timeout=5000", "journal_mode=wal", "synchronous=normal", "foreign_keys=on")


async def first(db: aiosqlite.Connection, sql: str) -> object:
    async with db.execute(sql) as cursor:
        row = await cursor.fetchone()
        return row[0] if row else None


async def write(path: str) -> None:
    async with aiosqlite.connect(path) as db:
        await db.execute("INSERT INTO t VALUES (1)")
        await db.commit()


async def make() -> None:
    async with aiosqlite.connect(PRIMARY) as db:
        await db.execute(f"PRAGMA journal_mode={MODE}")
        await db.execute("CREATE TABLE t (x)")
    await write(PRIMARY)


async def look() -> tuple[object, object]:
    async with aiosqlite.connect(REPLICA) as db:
        return await first(db, "SELECT count(*) FROM t"), await first(db, "PRAGMA busy_timeout")


async def settled() -> None:
    async with aiosqlite.connect(REPLICA) as db:
        for setting in SETTINGS:
            await db.execute(f"PRAGMA {setting}")
        check_rows(await first(db, "SELECT count(*) FROM t"), 1)
        await write(PRIMARY)
        follow()
        check_rows(await first(db, "SELECT count(*) FROM t"), 2)


asyncio.run(make())
follow()
read, timeout = asyncio.run(look())
tell(
    read=read,
    timeout=timeout,
    refused=said(lambda: asyncio.run(write(REPLICA))),
    settings=said(lambda: asyncio.run(settled())) or "ok",
    sqlite=sqlite3.sqlite_version,
)
