"""Which commits a WAL holds, told from SQLite's own writes however they are cut into pieces.

Each scenario is run by real SQLite once; its writes to the WAL are kept, and fed to a tracker again as
whole frames, as SQLite makes them, split where FUSE may split them, and byte by byte. Every way must find
the same transactions, each once and not before its last byte.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pylitefs.ltx.decoder import open_ltx
from pylitefs.sqlite.header import DatabaseHeader
from pylitefs.sqlite.wal import FRAME_HEADER_SIZE, WAL_HEADER_SIZE, FrameHeader
from pylitefs.store.database import Database
from pylitefs.store.wal_tracker import WalTracker
from tests.store.serving import Served
from tests.store.support import checksum_of, opened

Write = tuple[int, bytes]
Found = tuple[int, int, dict[int, bytes]]
"""A transaction: where in the WAL it begins, page count after it, and its pages."""


@dataclass
class Follower:
    """A tracker with the file that it follows, as `WalWatch` has it."""

    tracker: WalTracker = field(default_factory=WalTracker)
    file: bytearray = field(default_factory=bytearray)
    found: list[Found] = field(default_factory=list)
    repeats: int = 0

    def read_at(self, offset: int, size: int) -> bytes:
        return bytes(self.file[offset : offset + size])

    def write(self, offset: int, data: bytes) -> None:
        tracker = self.tracker
        if offset >= WAL_HEADER_SIZE and tracker.captured:
            room = tracker.frame_offset(tracker.captured + 1) - offset
            there = self.read_at(offset, min(room, len(data))) if room > 0 else b""
            assert there == data[: len(there)], "nothing captured is written over in these scenarios"
        self.file[offset : offset + len(data)] = data
        if offset < WAL_HEADER_SIZE:
            tracker.restart(tracker.header_after(offset, data), 0)
        if offset + len(data) > WAL_HEADER_SIZE:
            tracker.note(offset, data)
        for commit in tracker.commits(self.read_at):
            pages = {
                pgno: bytes(commit.data.get(pgno, b""))
                or self.read_at(tracker.frame_offset(frame) + FRAME_HEADER_SIZE, tracker.frame_size - 24)
                for pgno, frame in commit.frames.items()
            }
            if commit.first == commit.last and tracker.captured and self.found[-1][2].get(
                tracker.pgnos[-1]
            ) == pages.get(tracker.pgnos[-1]):  # fmt: skip
                tracker.extend_last(commit)
                self.repeats += 1
                continue
            self.found.append((tracker.frame_offset(commit.first), commit.page_count, pages))
            tracker.capture(commit)

    def feed(self, writes: Iterable[Write]) -> "Follower":
        for offset, data in writes:
            self.write(offset, data)
        return self


@dataclass
class Scenario:
    """SQLite's writes, and the transactions that were captured as it made them."""

    writes: list[Write]
    found: list[Found]
    content: bytes
    """The database as SQLite reads it in the end."""
    checksum: int
    """What its position says by then."""


def record(directory: Path, monkeypatch: pytest.MonkeyPatch, work: Callable[[Served], None]) -> Scenario:
    writes: list[Write] = []
    write = Database._write_wal

    def note(self: Database, fd: int, data: "bytes | memoryview", offset: int) -> None:
        writes.append((offset, bytes(data)))
        write(self, fd, data, offset)

    monkeypatch.setattr(Database, "_write_wal", note)
    with opened(directory / "data") as store:
        served = Served(store, directory / "mnt")
        work(served)
        database = store.require("a.db")
        content, checksum = served.connect("a.db").serialize(), database.current_pos().checksum
        served.close()
        found = []
        for span in database.ltx_files():
            with open_ltx(database.ltx_path(*span)) as decoder:
                header = decoder.header
                if header.wal_offset:
                    found.append((header.wal_offset, header.commit, dict(decoder.pages())))
    return Scenario(writes, found, content, checksum)


# -- ways to cut writes --------------------------------------------------------------------------------------


def as_made(writes: Iterable[Write]) -> Iterator[Write]:
    yield from writes


