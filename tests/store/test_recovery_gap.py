"""The power fails while several LTX files are stored: whatever is left of them, what was told is there."""

import itertools
import os
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest

from pylitefs.ltx.decoder import open_ltx
from pylitefs.ltx.header import Header
from pylitefs.ltx.position import Pos
from pylitefs.replication.catchup import Snapshot
from pylitefs.replication.kept import decision as decision_for
from pylitefs.store import recovery, recovery_replay
from pylitefs.store.checksums import PageChecksums
from pylitefs.store.database import Database
from pylitefs.store.status import Status
from pylitefs.store.store import Store
from pylitefs.trace import Tracer
from tests.store.crashes import Recorder, watching
from tests.store.serving import Served
from tests.store.support import assert_position_is_the_bytes_own, opened

DB = "a.db"
WHOLE, TORN, EMPTY, MISSING = "whole", "torn", "empty", "missing"


@pytest.fixture
def files(served: Served) -> list[bytes]:
    """Six transactions."""
    db = served.connect(DB, "page_size=512")
    db.execute("CREATE TABLE t (x)")
    for _ in range(5):
        db.execute("INSERT INTO t VALUES (randomblob(1000))")
    db.close()
    database = served.store.require(DB)
    return [database.ltx_path(*span).read_bytes() for span in database.ltx_files()]


def replica_at(directory: Path, files: list[bytes], txid: int) -> Path:
    with opened(directory, primary=False) as replica:
        for content in files[:txid]:
            replica.receive_ltx(DB, iter([content]))
    return directory


def leave(directory: Path, number: int, content: bytes, how: str) -> None:
    path = directory / "dbs" / DB / "ltx" / f"{number:016x}-{number:016x}.ltx"
    if how != MISSING:
        path.write_bytes({WHOLE: content, TORN: content[:-50], EMPTY: b""}[how])


LOST = [pytest.param(what, marks=pytest.mark.full) for what in ("nothing", "a page", "all of it")]


def lose(database: Path, what: str) -> None:
    """What a power failure may take of a file that nothing has synced."""
    content = bytearray(database.read_bytes())
    if what == "all of it":
        database.unlink()
        return
    if what == "its end":
        del content[512:]
    elif what == "a page":
        content[-512:] = bytes(512)
    database.write_bytes(content)


@pytest.mark.parametrize("lost", ["its end", *LOST])
def test_any_file_of_them_may_be_torn_or_missing(files: list[bytes], tmp_path: Path, lost: str) -> None:
    """Of each combination, with the database as it was or with a part of it lost: the node starts, at the
    position before them or at one that they all lead to, and takes in the rest again."""
    at = 3
    before = replica_at(tmp_path / "before", files, at)
    lose(before / "dbs" / DB / "database", lost)
    for number, states in enumerate(itertools.product((WHOLE, TORN, EMPTY, MISSING), repeat=len(files) - at)):
        left = tmp_path / f"left{number}"
        shutil.copytree(before, left)
        for index, state in enumerate(states):
            leave(left, at + 1 + index, files[at + index], state)
        first_gap = next((index for index, state in enumerate(states) if state != WHOLE), len(states))
        with opened(left, primary=False) as replica:
            assert replica.set_aside == {}, states
            database = replica.require(DB)
            assert database.pos.txid == at + first_gap, states
            assert_position_is_the_bytes_own(database)
            assert [span[1] for span in database.ltx_files()] == list(range(1, database.pos.txid + 1))
            for content in files[database.pos.txid :]:
                replica.receive_ltx(DB, iter([content]))
            assert database.pos.txid == len(files)
            assert_position_is_the_bytes_own(database)
        shutil.rmtree(left)


def test_a_database_that_is_at_no_such_place_is_set_aside(files: list[bytes], tmp_path: Path) -> None:
    """Nothing is thrown away on a guess: here the file is gone that would bring back what is damaged."""
    left = replica_at(tmp_path / "left", files, 5)
    for txid in (1, 2, 4):
        (left / "dbs" / DB / "ltx" / f"{txid:016x}-{txid:016x}.ltx").unlink()
    database = left / "dbs" / DB / "database"
    content = bytearray(database.read_bytes())
    content[2 * 512] ^= 1
    database.write_bytes(content)
    with opened(left, primary=False) as replica:
        assert DB in replica.set_aside
    assert len(list((left / "dbs" / DB / "ltx").iterdir())) == 2


