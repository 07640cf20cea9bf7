"""`pylitefs ltx verify`: LTX files one by one, or directories of them as the history that they are.

The rule: a line on stderr for each fault, with its file, its TXIDs and what it means for a restore; exit 1 if
there is any. Nothing is changed.
"""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import click

from pylitefs.cli.ltx_output import bytes_progress, error_text, file_progress
from pylitefs.errors import HistoryGoneError, PylitefsError
from pylitefs.ltx.apply import VerifiedLtx, verify_path
from pylitefs.ltx.audit import audit
from pylitefs.ltx.header import format_txid
from pylitefs.ltx.restore import Base, read_header, restore_files
from pylitefs.ltx.source import Source, open_source, plan_source


@click.command(short_help="Check LTX files, or a directory of them.")
@click.argument("files", metavar="FILE|DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--deep", is_flag=True, help="Of a directory: restore every state and have SQLite check it.")
def verify(files: tuple[Path, ...], deep: bool) -> None:
    """Check every byte of LTX files against their checksums and the rules of the format.

    A directory (a node's dbs/DB, a LiteFS file backup's, a replica directory of Litestream 0.5) is checked as
    a history: gaps between its files, holes in their pages, levels that disagree. Each fault says what it
    means for a restore.
    """
    bad = False
    for path in files:
        if path.is_dir():
            bad |= not _verify_directory(path, deep)
    plain = tuple(path for path in files if not path.is_dir())
    for one in each_file(plain):
        snapshot = " (snapshot)" if one.header.is_snapshot else ""
        checksum = f", checksum after it {one.trailer.post_apply_checksum:016x}" * one.header.has_checksums
        click.echo(f"{one.path}: ok, {one.page_count} pages{checksum}{snapshot}")
    if bad:
        raise click.exceptions.Exit(1)


def each_file(files: tuple[Path, ...], *, any_format: bool = True) -> Iterator[VerifiedLtx]:
    """Each good file, verified; a line on stderr for each bad one, and exit 1 at the end if there was any."""
    bad = False
    with file_progress(files) as on_page:
        for file in files:
            try:
                verified = verify_path(file, on_page, any_format=any_format)
            except (PylitefsError, OSError) as error:
                bad = True
                click.echo(error_text(file, error), err=True)
            else:
                yield verified
    if bad:
        raise click.exceptions.Exit(1)


def _verify_directory(path: Path, deep: bool) -> bool:
    """Whether nothing is wrong with it; what is, is told."""
    try:
        source = open_source(path)
        with bytes_progress("verify", sum(file.size for file in source.files)) as on_bytes:
            faults = audit(source.files, on_bytes, has_database=source.database is not None).faults
    except (PylitefsError, OSError) as error:
        click.echo(error_text(path, error), err=True)
        return False
    for fault in faults:
        click.echo(str(fault), err=True)
    states = sorted({file.max_txid for file in source.files})
    deep_faults = list(_deep(source, states)) if deep else []
    for text in deep_faults:
        click.echo(f"{path}: {text}", err=True)
    count = len(faults) + len(deep_faults)
    said = f"{count} fault{'s' if count > 1 else ''}" if count else "ok"
    click.echo(
        f"{path}: {said}; {source.kind}, {len(source.files)} files, "
        f"TXIDs {format_txid(min(file.min_txid for file in source.files))}-{format_txid(states[-1])}"
        + (f", {len(states)} states restored and checked" if deep and not deep_faults else "")
    )
    return not count


def _deep(source: Source, states: list[int]) -> Iterator[str]:
    """What is wrong with the states, each restored."""
    with tempfile.TemporaryDirectory(prefix="pylitefs-verify-") as folder:
        out = Path(folder) / "state.db"
        for txid in states:
            try:
                plan = plan_source(source, txid=txid)
                files = [step.file for step in plan.steps]
                if read_header(files[-1]).commit == 0:
                    continue  # The transaction dropped the database.
                base = None
                if plan.later is not None and source.database is not None:
                    base = Base(source.database, plan.later)
                restore_files(files, out, base=base)
            except HistoryGoneError:
                continue  # Retention took what it needs, as it should.
            except PylitefsError as error:
                yield f"the state after {format_txid(txid)} cannot be restored: {error}"
                continue
            wrong = _integrity(out)
            if wrong:
                yield f"the state after {format_txid(txid)} is damaged: {wrong}"
            out.unlink()


def _integrity(path: Path) -> str:
    """What SQLite's integrity_check has against it; "" if nothing. What it needs of the application (a
    function, a collation) cannot be checked here: then it is what is damaged that counts alone."""
    uri = f"file:{quote(str(path))}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as db:
            db.execute("PRAGMA trusted_schema=OFF")
            [(text,)] = db.execute("PRAGMA integrity_check(1)").fetchall()
            return "" if text == "ok" else " ".join(str(text).split())
    except sqlite3.Error:
        from pylitefs.store.content import objection  # Here: it needs what only Unix has.

        return objection(path)
