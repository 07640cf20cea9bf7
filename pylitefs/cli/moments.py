"""What commands share that look at a database as it was: where its history lies, and which TXIDs are meant.

The rule: a person gives the path that they know. That is a directory with LTX files, the database in a node's
data directory or in its mount, or a database that Litestream copies.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from pylitefs.errors import RestoreError
from pylitefs.ltx.timeline import Timeline, open_timeline

SOURCE = click.argument("source", type=click.Path(path_type=Path))
URL = click.option(
    "--url", "-url", default="http://localhost:20202", show_default=True,
    help="The node's API, where SOURCE is in a mount.",
)  # fmt: skip
_SPAN = re.compile(r"([0-9a-fA-F]{0,16})(\.\.)?([0-9a-fA-F]{0,16})")


def find_source(path: Path, url: str) -> Path:
    """The directory with the LTX files of what is at `path`. Raises RestoreError, RemoteError."""
    if path.is_dir():
        return path
    if path.name == "database" and (path.parent / "ltx").is_dir():
        return path.parent
    beside = path.with_name(f".{path.name}-litestream")
    if beside.is_dir():
        return beside
    if path.with_name(f"{path.name}-pos").exists():  # The mount says a position of each of its databases.
        from pylitefs.http.client import data_dir  # Here: of the others nobody needs HTTP.

        found = data_dir(url) / "dbs" / path.name
        if not found.is_dir():
            raise RestoreError(
                f"the node at {url} keeps its data in {found.parents[1]}, and no {path.name} is there: "
                "is it the node of that mount, and on this machine? Give --url, or its dbs/DB"
            )
        return found
    raise RestoreError(
        f"{path} has no LTX files: give a node's dbs/DB, a database in a mount, a file backup's directory, "
        "or a replica directory of Litestream 0.5"
    )


@contextmanager
def open_moments(path: Path, url: str, first: int | None = None) -> Iterator[Timeline]:
    """The states of the database at `path`."""
    with open_timeline(find_source(path, url), first) as timeline:
        yield timeline


def parse_span(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int | None, int]:
    """A..B, or T for what one transaction changed: then the first is None."""
    found = _SPAN.fullmatch(value)
    if found is None or not (found[3] if found[2] else found[1]):
        raise click.BadParameter(f"{value!r} is no TXID and no span A..B: give hex, as `history` has them")
    if not found[2]:
        return None, int(found[1], 16)
    first, last = int(found[1] or "0", 16), int(found[3], 16)
    if first >= last:
        raise click.BadParameter(
            f"{value!r} goes back: give the older TXID first, and --undo for the way back"
        )
    return first, last