def test_damage_that_is_no_power_failures_drops_no_file(files: list[bytes], tmp_path: Path) -> None:
    """A file that was written to its end was durable before the next one was applied."""
    left = replica_at(tmp_path / "left", files, 5)
    rotten = left / "dbs" / DB / "ltx" / f"{3:016x}-{3:016x}.ltx"
    content = bytearray(rotten.read_bytes())
    content[len(content) // 2] ^= 1
    rotten.write_bytes(content)
    lose(left / "dbs" / DB / "database", "its end")
    with opened(left, primary=False) as replica:
        assert DB in replica.set_aside
    assert len(list((left / "dbs" / DB / "ltx").iterdir())) == 5


def test_a_primary_drops_none(store: Store, files: list[bytes], tmp_path: Path) -> None:
    """What it has was acknowledged: a gap before its newest LTX files is an error that names the way out."""
    left = replica_at(tmp_path / "left", files, 3)
    leave(left, 5, files[4], WHOLE)
    leave(left, 6, files[5], WHOLE)
    with opened(left) as primary:
        assert DB in primary.set_aside
    assert len(list((left / "dbs" / DB / "ltx").iterdir())) == 5


@contextmanager
def with_a_lease(directory: Path) -> Iterator[Store]:
    """A node that may be the primary, as it starts: it is nobody's yet."""
    status = Status(candidate=True)
    store = Store(directory, tracer=Tracer(), status=status, monitor_interval_s=0)
    store.terms.load(directory)
    status.is_primary = store.terms.was_primary
    store.open()
    status.follow()
    try:
        yield store
    finally:
        store.close()


def test_a_killed_primary_that_follows_now_is_a_replica(files: list[bytes], tmp_path: Path) -> None:
    """What it is killed with the next time came over the stream, and what it drops it is sent again."""
    left = replica_at(tmp_path / "left", files, 2)
    with with_a_lease(left) as primary:
        primary.terms.begin(primary.node_id, 7)
    with with_a_lease(left) as follower:
        follower.receive_ltx(DB, iter([files[2]]))
    leave(left, 5, files[4], WHOLE)
    with with_a_lease(left) as again:
        assert again.set_aside == {}
        assert again.require(DB).pos.txid == 3
        assert again.require(DB).ltx_files() == [(1, 1), (2, 2), (3, 3)]


@pytest.fixture
def in_wal(served: Served, data: Path, tmp_path: Path) -> Path:
    """A primary's directory after six transactions of WAL mode that nothing has copied into the database."""
    db = served.connect(DB, "page_size=512", "journal_mode=wal", "wal_autocheckpoint=0")
    db.execute("CREATE TABLE t (x)")
    for _ in range(4):
        db.execute("INSERT INTO t VALUES (randomblob(1000))")
    left = tmp_path / "left"
    shutil.copytree(data, left)
    return left


def ltx_file(directory: Path, txid: int) -> Path:
    return directory / "dbs" / DB / "ltx" / f"{txid:016x}-{txid:016x}.ltx"


@pytest.mark.parametrize("wal", [0, 20, 32, 600, 3000, 5000])
def test_a_primary_drops_what_is_past_a_gap_in_a_burst(
    in_wal: Path, wal: int, caplog: pytest.LogCaptureFixture
) -> None:
    """It goes on from the newest position that the files and what is left of the WAL lead to."""
    ltx_file(in_wal, 4).unlink()
    os.truncate(in_wal / "dbs" / DB / "wal", wal)
    with opened(in_wal) as primary:
        database = primary.require(DB)
        assert database.pos.txid == 3
        assert_position_is_the_bytes_own(database)
        assert [span[1] for span in database.ltx_files()] == [1, 2, 3]
    assert "2 are dropped; nobody was told of them" in caplog.text


def test_the_database_is_read_once_for_all_positions_that_are_tried(
    in_wal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be large, and the burst long; and once more for the position that is found."""
    reads: list[int] = []
    really = recovery_replay.file_sums

    def count(path: Path, header: Header) -> PageChecksums:
        reads.append(header.max_txid)
        return really(path, header)

    monkeypatch.setattr(recovery, "file_sums", count)
    ltx_file(in_wal, 3).unlink()
    (in_wal / "dbs" / DB / "wal").write_bytes(b"")
    with opened(in_wal) as primary:
        assert primary.require(DB).pos.txid == 2
    # The newest position was looked for first: that was no part of the search.
    assert reads == [6, 6, 2]


def test_a_primary_keeps_what_its_wal_still_holds(in_wal: Path) -> None:
    """The LTX file is missing, by hand or not: the transactions are there."""
    ltx_file(in_wal, 4).unlink()
    with opened(in_wal) as primary:
        database = primary.require(DB)
        assert database.pos.txid == 6
        assert_position_is_the_bytes_own(database)


@pytest.fixture
def burst_over_applied(files: list[bytes], tmp_path: Path) -> Path:
    """A primary's directory after a burst in WAL mode. Six transactions before it came from elsewhere, as
    when it was a replica, or gave a HALT lock away: nothing has synced their pages in the database file."""
    before = replica_at(tmp_path / "before", files, 6)
    left = tmp_path / "left"
    with opened(before) as primary:
        served = Served(primary, tmp_path / "mnt-before")
        db = served.connect(DB, "journal_mode=wal", "wal_autocheckpoint=0")
        for row in range(1, 5):
            db.execute("UPDATE t SET x = randomblob(1000) WHERE rowid = ?", (row,))
        primary.settle()
        assert primary.require(DB).pos.txid == 11
        shutil.copytree(before, left)
        served.close()
    return left


@pytest.mark.parametrize("missing", [(9,), (8, 10)])
@pytest.mark.parametrize("torn", [(), (10,), (9, 11)])
@pytest.mark.parametrize(
    ("lost", "oldest"), [("nothing", 1), ("its end", 1), ("a page", 1), ("a page", 6), ("all of it", 1)]
)
def test_what_lies_beneath_the_wal_may_be_lost(
    burst_over_applied: Path, missing: tuple[int, ...], torn: tuple[int, ...], lost: str, oldest: int
) -> None:
    """The WAL holds all of the burst. Its newest LTX file is whole, others are not, and the database file is
    older than the WAL: the files before the burst bring it there. (Those before `oldest` are reaped.)"""
    left = burst_over_applied
    for txid in range(1, oldest):
        ltx_file(left, txid).unlink()
    for txid in missing:
        ltx_file(left, txid).unlink()
    for txid in set(torn) - set(missing):
        ltx_file(left, txid).write_bytes(bytes(ltx_file(left, txid).stat().st_size))
    lose(left / "dbs" / DB / "database", lost)
    for path in (left / "dbs" / DB / "ltx").iterdir():
        os.utime(path, (1_000_000_000, 1_000_000_000))
    with opened(left) as primary:
        assert primary.set_aside == {}
        database = primary.require(DB)
        kept = set(range(7, 12)) - {*missing, *torn}
        assert database.pos.txid == max(kept)
        assert_position_is_the_bytes_own(database)
        assert [span[1] for span in database.ltx_files()] == [*range(oldest, 7), *sorted(kept)]
    with opened(left) as again:
        assert again.set_aside == {}
        assert_position_is_the_bytes_own(again.require(DB))


def calls_of_a_start(directory: Path, primary: bool) -> list[str]:
    calls: list[str] = []

    def note(call: str, name: str, fd: int) -> None:
        calls.append(f"{call} {name.rpartition('/')[2]}")

    with watching(directory, note), opened(directory, primary=primary):
        pass
    return calls


def assert_synced_before_a_page_is_written(left: Path, primary: bool) -> None:
    calls = calls_of_a_start(left, primary)
    synced = calls[: calls.index("pwrite database")]
    for txid in (4, 5, 6):
        assert f"fdatasync {ltx_file(left, txid).name}" in synced
    assert "fsync ltx" in synced, "a file's own sync does not make the name durable that a rename gave it"


def test_a_start_syncs_what_a_killed_primary_had_not_before_it_writes_a_page(in_wal: Path) -> None:
    """Else the power may fail later: with the pages durable, the LTX files lost, and all of it told."""
    assert_synced_before_a_page_is_written(in_wal, primary=True)


def test_a_start_syncs_what_a_killed_replica_had_not_before_it_writes_a_page(
    files: list[bytes], tmp_path: Path
) -> None:
    """It had received several together."""
    left = replica_at(tmp_path / "replica", files, 3)
    for number in (4, 5, 6):
        leave(left, number, files[number - 1], WHOLE)
    assert_synced_before_a_page_is_written(left, primary=False)


def test_what_was_there_before_the_machine_was_started_needs_no_sync(in_wal: Path) -> None:
    for txid in range(1, 7):
        os.utime(ltx_file(in_wal, txid), (1_000_000_000, 1_000_000_000))
    os.utime(ltx_file(in_wal, 1).parent, (1_000_000_000, 1_000_000_000))
    calls = calls_of_a_start(in_wal, True)
    assert not [call for call in calls if call.startswith("fdatasync") or call == "fsync ltx"]


def test_a_name_that_a_killed_node_gave_survives_once_it_was_told(
    tmp_path: Path,
) -> None:
    """An import's LTX file gets its name by a rename, and the node dies before its directory is synced. The
    next start counts it, and tells of it; then the power fails."""
    directory = tmp_path / "killed"
    with opened(directory) as store:
        import_(store, 1)
        recorder = Recorder(directory)
        with recorder.recording():
            import_(store, 2)
    name = str(ltx_file(directory, 2).relative_to(directory))
    image = next(one for one in recorder.images if name in one.files.keys() - one.durable.keys())
    after = Recorder(image.write(tmp_path / "again"), left=image)
    with after.recording(), opened(after.directory) as store:
        assert store.require(DB).pos.txid == 2
        told = str(store.require(DB).pos)
    chance = random.Random(1)
    for attempt in range(8):
        left = image.write(tmp_path / f"power{attempt}", after.images[-1].after_power_failure(chance))
        with opened(left) as store:
            assert str(store.require(DB).pos) == told, "what the start told is gone"


def import_(store: Store, value: int) -> None:
    db = sqlite3.connect(":memory:")
    db.execute(f"CREATE TABLE t AS SELECT {value} AS x")
    content = db.serialize()
    db.close()
    store.import_database(DB, BytesIO(content), len(content))


@pytest.mark.parametrize("how", ["torn", "zeros"])
def test_a_file_of_a_burst_that_was_not_written_is_no_file(
    in_wal: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The WAL has survived, so the position is right; a replica that lacks that file can be told what it
    gets."""
    torn = ltx_file(in_wal, 4)
    content = torn.read_bytes()
    torn.write_bytes(content[:200] if how == "torn" else bytes(len(content)))
    for txid in range(1, 7):
        os.utime(ltx_file(in_wal, txid), (1_000_000_000, 1_000_000_000))
    with opened(in_wal) as primary:
        database = primary.require(DB)
        assert database.pos.txid == 6
        assert_position_is_the_bytes_own(database)
        assert [span[1] for span in database.ltx_files()] == [1, 2, 3, 5, 6]
        decision, _ = decision_for(database, replica_pos(database, 3), None, born=False)
        assert isinstance(decision, Snapshot)
    assert "was not written when the power failed" in caplog.text


def replica_pos(database: Database, txid: int) -> Pos:
    """Of a replica that is there."""
    with open_ltx(database.ltx_path(txid, txid)) as decoder:
        for _ in decoder.pages():
            pass
        return Pos(txid, decoder.trailer.post_apply_checksum)
