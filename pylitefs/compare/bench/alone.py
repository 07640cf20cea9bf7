"""What the parts of an import, a join, a commit and a read take, each alone: docs/compare.md has the figures.

    python -m pylitefs.compare.bench.alone [TEXT…]       all, or what has one of the texts in its name

The rule: a part is measured with nothing beside it, by the very functions that a node runs. All figures but
those of the point reads are processor time, and of a few runs the best counts: what else the machine does can
only make a run slower.
"""

import cProfile
import logging
import os
import pstats
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from types import MappingProxyType

from pylitefs.child_python import python
from pylitefs.cluster.cluster import Cluster
from pylitefs.compare.bench.client_measures import Measures
from pylitefs.compare.bench.contestant import large_file
from pylitefs.ltx.checksum import crc64
from pylitefs.ltx.decoder import Decoder
from pylitefs.sqlite.wal import FRAME_HEADER_SIZE, WAL_HEADER_SIZE, wal_checksum
from pylitefs.store.names import FileKind
from pylitefs.store.status import Status
from pylitefs.store.store import Store
from pylitefs.trace import Tracer

MEGABYTES = 200
COMMITS = 1500
RUNS = 3
_PAGE_SIZE = 4096

SHARES = (
    ("capture.py", "commit_transaction", "all of the LTX file: header, LZ4, CRCs, write, sync"),
    ("wal_tracker.py", "_verify_to_commit", "the frames read back, and the WAL's own checksum"),
    ("wal_tracker.py", "note", "the tracker hears of a write"),
    ("files.py", "pwrite_all", "the writes themselves"),
)
"""Functions whose share of a commit in WAL mode is told, with all that they call."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured part."""

    name: str
    value: float
    unit: str
    remark: str = ""

    def __str__(self) -> str:
        return f"{self.name:58} {self.value:12,.3f} {self.unit:4} {self.remark}".rstrip()


def best(work: Callable[[], object]) -> float:
    """The least processor time, in seconds, that some runs took: of this process and its children."""
    found = []
    for _ in range(RUNS):
        started = _processor_time()
        work()
        found.append(_processor_time() - started)
    return min(found)


def _processor_time() -> float:
    both = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in both)


def start(base: Path, megabytes: int) -> Iterator[Figure]:
    """A node's start before it does anything."""
    early = "import pylitefs.cli.mount, pylitefs.node"
    late = f"{early}, pylitefs.http.app, pylitefs.http.server, pylitefs.numeric"
    for text, modules in (
        ("start: Python and what is loaded before the mount", early),
        ("start: and what is loaded beside it: server, NumPy", late),
    ):
        took = best(partial(subprocess.run, python("-c", modules), check=True))
        yield Figure(text, took, "s")


def snapshot(base: Path, megabytes: int) -> Iterator[Figure]:
    """A large database on its way to a replica."""
    source, out = large_file(base, megabytes), base / "snapshot.ltx"
    with _store(base / "large", source) as store:
        took = best(partial(store.export, "a.db", base / "copy"))
        yield Figure(f"snapshot: copy of {megabytes} MB", took, "s")
        took = best(partial(store.snapshot, "a.db", out))
        size = f"{out.stat().st_size / 1e6:.0f} MB"
        yield Figure("snapshot: copied, and encoded with LZ4 and checksums", took, "s", size)
    for verified, text in ((False, "verified"), (True, "read again, once it is verified")):
        took = best(partial(_decode, out, verified))
        yield Figure(f"snapshot: its LTX file {text}", took, "s")
    raw = source.read_bytes()
    yield Figure("snapshot: CRC-64 of all bytes", best(lambda: crc64(raw)), "s")


def _decode(path: Path, verified: bool) -> None:
    with path.open("rb", buffering=0) as file:
        for _ in Decoder(file.read, verified=verified).batches():
            pass


def wal_sum(base: Path, megabytes: int) -> Iterator[Figure]:
    """The WAL's checksum of one page: by NumPy, as here, and by the loop of SQLite's documentation."""
    page = os.urandom(_PAGE_SIZE)

    def loop() -> tuple[int, int]:
        s1 = s2 = 0
        words = memoryview(page).cast("I").tolist()
        for at in range(0, len(words), 2):
            s1 = (s1 + words[at] + s2) & 0xFFFFFFFF
            s2 = (s2 + words[at + 1] + s1) & 0xFFFFFFFF
        return s1, s2

    numpy = partial(wal_checksum, page, 0, 0, False)
    assert loop() == numpy()
    for name, work in (("NumPy", numpy), ("a loop", loop)):
        took = min(timeit.repeat(work, timer=time.process_time, number=500, repeat=RUNS)) / 500
        yield Figure(f"WAL checksum of a page of 4 KiB, {name}", took * 1e6, "µs")


