"""`pylitefs sql` and `pylitefs fork`: a database as it was, asked, or made a database of its own.

The rule: nothing is changed at the source. A question reads the pages that it needs, through a small mount of
this process's own; where there is no FUSE, the database is restored into a temporary file first, and that is
said. A fork is restored and checked as a whole before the node sees any of it.
"""

import csv
import json
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import click

from pylitefs.cli.ltx_output import one_line, print_table
from pylitefs.cli.ltx_restore import parse_time, parse_txid, restored_to
from pylitefs.cli.moments import SOURCE, URL, find_source, open_moments
from pylitefs.errors import MountError, PylitefsError, RestoreError
from pylitefs.ltx.header import format_txid
from pylitefs.ltx.source import open_source, plan_source
from pylitefs.rows.literals import json_value, shown_value
from pylitefs.shown import shown

_TXID = click.option("--txid", callback=parse_txid, help="As it was after this transaction (hex).")
_TIME = click.option(
    "--time", "before_ms", callback=parse_time, help="As it was just before: 2026-11-27T16:30:00Z."
)


@click.command("sql", short_help="Ask a database as it was a question in SQL.")
@SOURCE
@click.argument("question", metavar="SQL")
@URL
@_TXID
@_TIME
@click.option("--json", "form", flag_value="json", help="One JSON object a row.")
@click.option("--csv", "form", flag_value="csv", help="CSV with a head.")
def sql_command(
    source: Path, question: str, *, url: str, txid: int | None, before_ms: int | None, form: str | None
) -> None:
    """Run SQL on a database as it was, for reading, without restoring it.

    SOURCE is what `history` takes. Without --txid and --time it is the newest state. The pages that SQLite
    asks for come from the LTX files one by one, through a mount of this process's own.
    """
    with one_line(source), _opened(source, url, txid, before_ms) as (path, why):
        uri = f"file:{quote(str(path))}?mode=ro&immutable=1"
        try:
            with closing(sqlite3.connect(uri, uri=True)) as db:
                cursor = db.execute(question)
                names = [one[0] for one in cursor.description or ()]
                _print(names, cursor, form)
        except sqlite3.Error as error:
            raise RestoreError(f"{why() or error}") from error


@click.command("fork", short_help="Make a database as it was a new one of the cluster.")
@SOURCE
@click.argument("name", metavar="NEWNAME")
@URL
@_TXID
@_TIME
def fork_command(source: Path, name: str, *, url: str, txid: int | None, before_ms: int | None) -> None:
    """Give the cluster a new database NEWNAME that is SOURCE as it was, as one transaction.

    SOURCE is what `history` takes; the node at --url, the primary, gets the database.
    """
    from pylitefs.http import client

    with one_line(source):
        found = find_source(source, url)
        if any(facts.exists for known, facts in client.databases(url).items() if known == name):
            raise RestoreError(f"{name} is there already: give a name that is not, or remove it first")
        with tempfile.TemporaryDirectory(prefix="pylitefs-fork-") as folder:
            path = Path(folder) / "database"
            restored = restored_to(found, path, txid, before_ms)
            with path.open("rb") as file:
                client.import_(url, name, file, size=restored.size)
    click.echo(
        shown(f"{name}: {source} as it was after {format_txid(restored.txid)} ({restored.size:,} bytes)")
    )


@contextmanager
def _opened(
    source: Path, url: str, txid: int | None, before_ms: int | None
) -> Iterator[tuple[Path, Callable[[], str]]]:
    """A path at which SQLite finds the database, and why a read failed, if one did."""
    if txid is not None and before_ms is not None:
        raise click.UsageError("--txid and --time exclude each other")
    found = find_source(source, url)
    wanted = plan_source(open_source(found), txid=txid, before_ms=before_ms).txid
    try:
        from pylitefs.mount import requirements

        requirements.check(allow_other=False)
    except (ImportError, MountError) as error:
        click.echo(f"no FUSE here ({error}): restored as a whole into a temporary file", err=True)
        with tempfile.TemporaryDirectory(prefix="pylitefs-sql-") as folder:
            path = Path(folder) / "database"
            restored_to(found, path, wanted, None)
            yield path, lambda: ""
        return
    with open_moments(found, url, wanted) as timeline:
        moment, lock = timeline.moment(wanted), threading.Lock()

        def read(offset: int, size: int) -> bytes:
            with lock:
                return moment.read(offset, size)

        with _mounted(moment.size, read) as found_at:
            yield found_at


@contextmanager
def _mounted(size: int, read: Callable[[int, int], bytes]) -> Iterator[tuple[Path, Callable[[], str]]]:
    """The database as the one file of a mount."""
    from pylitefs.mount.one_file import OneFileOperations
    from pylitefs.mount.session import MountSession

    served = OneFileOperations("database", size, read)

    def why() -> str:
        return str(served.failure) if isinstance(served.failure, PylitefsError) else ""

    with tempfile.TemporaryDirectory(prefix="pylitefs-moment-") as folder:
        session = MountSession(served, Path(folder) / "mount", fsname="pylitefs-moment")
        session.start()
        try:
            yield session.mount_dir / "database", why
        finally:
            session.stop()


def _print(names: list[str], rows: sqlite3.Cursor, form: str | None) -> None:
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        for row in rows:
            writer.writerow([f"x'{one.hex()}'" if isinstance(one, bytes) else one for one in row])
    elif form == "json":
        for row in rows:
            values = [json_value(one, "utf-8") for one in row]
            click.echo(json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False))
    else:
        lines = [tuple(_cell(one) for one in row) for row in rows]
        print_table([shown(one) for one in names], lines)


def _cell(value: object) -> str:
    return shown(value) if isinstance(value, str) else shown_value(value)
