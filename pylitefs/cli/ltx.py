"""`pylitefs ltx`: look at LTX files, check them, and apply them to a database that nobody uses.

The rule: a command says one line for each bad file on stderr, goes on with the others, and exits 1.
`apply` and `encode-db` change nothing at all unless everything they were given is good.
"""

import json
from pathlib import Path

import click

from pylitefs.cli.ltx_diff import diff
from pylitefs.cli.ltx_output import (
    file_progress,
    one_line,
    page_ranges,
    print_hex,
    print_table,
)
from pylitefs.cli.ltx_restore import compact, restore
from pylitefs.cli.ltx_verify import each_file, verify
from pylitefs.ltx.apply import VerifiedLtx, apply_verified
from pylitefs.ltx.database import database_checksum, encode_database
from pylitefs.ltx.decoder import open_ltx
from pylitefs.ltx.header import Header, Trailer
from pylitefs.ltx.parts import flags_text, header_fields, time_text

FILES = click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))


@click.group()
def ltx() -> None:
    """Verify, list, dump, apply, make and restore from LTX files."""


ltx.add_command(verify)
ltx.add_command(restore)
ltx.add_command(compact)
ltx.add_command(diff)


@ltx.command("list")
@FILES
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
def list_files(files: tuple[Path, ...], as_json: bool) -> None:
    """Show the headers and trailers of LTX files, one line a file."""
    rows = []
    try:
        for one in each_file(files):
            if as_json:
                click.echo(json.dumps(_facts(one.path, one.header, one.trailer)))
            else:
                rows.append(_row(one))
    finally:  # Also when a bad one among them ends this with exit 1.
        if rows:
            print_table(_COLUMNS, rows)


@ltx.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--hex", "as_hex", is_flag=True, help="Every byte, with its meaning.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def dump(file: Path, as_hex: bool, as_json: bool) -> None:
    """Show all fields and page numbers of an LTX file.

    With --hex also a damaged file is shown as far as it can be read; what is wrong with it comes last.
    """
    if as_hex and as_json:
        raise click.UsageError("--hex and --json exclude each other")
    with one_line(file):
        if as_hex:
            print_hex(file)
        pgnos: list[int] = []
        with open_ltx(file, any_format=True) as decoder, file_progress([file]) as on_page:
            for pgno, page in decoder.pages():
                pgnos.append(pgno)
                on_page(pgno, page)
        header, trailer = decoder.header, decoder.trailer
        if as_json:
            click.echo(json.dumps({**_facts(file, header, trailer), "pages": pgnos}))
        elif not as_hex:
            print_table(("field", "value"), _fields(file, header, trailer, pgnos))


@ltx.command()
@click.option("--db", "database", required=True, type=click.Path(path_type=Path), help="The database file.")
@FILES
def apply(database: Path, files: tuple[Path, ...]) -> None:
    """Apply LTX files, in the order given, to a database that nobody uses.

    All files and positions are checked first, and the database changes by one rename: whatever goes
    wrong, it is as it was. A snapshot (min TXID 1) replaces it.
    """
    verified = list(each_file(files, any_format=False))
    with one_line(database), file_progress(files) as on_page:
        pos = apply_verified(database, verified, on_page=on_page)
    click.echo(f"{database}: {len(files)} applied, now at {pos}")


@ltx.command()
@click.argument("database", metavar="DB", type=click.Path(path_type=Path))
def checksum(database: Path) -> None:
    """Print the checksum of a database, as SQLite would read it now, with its WAL."""
    with one_line(database), file_progress([database]) as on_page:
        value = database_checksum(database, on_page=on_page)
    click.echo(f"{value:016x}")


@ltx.command("encode-db")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The LTX file to write.")
@click.option("--compress/--no-compress", default=True, show_default=True, help="LZ4 or plain.")
@click.argument("database", metavar="DB", type=click.Path(path_type=Path))
def encode_db(output: Path, compress: bool, database: Path) -> None:
    """Write a whole database as a snapshot LTX file with TXID 1."""
    with one_line(database), file_progress([database]) as on_page:
        trailer = encode_database(database, output, compress=compress, on_page=on_page)
    click.echo(f"{output}: checksum {trailer.post_apply_checksum:016x}")


_COLUMNS = (
    "min TXID", "max TXID", "commit", "pages", "pre-apply", "post-apply", "timestamp", "node", "WAL", "flags",
)  # fmt: skip


def _row(verified: VerifiedLtx) -> tuple[str, ...]:
    header, trailer = verified.header, verified.trailer
    wal = f"{header.wal_offset}+{header.wal_size}" if header.wal_offset else "-"
    return (
        f"{header.min_txid:016x}",
        f"{header.max_txid:016x}",
        str(header.commit),
        str(verified.page_count),
        f"{header.pre_apply_checksum:016x}",
        f"{trailer.post_apply_checksum:016x}",
        time_text(header.timestamp_ms),
        f"{header.node_id:016X}",
        wal,
        flags_text(header.flags),
    )


def _fields(file: Path, header: Header, trailer: Trailer, pgnos: list[int]) -> list[tuple[str, str]]:
    rows = [("file", f"{file} ({file.stat().st_size} bytes)")]
    rows += [(name, meaning) for name, _, meaning in header_fields(header) if name != "reserved"]
    rows.append(("pages", f"{len(pgnos)}: {page_ranges(pgnos)}" if pgnos else "0"))
    rows.append(("post-apply checksum", f"{trailer.post_apply_checksum:016x}"))
    rows.append(("file checksum", f"{trailer.file_checksum:016x}"))
    return rows


def _facts(file: Path, header: Header, trailer: Trailer) -> dict[str, object]:
    return {
        "file": file.name,
        "size": file.stat().st_size,
        "flags": header.flags,
        "page_size": header.page_size,
        "commit": header.commit,
        "min_txid": header.min_txid,
        "max_txid": header.max_txid,
        "timestamp_ms": header.timestamp_ms,
        "pre_apply": f"{header.pre_apply_checksum:016x}",
        "wal_offset": header.wal_offset,
        "wal_size": header.wal_size,
        "wal_salt1": header.wal_salt1,
        "wal_salt2": header.wal_salt2,
        "node_id": f"{header.node_id:016X}",
        "post_apply": f"{trailer.post_apply_checksum:016x}",
        "file_checksum": f"{trailer.file_checksum:016x}",
    }