def wal_commits(base: Path, megabytes: int) -> Iterator[Figure]:
    """Commits in WAL mode as the mount hands them on, without a mount: processor time, and who takes it."""
    writes, head = _recorded(base)
    # On tmpfs, where there is one: what a sync costs is the disk's affair.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else base
    with tempfile.TemporaryDirectory(prefix="pylitefs-alone-", dir=memory) as place:
        places = (Path(place) / str(number) for number in count())
        took = best(lambda: _play(next(places), head, writes))
        profile = cProfile.Profile(time.process_time)
        profile.runcall(_play, next(places), head, writes)
    yield Figure("commit, WAL: Database.write", took / COMMITS * 1e6, "µs")
    stats = pstats.Stats(profile).get_stats_profile()
    for file, function, meaning in SHARES:
        found = stats.func_profiles[function]
        assert found.file_name.endswith(file), found
        share = found.cumtime / stats.total_tt * 100
        yield Figure(f"commit, WAL: share of {function}", share, "%", meaning)


def _recorded(base: Path) -> tuple[list[tuple[int, bytes]], Path]:
    """What SQLite writes into a WAL for so many commits of a row; the database file before them."""
    path, head = base / "recorded.db", base / "recorded-head.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
        db.execute("PRAGMA journal_mode=wal")
        db.execute("PRAGMA wal_autocheckpoint=0")
        shutil.copyfile(path, head)
        for _ in range(COMMITS):
            db.execute("INSERT INTO t(b) VALUES (randomblob(100))")
        wal = path.with_name("recorded.db-wal").read_bytes()
    writes, frame = [(0, wal[:WAL_HEADER_SIZE])], FRAME_HEADER_SIZE + _PAGE_SIZE
    for at in range(WAL_HEADER_SIZE, len(wal), frame):
        writes.append((at, wal[at : at + FRAME_HEADER_SIZE]))
        writes.append((at + FRAME_HEADER_SIZE, wal[at + FRAME_HEADER_SIZE : at + frame]))
    return writes, head


def _play(directory: Path, head: Path, writes: list[tuple[int, bytes]]) -> None:
    with _store(directory, head) as store:
        database = store.require("a.db")
        before = database.pos.txid
        index = database.create_file(FileKind.SHM, os.O_RDWR | os.O_CREAT, applier=False)
        fd = database.create_file(FileKind.WAL, os.O_RDWR | os.O_CREAT, applier=False)
        for offset, data in writes:
            database.write(FileKind.WAL, fd, data, offset)
        assert database.pos.txid - before == COMMITS
        database.release(FileKind.WAL, fd)
        database.release(FileKind.SHM, index)


@contextmanager
def _store(directory: Path, database: Path) -> Iterator[Store]:
    """A primary's store without a mount, with a copy of the database file in it."""
    place = directory / "dbs" / "a.db"
    place.mkdir(parents=True)
    shutil.copyfile(database, place / FileKind.DATABASE.value)
    status = Status(is_primary=True, candidate=True, ready=True)
    store = Store(directory, tracer=Tracer(), status=status, monitor_interval_s=0)
    store.open()
    try:
        yield store
    finally:
        store.close()


def point_reads(base: Path, megabytes: int) -> Iterator[Figure]:
    """A query of one row: on the ordinary mount, and where the node is told of every lock."""
    for name, arguments in (("the ordinary mount", ()), ("observed locks", ("--observed-locks",))):
        cluster = Cluster(base / name.replace(" ", "-"), replicas=0)
        cluster.primary.arguments = arguments
        with cluster, closing(sqlite3.connect(cluster.primary.database("a.db"), isolation_level=None)) as db:
            db.execute("CREATE TABLE r(a INTEGER PRIMARY KEY, b)")
            db.execute("INSERT INTO r(b) VALUES (randomblob(100))")
            measures = Measures()
            measures.connection = db
            request = {"text": "SELECT b FROM r WHERE a = 1", "for_seconds": 0.5}
            rate = max(measures.rate(request)["value"] for _ in range(RUNS))
            yield Figure(f"point read on {name}, DELETE", 1e6 / rate, "µs")


PARTS = MappingProxyType(
    {
        "start": start,
        "snapshot": snapshot,
        "checksum": wal_sum,
        "commit": wal_commits,
        "read": point_reads,
    }
)


def measure(base: Path, megabytes: int = MEGABYTES, only: list[str] | None = None) -> Iterator[Figure]:
    """All parts, or those `only` names a piece of, as they are measured. `base` is an empty directory."""
    for name, part in PARTS.items():
        if not only or any(text in name for text in only):
            yield from part(base, megabytes)


def main(only: list[str]) -> None:
    logging.getLogger("pylitefs").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="pylitefs-alone-") as base:
        for figure in measure(Path(base), only=only):
            print(figure, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