def whole_frames(writes: Iterable[Write]) -> Iterator[Write]:
    """A 24-byte header together with the page that follows it."""
    held: Write | None = None
    for offset, data in writes:
        if held is not None and held[0] + len(held[1]) == offset:
            yield held[0], held[1] + data
            held = None
            continue
        if held is not None:
            yield held
            held = None
        if len(data) == FRAME_HEADER_SIZE:
            held = offset, data
        else:
            yield offset, data
    if held is not None:
        yield held


def pieces(size: int) -> Callable[[Iterable[Write]], Iterator[Write]]:
    """Split at multiples of `size` in the file, as FUSE without `big_writes` does at 4,096."""

    def split(writes: Iterable[Write]) -> Iterator[Write]:
        for offset, data in writes:
            at = 0
            while at < len(data):
                length = size - (offset + at) % size
                yield offset + at, data[at : at + length]
                at += length

    return split


CUTS = {
    "as made": as_made,
    "whole frames": whole_frames,
    "at 4096": pieces(4096),
    "at 512": pieces(512),
    "at 7": pieces(7),
    "bytes": pieces(1),
}


# -- what SQLite does ----------------------------------------------------------------------------------------


def table(served: Served, *pragmas: str, page_size: int = 512, psow: int = 1) -> sqlite3.Connection:
    db = served.connect("a.db", f"page_size={page_size}", "journal_mode=wal", *pragmas, psow=psow)
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    return db


def plain(served: Served) -> None:
    db = table(served)
    for size in (1, 700, 3, 2000):
        db.execute("INSERT INTO t (x) VALUES (randomblob(?))", (size,))


def large_pages(served: Served) -> None:
    db = table(served, page_size=65536)
    db.execute("INSERT INTO t (x) VALUES (randomblob(70000))")


def spilled(served: Served) -> None:
    """Pages that were spilled are written over, and at the commit only headers follow."""
    db = table(served, "cache_size=1")
    db.execute("BEGIN")
    for _ in range(30):
        db.execute("INSERT INTO t (x) VALUES (randomblob(300))")
        db.execute("UPDATE t SET x = randomblob(200) WHERE id < 4")
    db.execute("COMMIT")
    db.execute("INSERT INTO t (x) VALUES ('after')")


def rolled_back(served: Served) -> None:
    """Frames of a transaction that was rolled back are written over by the next."""
    db = table(served, "cache_size=1")
    for size in (250, 250, 90):
        db.execute("BEGIN")
        db.executemany("INSERT INTO t (x) VALUES (randomblob(?))", [(size,)] * 20)
        db.execute("ROLLBACK")
        db.execute("INSERT INTO t (x) VALUES (randomblob(900))")


def the_same_again(served: Served) -> None:
    """The page that is to follow a frame's header lies there already, from a transaction rolled back."""
    db = table(served, "cache_size=1")
    for end in ("ROLLBACK", "COMMIT"):
        db.execute("BEGIN")
        db.executemany("INSERT INTO t (x) VALUES (zeroblob(?))", [(480,)] * 30)
        db.execute(end)
    db.execute("INSERT INTO t (x) VALUES ('after')")


def savepoints(served: Served) -> None:
    """After ROLLBACK TO SQLite (3.40) leaves frames without salts and checksums."""
    db = table(served, "cache_size=1")
    for _ in range(3):
        db.execute("BEGIN")
        db.executemany("INSERT INTO t (x) VALUES (randomblob(?))", [(300,)] * 12)
        db.execute("SAVEPOINT s")
        db.execute("UPDATE t SET x = randomblob(200)")
        db.execute("ROLLBACK TO s")
        db.execute("UPDATE t SET x = NULL WHERE id % 3 = 0")
        db.execute("COMMIT")
    db.execute("INSERT INTO t (x) VALUES ('after')")


def takes_back(db: sqlite3.Connection, *last: str) -> None:
    """A transaction that is short, after frames further on were written over and taken back."""
    for statement in (
        *("BEGIN", "SAVEPOINT s"),
        "INSERT INTO t (x) VALUES (randomblob(9000))",
        "INSERT INTO t (x) SELECT x FROM t",
        "UPDATE t SET x = randomblob(300) WHERE id >= 2",
        *("ROLLBACK TO s", *last, "COMMIT"),
    ):
        db.execute(statement)


