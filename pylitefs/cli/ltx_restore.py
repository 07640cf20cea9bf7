"""`pylitefs ltx restore` and `compact`: a database as it was, or one LTX file, from many.

The rule: what would be done can be seen before (`--dry-run`), and OUT is whole or not there.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from pylitefs.cli.ltx_output import bytes_progress, file_progress, one_line, print_table
from pylitefs.errors import BusyError, LtxChecksumError, RestoreError
from pylitefs.ltx.apply import verify_path
from pylitefs.ltx.compaction import compact_files
from pylitefs.ltx.formats import Format
from pylitefs.ltx.header import format_txid
from pylitefs.ltx.parts import time_text
from pylitefs.ltx.plan import Plan, count
from pylitefs.ltx.restore import Base, Restored, planned_bytes, restore_files
from pylitefs.ltx.source import open_source, plan_source

_TRIES = 3
"""A file may go while its plan is made or followed: retention and compaction go on. Then all begins anew."""


def parse_txid(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """A TXID as it is shown everywhere: in hex, 16 digits or without the zeros at their front."""
    if value is None:
        return None
    try:
        found = int(value, 16)
    except ValueError:
        found = 0
    if not 0 < found < 2**64:
        raise click.BadParameter(f"{value!r} is no TXID: give its hex digits, as `ltx list` shows them")
    return found


def parse_time(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """A moment as ISO 8601, UTC where it names no zone: milliseconds since 1970, rounded up."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no time: write it like 2026-11-27T16:30:00Z") from None
    since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return -(-since // timedelta(milliseconds=1))


@click.command(short_help="Write a database as it was at a TXID or a time.")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The database file to write.")
@click.option(
    "--txid", callback=parse_txid, help="As it was after this transaction (hex, as `list` shows it)."
)
@click.option("--time", "before_ms", callback=parse_time, help="As it was just before: 2026-11-27T16:30:00Z.")
@click.option("--dry-run", is_flag=True, help="Show which files would be read, and why; write nothing.")
def restore(
    source: Path, output: Path | None, txid: int | None, before_ms: int | None, dry_run: bool
) -> None:
    """Write a database as it was, from the LTX files in SOURCE.

    SOURCE is a node's dbs/DB, a directory of a LiteFS file backup, or a replica directory of Litestream 0.5
    (what lies in S3 or elsewhere: copy it into a directory first). Without --txid and --time it is the newest
    state. Which files are read is decided as Litestream does. OUTPUT must not exist.
    """
    if txid is not None and before_ms is not None:
        raise click.UsageError("--txid and --time exclude each other")
    if output is None and not dry_run:
        raise click.UsageError("say where to with -o OUTPUT, or use --dry-run")
    with one_line(source):
        if dry_run:
            _show(source, plan_source(open_source(source), txid=txid, before_ms=before_ms))
            return
        assert output is not None
        plan, restored = _restored(source, output, txid, before_ms)
    _warn(plan)
    click.echo(
        f"{output}: as it was after {format_txid(restored.txid)} "
        f"({restored.size:,} bytes, from {restored.files_read} of {len(plan.steps)} files)"
    )


def restored_to(source: Path, output: Path, txid: int | None, before_ms: int | None) -> Restored:
    """Write the database at `source` as it was to `output`, checked as far as its files allow."""
    return _restored(source, output, txid, before_ms)[1]


def _restored(source: Path, output: Path, txid: int | None, before_ms: int | None) -> tuple[Plan, Restored]:
    for left in reversed(range(_TRIES)):
        found = open_source(source)
        plan = plan_source(found, txid=txid, before_ms=before_ms)
        files = [step.file for step in plan.steps]
        base = None
        if plan.later is not None and found.database is not None:
            base = Base(found.database, plan.later)
        try:
            with bytes_progress("restore", planned_bytes(files)) as on_bytes:
                return plan, restore_files(files, output, base=base, on_bytes=on_bytes)
        except FileNotFoundError as error:
            if not left or not output.parent.is_dir():
                raise
            gone: Exception = error
        except (BusyError, LtxChecksumError) as error:
            if not left or base is None:
                raise
            gone = error
    raise RestoreError(f"files change while they are read: {gone}")


def _show(source: Path, plan: Plan) -> None:
    click.echo(f"{source} is {open_source(source).kind}")
    print_table(
        ("step", "level", "TXIDs", "time", "bytes", "why"),
        [
            (
                str(number),
                str(step.file.level),
                step.file.span,
                time_text(step.file.time_ms),
                str(step.file.size),
                step.reason,
            )
            for number, step in enumerate(plan.steps, 1)
        ],
    )
    _warn(plan)
    size = sum(step.file.size for step in plan.steps)
    click.echo(f"leads to {format_txid(plan.txid)}, {size:,} bytes to read")
    if plan.later is not None:
        after = f", nor any of the {len(plan.later)} later files" if plan.later else ""
        click.echo(f"and from the database as it is now all pages that none of these changed{after}")


def _warn(plan: Plan) -> None:
    if plan.unreached:
        first = plan.unreached[0]
        click.echo(
            f"{count(len(plan.unreached), 'file')} cannot be reached: TXIDs {format_txid(plan.txid + 1)}-"
            f"{format_txid(first.min_txid - 1)} are missing before {first.span} of level {first.level}",
            err=True,
        )


@click.command(short_help="Merge LTX files into one.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The LTX file to write.")
@click.option(
    "--format",
    "form",
    type=click.Choice([Format.V1.value, Format.V3B.value]),
    help="v1 as LiteFS has it, or v3b as Litestream does; v1 if not said, where the files have checksums.",
)
@click.option("--compress/--no-compress", default=True, show_default=True, help="LZ4 or plain, in v1.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
def compact(output: Path, form: str | None, compress: bool, files: tuple[Path, ...]) -> None:
    """Merge LTX files, oldest first, into one that does the same: of each page it has the newest.

    The files must follow each other without a gap. With --format v3b the result fits into a Litestream
    replica, as the file of a higher level or, from TXID 1, as a snapshot.
    """
    _allow_many_files()
    with one_line(files[0]), file_progress(files) as on_page:
        compact_files(files, output, compress=compress, form=Format(form) if form else None, on_page=on_page)
        verified = verify_path(output, any_format=True)
    header = verified.header
    click.echo(
        f"{output}: {format_txid(header.min_txid)}-{format_txid(header.max_txid)}, "
        f"{verified.page_count} pages from {len(files)} files"
    )


def _allow_many_files() -> None:
    """Each file that is merged is open: take all descriptors that the system allows, where it has a limit."""
    try:
        from pylitefs.limits import raise_open_files

        raise_open_files()
    except ImportError:
        pass
