"""`pylitefs export` and `pylitefs import`: a whole database out of a node and into one.

The rule: a file appears under its name only once it is whole, and an import is one transaction: either
the database is the file, on every node, or nothing happened.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from pylitefs.errors import PylitefsError, SqliteFormatError
from pylitefs.http import client
from pylitefs.shown import shown

_NAME = click.option("--name", "-name", required=True, metavar="DB", help="The database's name in the mount.")
_URL = click.option("--url", "-url", default=client.DEFAULT_URL, show_default=True, help="The node's API.")
_PATH = click.argument("path", type=click.Path(path_type=Path, dir_okay=False))

_SQLITE_MAGIC = b"SQLite format 3\0"


@click.command("export", short_help="Write a node's database to a file.")
@_NAME
@_URL
@_PATH
def export_command(name: str, url: str, path: Path) -> None:
    """Write the database DB of a node, as it is after its last transaction, to the file PATH."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as out, _progress(f"export {name}") as progress:
            size = client.export(url, name, out, progress)
        os.replace(temporary, path)
    except OSError as error:
        raise PylitefsError(f"{path}: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)
    click.echo(shown(f"{name}: {size:,} bytes written to {path}"))


@click.command("import", short_help="Make a SQLite file a database of the cluster.")
@_NAME
@_URL
@_PATH
def import_command(name: str, url: str, path: Path) -> None:
    """Have the SQLite file PATH replace the database DB of the cluster, as one transaction.

    The node must be the primary. The file must be a whole database without a WAL or journal beside it.
    """
    try:
        with path.open("rb") as source, _progress(f"import {name}") as progress:
            size = os.fstat(source.fileno()).st_size
            _check(path, source.read(len(_SQLITE_MAGIC)))
            source.seek(0)
            client.import_(url, name, source, progress, size=size)
    except OSError as error:
        raise PylitefsError(f"{path}: {error.strerror}") from None
    click.echo(shown(f"{name}: {size:,} bytes read from {path}"))


def _check(path: Path, start: bytes) -> None:
    """Refuse here what would be a surprise there: no database, or one whose commits are beside it."""
    if start != _SQLITE_MAGIC:
        raise SqliteFormatError(f"{path} is not a SQLite database")
    for suffix in ("-wal", "-journal"):
        beside = path.with_name(path.name + suffix)
        if beside.exists() and beside.stat().st_size:
            raise SqliteFormatError(
                f"{beside} holds what {path} alone does not: close the database's users, "
                f'or import a copy made with sqlite3 {path} ".backup COPY"'
            )


@contextlib.contextmanager
def _progress(what: str) -> Iterator[client.Progress]:
    """A bar for a person at a terminal, nothing otherwise."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(shown(what), total=None)

        def update(done: int, size: int | None) -> None:
            bar.update(task, completed=done, total=size)

        yield update