def summed_from_zeros(served: Served) -> None:
    """A commit frame has no checksum, and all headers of the next transaction are written again."""
    db = table(served, "cache_size=1")
    takes_back(db, "INSERT INTO t (x) VALUES (1)")
    db.execute("BEGIN")
    db.execute("INSERT INTO t (x) VALUES (randomblob(1500))")
    db.execute("UPDATE t SET x = randomblob(300)")
    db.execute("COMMIT")
    db.execute("INSERT INTO t (x) VALUES ('after')")


def begun_twice(served: Served) -> None:
    """ROLLBACK TO takes back all frames that the WAL has had since it began anew: its header comes again."""
    db = table(served, "cache_size=1", "wal_autocheckpoint=0")
    db.execute("PRAGMA wal_checkpoint")
    takes_back(db)


def padded(served: Served) -> None:
    """`psow=0`: the commit frame comes again and again until a sector is full."""
    db = table(served, "synchronous=full", psow=0)
    for size in (1, 900, 20):
        db.execute("INSERT INTO t (x) VALUES (randomblob(?))", (size,))


def restarted(served: Served) -> None:
    db = table(served, "wal_autocheckpoint=0")
    for _ in range(4):
        db.execute("INSERT INTO t (x) VALUES (randomblob(600))")
        db.execute("INSERT INTO t (x) VALUES (randomblob(600))")
        db.execute("PRAGMA wal_checkpoint(RESTART)")


SCENARIOS = [plain, large_pages, spilled, rolled_back, the_same_again,
             savepoints, summed_from_zeros, begun_twice, padded, restarted]  # fmt: skip


@pytest.fixture(scope="module")
def scenarios(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scenario]:
    made = {}
    for work in SCENARIOS:
        with pytest.MonkeyPatch.context() as monkeypatch:
            made[work.__name__] = record(tmp_path_factory.mktemp(work.__name__), monkeypatch, work)
    return made


@pytest.mark.parametrize(
    ("work", "cut"),
    # (Byte by byte the large pages show nothing that the small ones do not.)
    [
        (work, cut)
        for work in SCENARIOS
        for cut in CUTS
        if work is not large_pages or cut not in ("at 7", "bytes")
    ],
)
def test_every_way_to_cut_the_writes_finds_the_same_transactions(
    scenarios: dict[str, Scenario], work: Callable[[Served], None], cut: str
) -> None:
    scenario = scenarios[work.__name__]
    follower = Follower().feed(CUTS[cut](scenario.writes))
    assert len(scenario.found) > 1
    assert [found[:2] for found in follower.found] == [found[:2] for found in scenario.found]
    assert follower.found == scenario.found


@pytest.mark.parametrize("work", SCENARIOS, ids=lambda work: work.__name__)
def test_no_transaction_is_missed(scenarios: dict[str, Scenario], work: Callable[[Served], None]) -> None:
    """Whatever SQLite's readers see by then, the position tells."""
    scenario = scenarios[work.__name__]
    page_size = DatabaseHeader.parse(scenario.content[:100]).page_size
    assert scenario.checksum == checksum_of(scenario.content, page_size)


@pytest.mark.parametrize("work", [plain, spilled, padded], ids=lambda work: work.__name__)
def test_a_transaction_is_found_at_its_last_byte_and_not_before(
    scenarios: dict[str, Scenario], work: Callable[[Served], None]
) -> None:
    """Without its last byte the WAL holds one transaction less."""
    scenario = scenarios[work.__name__]
    follower, ends = Follower(), []
    for number, (offset, data) in enumerate(scenario.writes):
        count = len(follower.found)
        follower.write(offset, data)
        if len(follower.found) > count:
            ends.append(number)
    for end in ends:
        *before, (offset, data) = scenario.writes[: end + 1]
        follower = Follower().feed(before)
        count = len(follower.found)
        follower.write(offset, data[:-1])
        assert len(follower.found) == count
        follower.write(offset + len(data) - 1, data[-1:])
        assert len(follower.found) == count + 1


