"""What a row diff costs, over the size of the database; and a page of a moment, among many files.

    python -m pylitefs.compare.bench.rows [--sizes 1 1024] [--files 1000] [--folder DIR]

The rule: the database is made by SQLite, and so are the pages that a transaction changes; a diff is measured
from the opening of the directory to its last row, in a process that has loaded all.
"""

import argparse
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pylitefs.ltx.checksum import CHECKSUM_FLAG
from pylitefs.ltx.database import encode_database, open_database
from pylitefs.ltx.encoder import Encoder
from pylitefs.ltx.frame_encoder import FrameEncoder
from pylitefs.ltx.header import FLAG_LZ4, FLAG_NO_CHECKSUM, Header, format_filename
from pylitefs.ltx.timeline import open_timeline
from pylitefs.rows.difference import difference

_MB = 1 << 20
_ROUNDS = 7
_ROW = 400
"""Bytes of a row, so that a page has about ten."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    what: str
    cpu_ms: float
    wall_ms: float
    pages: int
    """Pages of both states that were looked at."""
    reads: int
    """Reads of LTX files, those of their indexes too."""
    rows: int


def make_database(path: Path, megabytes: int) -> int:
    """A table of this size; the number of its rows."""
    count = megabytes * _MB // (_ROW + 9)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=off")
        db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
        db.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            "INSERT INTO t SELECT i, hex(randomblob(?)) FROM n",
            (count, _ROW // 2),
        )
        db.execute("PRAGMA journal_mode=wal")
    return count


def change(path: Path, rows: Sequence[int]) -> tuple[int, int, dict[int, bytes]]:
    """Update these rows in one transaction: page size, page count, and the pages that it changed."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA wal_autocheckpoint=0")
        db.execute(f"UPDATE t SET x = hex(randomblob(9)) WHERE id IN ({', '.join(map(str, rows))})")
        with open_database(path) as database:
            found = {pgno: database.page(pgno) for pgno in sorted(database.wal_frames)}
            facts = database.page_size, database.page_count
    return *facts, found


def write_transaction(
    folder: Path, txid: int, facts: tuple[int, int, dict[int, bytes]], *, framed: bool
) -> None:
    """The LTX file of such a change."""
    page_size, page_count, pages = facts
    flags, before = (FLAG_NO_CHECKSUM, 0) if framed else (FLAG_LZ4, CHECKSUM_FLAG)
    header = Header(flags, page_size, page_count, txid, txid, 1000 * txid, before)
    with (folder / format_filename(txid, txid)).open("wb") as file:
        encoder = FrameEncoder(file.write, header) if framed else Encoder(file.write, header)
        for pgno, page in pages.items():
            encoder.encode_page(pgno, page)
        encoder.finish(0 if framed else CHECKSUM_FLAG)


def write_snapshot(database: Path, folder: Path, *, framed: bool) -> None:
    """The whole database as TXID 1."""
    out = folder / format_filename(1, 1)
    if not framed:
        encode_database(database, out)
        return
    with open_database(database) as source, out.open("wb") as file:
        header = Header(FLAG_NO_CHECKSUM, source.page_size, source.page_count, 1, 1, 1000)
        encoder = FrameEncoder(file.write, header)
        for pgno, page in source.pages():
            encoder.encode_page(pgno, page)
        encoder.finish(0)


def measure_diff(what: str, folder: Path, first: int, last: int) -> Figure:
    """A diff, several times; the median."""
    found: list[tuple[float, float, int, int, int]] = []
    for _ in range(_ROUNDS):
        wall, cpu = time.perf_counter(), time.process_time()
        with open_timeline(folder, first) as timeline:
            one = difference(timeline, first, last)
            rows = sum(one.count(pair).total for pair in one.pairs)
            pages, reads = one.old.reads + one.new.reads, timeline.reads
        found.append((time.process_time() - cpu, time.perf_counter() - wall, pages, reads, rows))
    cpu, wall = (statistics.median(column) * 1000 for column in list(zip(*found, strict=True))[:2])
    return Figure(what, cpu, wall, *found[0][2:])


def diffs(folder: Path, megabytes: int) -> list[Figure]:
    """A transaction of two pages, in a database of this size: in a replica of Litestream, in a file backup,
    and in a node's directory whose first files are gone."""
    database = folder / "database"
    count = make_database(database, megabytes)
    framed, backup, node = folder / "replica" / "ltx" / "0", folder / "backup", folder / "node"
    for one in (framed, backup, node / "ltx"):
        one.mkdir(parents=True)
    write_snapshot(database, framed, framed=True)
    write_snapshot(database, backup, framed=False)
    rows = (count // 3, 2 * count // 3)
    for txid in (2, 3):
        facts = change(database, rows)
        write_transaction(framed, txid, facts, framed=True)
        write_transaction(backup, txid, facts, framed=False)
        write_transaction(node / "ltx", txid, facts, framed=False)
    database.rename(node / "database")
    return [
        measure_diff(f"{megabytes:,} MB, a Litestream replica", folder / "replica", 1, 2),
        measure_diff(f"{megabytes:,} MB, a file backup (one LZ4 frame)", backup, 1, 2),
        measure_diff(f"{megabytes:,} MB, a node's directory", node, 2, 3),
    ]


def lookups(folder: Path, files: int, megabytes: int = 4) -> tuple[float, list[tuple[float, float]]]:
    """Seconds to open so many files, and to read each of a thousand pages of a moment in the middle."""
    database, ltx = folder / "database", folder / "ltx" / "0"
    ltx.mkdir(parents=True)
    count = make_database(database, megabytes)
    write_snapshot(database, ltx, framed=True)
    for txid in range(2, files + 1):
        write_transaction(ltx, txid, change(database, [txid * 7919 % count + 1]), framed=True)
        if txid % 50 == 0:
            with closing(sqlite3.connect(database)) as db:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    began = time.perf_counter()
    with open_timeline(folder, 1) as timeline:
        opened = time.perf_counter() - began
        moment = timeline.moment(files // 2)
        return opened, [_seconds(moment.page, pgno) for pgno in range(1, moment.page_count + 1)]


def _seconds(read: Callable[[int], bytes], pgno: int) -> tuple[float, float]:
    """Of the clock, and of a processor."""
    began, cpu = time.perf_counter(), time.thread_time()
    read(pgno)
    return time.perf_counter() - began, time.thread_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description="What a row diff costs.")
    parser.add_argument("--sizes", type=int, nargs="*", default=[1, 1024], help="databases, in MB")
    parser.add_argument("--files", type=int, default=1000, help="LTX files among which a page is sought")
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder if not said")
    options = parser.parse_args()
    print("| database and source | processor time, ms | time, ms | pages | reads | rows told |")
    print("| --- | --: | --: | --: | --: | --: |")
    for size in options.sizes:
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            for one in diffs(Path(name), size):
                print(f"| {one.what} | {one.cpu_ms:.1f} | {one.wall_ms:.1f} |", end="")
                print(f" {one.pages} | {one.reads} | {one.rows} |")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        opened, each = lookups(Path(name), options.files)
        print(f"\none page among {options.files:,} files, all opened in {opened * 1000:.0f} ms:")
        for what, column in zip(("the clock", "a processor"), zip(*each, strict=True), strict=True):
            found = sorted(column)
            steps = (statistics.median(found), found[len(found) * 99 // 100], found[-1])
            median, most, slowest = (f"{one * 1000:.3f} ms" for one in steps)
            print(f"by {what}: median {median}, 99 of 100 {most}, the slowest of {len(found):,} {slowest}")


if __name__ == "__main__":
    main()