def test_the_last_write_of_a_spilled_transaction_is_a_header_alone(scenarios: dict[str, Scenario]) -> None:
    """So that the scenario is what its name says."""
    follower, lengths = Follower(), []
    for offset, data in scenarios["spilled"].writes:
        count = len(follower.found)
        follower.write(offset, data)
        lengths += [len(data)] * (len(follower.found) - count)
    assert FRAME_HEADER_SIZE in lengths


def test_frames_that_pad_a_sector_are_no_transactions(scenarios: dict[str, Scenario]) -> None:
    scenario = scenarios["padded"]
    follower = Follower().feed(scenario.writes)
    assert follower.repeats >= len(follower.found)
    assert follower.tracker.captured * follower.tracker.frame_size + 32 == len(follower.file)


@pytest.mark.parametrize("work", SCENARIOS, ids=lambda work: work.__name__)
def test_the_newest_frame_of_each_page_lies_over_the_database(
    scenarios: dict[str, Scenario], work: Callable[[Served], None]
) -> None:
    scenario = scenarios[work.__name__]
    follower = Follower()
    newest: dict[int, bytes] = {}
    for offset, data in scenario.writes:
        count = len(follower.found)
        if offset < WAL_HEADER_SIZE:
            newest.clear()
        follower.write(offset, data)
        for _, _, pages in follower.found[count:]:
            newest |= pages
        tracker = follower.tracker
        assert tracker.pages.keys() == newest.keys()
    for pgno, frame in follower.tracker.pages.items():
        at = follower.tracker.frame_offset(frame)
        assert FrameHeader.parse(follower.read_at(at, 24)).pgno == pgno
        assert follower.read_at(at + 24, follower.tracker.frame_size - 24) == newest[pgno]


@pytest.mark.parametrize("at", [0, 20, 31, 32, 36, 40, 48, 55, 56, 300, 567])
def test_a_transaction_with_a_flipped_bit_is_none_nor_is_what_follows(
    scenarios: dict[str, Scenario], at: int
) -> None:
    """Salts, checksum, page: the chain ends where one does not hold, as it does for SQLite's recovery."""
    raw = bytearray(Follower().feed(scenarios["plain"].writes).file)
    raw[at] ^= 1
    follower = Follower().feed([(0, bytes(raw[:32])), (32, bytes(raw[32:]))])
    assert follower.found == []


def test_frames_without_a_valid_header_are_nothing() -> None:
    tracker = WalTracker()
    tracker.note(32, bytes(536))
    assert list(tracker.commits(lambda offset, size: bytes(size))) == []
    tracker.restart(tracker.header_after(0, b"not a WAL header, for sure, is it"), 7)
    assert tracker.header is None and tracker.captured == 0


def test_what_a_later_writer_overwrites_is_given_up_to_the_last_commit_before(
    scenarios: dict[str, Scenario],
) -> None:
    follower = Follower().feed(scenarios["plain"].writes)
    tracker = follower.tracker
    first, last = tracker.last_commit
    kept, page_count = tracker.boundary_before(first)
    assert tracker.boundary_before(last) == (kept, page_count) != tracker.boundary_before(last + 1)
    assert kept == first - 1 and page_count == follower.found[-2][1]
    tracker.lose(kept)
    assert tracker.captured == kept
    assert max(tracker.pages.values()) == kept
    # The same writer again: the transaction is found once more.
    start = tracker.frame_offset(first)
    for offset, data in scenarios["plain"].writes:
        if offset >= start:
            follower.write(offset, data)
    assert follower.found[-1] == follower.found[-2]


def test_a_tracker_remembers_no_page_of_a_wal_that_is_gone(scenarios: dict[str, Scenario]) -> None:
    tracker = Follower().feed(scenarios["plain"].writes).tracker
    assert tracker.pages and tracker.header
    tracker.reset(9)
    assert not tracker.pages and tracker.header is None and tracker.captured == 0
    assert tracker.boundary_before(1) == (0, 9)
    assert tracker.last_commit == (1, 0)
