"""Short LTX files, whole in memory: several at once, and a lone one whose sync goes beside its apply."""

import errno
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from pylitefs.cluster.cluster import wait_until
from pylitefs.errors import ApplierError, BusyError
from pylitefs.ltx.decoder import Decoder
from pylitefs.store import together
from pylitefs.store.applying import DirectApplier
from pylitefs.store.covered import Covered
from pylitefs.store.incoming import HeldUpError, Stored
from pylitefs.store.state import DatabaseState
from pylitefs.store.store import Store
from tests.store.crashes import Files as Left
from tests.store.crashes import Recorder, watching
from tests.store.serving import Served
from tests.store.support import assert_position_is_the_bytes_own, data_file, opened

Files = list[bytes]


def all_files(store: Store, name: str) -> Files:
    database = store.require(name)
    return [database.ltx_path(*span).read_bytes() for span in database.ltx_files()]


def feed(replica: Store, content: bytes) -> None:
    replica.receive_ltx("a.db", iter([content]))


def feed_together(replica: Store, contents: list[bytes]) -> int | None:
    received = replica.receive_together("a.db", contents, None)
    return received.pos.txid if received else None


@pytest.fixture
def files(served: Served) -> Files:
    """Five transactions of a primary: one that grows, one that shrinks the database, and a drop."""
    db = served.connect("a.db", "page_size=512")
    db.execute("CREATE TABLE t (x)")
    db.execute("INSERT INTO t VALUES (randomblob(9000))")
    db.execute("DELETE FROM t")
    db.execute("VACUUM")
    db.close()
    served.unlink("a.db")
    return all_files(served.store, "a.db")


@pytest.fixture
def ordinary(served: Served) -> Files:
    """Transactions that grow the database or change pages of it, one page more than once."""
    db = served.connect("o.db", "page_size=512")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    for number in range(8):
        db.execute("INSERT INTO t VALUES (?, randomblob(700))", (number,))
        db.execute("UPDATE t SET x = zeroblob(100) WHERE id = ?", (number // 2,))
    db.close()
    return all_files(served.store, "o.db")


def test_several_are_applied_at_once_and_kept_one_by_one(
    store: Store, ordinary: Files, tmp_path: Path
) -> None:
    """The bytes, the position, the files and what subscribers hear are as if they had come one by one."""
    with opened(tmp_path / "replica", primary=False) as replica:
        feed(replica, ordinary[0])
        told: list[int] = []
        replica.subscribe(lambda name, pos, header: told.append(pos.txid))
        assert feed_together(replica, ordinary[1:]) == len(ordinary)
        assert told == list(range(2, len(ordinary) + 1))
        database = replica.require("a.db")
        assert_position_is_the_bytes_own(database)
        assert replica.positions()["a.db"] == store.positions()["o.db"]
        assert [database.ltx_path(*span).read_bytes() for span in database.ltx_files()] == ordinary
        assert data_file(replica, "a.db").read_bytes() == data_file(store, "o.db").read_bytes()


def test_what_is_short_on_the_wire_and_long_in_memory_comes_one_by_one(
    ordinary: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Empty pages are packed a hundredfold: the pages of all of them have a bound of their own."""
    pages = [len(list(Decoder(BytesIO(content).read).pages())) for content in ordinary]
    monkeypatch.setattr(together, "_PAGES_TOGETHER", 512 * sum(pages[1:3]))
    with opened(tmp_path / "replica", primary=False) as replica:
        feed(replica, ordinary[0])
        assert feed_together(replica, ordinary[1:]) is None
        assert replica.require("a.db").ltx_files() == [(1, 1)]
        assert feed_together(replica, ordinary[1:3]) == 3


def test_those_that_have_to_come_one_by_one_change_nothing_together(
    files: Files, ordinary: Files, tmp_path: Path
) -> None:
    """A snapshot, a shrinking, a drop, a damaged one, one that does not continue, one that came before."""
    with opened(tmp_path / "replica", primary=False) as replica:
        assert feed_together(replica, files[:2]) is None
        feed(replica, files[0])
        feed(replica, files[1])
        assert feed_together(replica, files[2:4]) is None
        feed(replica, files[2])
        feed(replica, files[3])
        assert feed_together(replica, files[4:]) is None
    with opened(tmp_path / "other", primary=False) as replica:
        feed(replica, ordinary[0])
        for bad in (ordinary[3][:-1] + bytes([ordinary[3][-1] ^ 1]), ordinary[4], b"", ordinary[3][:200]):
            assert feed_together(replica, [ordinary[1], ordinary[2], bad]) is None
        database = replica.require("a.db")
        path = database.ltx_path(3, 3)
        path.write_bytes(b"from before")
        assert feed_together(replica, ordinary[1:4]) is None
        path.unlink()
        assert database.ltx_files() == [(1, 1)] and database.pos.txid == 1
        assert [file.name for file in database.ltx_dir.iterdir()] == [f"{1:016x}-{1:016x}.ltx"]
        assert feed_together(replica, ordinary[1:]) == len(ordinary)


def test_a_disk_that_is_full_in_their_middle_keeps_none_of_them(
    ordinary: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path / "replica", primary=False) as replica:
        feed(replica, ordinary[0])
        calls = iter(range(100))

        def full(fd: int) -> None:
            if next(calls) == 3:
                raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fdatasync", full)
        with pytest.raises(OSError, match="No space"):
            replica.receive_together("a.db", ordinary[1:6], None)
        monkeypatch.undo()
        database = replica.require("a.db")
        assert database.pos.txid == 1 and database.ltx_files() == [(1, 1)]
        assert len(list(database.ltx_dir.iterdir())) == 1
        assert feed_together(replica, ordinary[1:]) == len(ordinary)


def test_what_is_taken_back_does_not_come_back_after_a_power_failure(
    ordinary: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This node may be the primary by then: beside transactions of its own, the old ones would contradict."""
    calls: list[str] = []

    def note(call: str, name: str, fd: int) -> None:
        calls.append(call)
        if call == "fdatasync" and calls.count(call) == 3:
            raise OSError(errno.EIO, "Input/output error")

    with opened(tmp_path / "replica", primary=False) as replica:
        feed(replica, ordinary[0])
        with watching(replica.data_dir, note), pytest.raises(OSError, match="Input/output"):
            replica.receive_together("a.db", ordinary[1:6], None)
    assert calls[-6:] == [*["unlink"] * 5, "fsync"]


def test_where_too_few_files_can_be_open_they_come_one_by_one(
    ordinary: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica with a low limit would else be refused the same ones for ever."""
    with opened(tmp_path / "replica", primary=False) as replica:
        feed(replica, ordinary[0])
        calls = iter(range(100))

        make = together._make

        def scarce(state: DatabaseState, stored: Stored) -> int:
            if next(calls) == 3:
                raise OSError(errno.EMFILE, "Too many open files")
            return make(state, stored)

        monkeypatch.setattr(together, "_make", scarce)
        assert feed_together(replica, ordinary[1:6]) is None
        monkeypatch.undo()
        database = replica.require("a.db")
        assert database.ltx_files() == [(1, 1)] and len(list(database.ltx_dir.iterdir())) == 1
        assert feed_together(replica, ordinary[1:]) == len(ordinary)


# A lone one.


@pytest.fixture
def changes(served: Served) -> Files:
    """Many pages, then rows that come to the end and changes anywhere, now of pages that were just changed,
    now of others."""
    db = served.connect("c.db", "page_size=512")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    db.execute(
        "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20) "
        "INSERT INTO t SELECT i, randomblob(400) FROM n"
    )
    for number in (3, 4, 3, 17, 9):
        db.execute("INSERT INTO t (x) VALUES (randomblob(150))")
        db.execute("UPDATE t SET x = randomblob(400) WHERE id = ?", (number,))
    db.close()
    return all_files(served.store, "c.db")


@pytest.fixture
def lone(changes: Files, tmp_path: Path) -> Iterator[Store]:
    """A replica that has had the first four."""
    with opened(tmp_path / "replica", primary=False) as replica:
        for content in changes[:4]:
            feed(replica, content)
        yield replica


def calls_of(replica: Store, content: bytes) -> list[str]:
    """What is done to which file while one is received, in order."""
    calls: list[str] = []

    def note(call: str, name: str, fd: int) -> None:
        calls.append(f"{call} {'ltx' if '/ltx/' in name else name.rpartition('/')[2]}")

    with watching(replica.data_dir, note):
        assert feed_together(replica, [content]) is not None
    return list(dict.fromkeys(calls))


def forget_old_files(replica: Store) -> None:
    """All but the newest are reaped."""
    assert replica.reap(time.time() + 1e6) > 0


def test_it_is_synced_beside_its_apply_where_the_files_kept_bring_its_pages_back(
    lone: Store, changes: Files
) -> None:
    """The LTX file is written first. (This applier writes the pages before the sync, the real one beside.)"""
    calls = calls_of(lone, changes[4])
    assert calls[:2] == ["open ltx", "write ltx"]
    assert calls.index("pwrite database") < calls.index("fdatasync ltx")
    assert_position_is_the_bytes_own(lone.require("a.db"))
    assert lone.require("a.db").pos.txid == 5


def test_it_is_synced_first_where_they_do_not(lone: Store, changes: Files) -> None:
    """A page that was written last by a file that is gone by now."""
    forget_old_files(lone)
    calls = calls_of(lone, changes[4])
    assert calls.index("fdatasync ltx") < calls.index("pwrite database")
    assert_position_is_the_bytes_own(lone.require("a.db"))


def test_the_position_waits_for_the_sync(
    lone: Store, changes: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pages are there, and nobody is told of them."""
    database, told = lone.require("a.db"), list[int]()
    lone.subscribe(lambda name, pos, _: told.append(pos.txid))
    really, seen = os.fdatasync, list[tuple[int, list[int], bytes]]()

    def look(fd: int) -> None:
        seen.append((database.pos.txid, list(told), data_file(lone, "a.db").read_bytes()))
        really(fd)

    before = data_file(lone, "a.db").read_bytes()
    monkeypatch.setattr(os, "fdatasync", look)
    assert feed_together(lone, [changes[4]]) == 5
    ((pos, heard, content),) = seen
    assert (pos, heard) == (4, []) and content != before
    assert told == [5] and database.state.told.txid == 5


class Busy(DirectApplier):
    """Readers are in the way, after `meanwhile` or before it."""

    def __init__(self, data_dir: Path, *, early: bool) -> None:
        super().__init__(data_dir)
        self.early = early

    def apply(self, database: str, ltx_path: Path, **how: Any) -> None:
        meanwhile = how.pop("meanwhile", None)
        if how.get("timeout") is None:
            super().apply(database, ltx_path, **how)
            return
        if meanwhile is not None and not self.early:
            meanwhile()
        raise BusyError("locked")


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("fails", [False, True])
def test_one_that_is_held_up_is_durable_or_not_there(
    lone: Store, changes: Files, monkeypatch: pytest.MonkeyPatch, early: bool, fails: bool
) -> None:
    """Whenever the reader is met, before its sync or after it."""
    lone.applier = Busy(lone.data_dir, early=early)
    database, synced = lone.require("a.db"), list[int]()
    really = os.fdatasync

    def sync(fd: int) -> None:
        synced.append(fd)
        if fails:
            raise OSError(errno.EIO, "Input/output error")
        really(fd)

    monkeypatch.setattr(os, "fdatasync", sync)
    with pytest.raises(OSError if fails else HeldUpError) as caught:
        lone.receive_together("a.db", [changes[4]], 0.1)
    monkeypatch.undo()
    assert len(synced) == 1 and database.pos.txid == 4
    assert database.ltx_path(5, 5).exists() == (not fails) == ((5, 5) in database.ltx_files())
    if isinstance(caught.value, HeldUpError):
        caught.value.finish()
    else:
        lone.applier = DirectApplier(lone.data_dir)
        assert feed_together(lone, [changes[4]]) == 5
    assert database.pos.txid == 5
    assert_position_is_the_bytes_own(database)


def test_a_sync_that_fails_beside_an_apply_is_made_good_by_another_file(
    lone: Store, changes: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel may take the first one's bytes for written. The position moves once the other is durable."""
    monkeypatch.setattr(together, "AGAIN_S", 0.0)
    database, failures = lone.require("a.db"), iter([True, True, False])
    really: Callable[[int], None] = os.fsync

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    def sync(fd: int) -> None:
        assert database.pos.txid == 4, "not told"
        if os.readlink(f"/proc/self/fd/{fd}").endswith(".tmp") and next(failures):
            fail(fd)
        really(fd)

    monkeypatch.setattr(os, "fdatasync", fail)
    monkeypatch.setattr(os, "fsync", sync)
    first = database.ltx_path(5, 5)
    assert feed_together(lone, [changes[4]]) == 5
    assert first.read_bytes() == changes[4] and not list(lone.data_dir.rglob("*.tmp"))
    assert not lone.disk.code, "the disk works again"
    monkeypatch.undo()
    assert feed_together(lone, changes[5:]) == len(changes)
    assert_position_is_the_bytes_own(database)


def test_a_node_that_ends_waits_for_no_disk(
    lone: Store, changes: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was to be made good is the next start's: the file is there, and its position was not told."""

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(together, "AGAIN_S", 60.0)
    monkeypatch.setattr(os, "fdatasync", fail)
    monkeypatch.setattr(os, "fsync", fail)
    database, errors = lone.require("a.db"), list[Exception]()

    def receive() -> None:
        try:
            lone.receive_together("a.db", [changes[4]], None)
        except ApplierError as error:
            errors.append(error)

    receiving = threading.Thread(target=receive, daemon=True)
    receiving.start()
    assert wait_until(lambda: bool(lone.disk.code), 60), "it waits for the disk"
    lone.close()
    receiving.join(30)
    assert [str(error) for error in errors] == ["this node ends: its next start finishes a.db"]
    assert database.pos.txid == 4
    monkeypatch.undo()
    with opened(lone.data_dir, primary=False) as again:
        assert again.require("a.db").pos.txid == 5
        assert_position_is_the_bytes_own(again.require("a.db"))


def test_one_whose_apply_fails_comes_again(lone: Store, changes: Files) -> None:
    """Nobody knows what of it was written: it is kept, durable, and applied when it comes once more."""

    class Broken(DirectApplier):
        def apply(self, database: str, ltx_path: Path, **how: Any) -> None:
            raise ApplierError("gone")

    lone.applier = Broken(lone.data_dir)
    with pytest.raises(ApplierError):
        lone.receive_together("a.db", [changes[4]], None)
    assert lone.require("a.db").pos.txid == 4
    lone.applier = DirectApplier(lone.data_dir)
    assert feed_together(lone, [changes[4]]) is None, "it is there: the other way keeps it whole"
    feed(lone, changes[4])
    assert feed_together(lone, changes[5:]) == len(changes)
    assert_position_is_the_bytes_own(lone.require("a.db"))


def test_what_an_apply_counts_on_is_not_reaped_meanwhile(
    lone: Store, changes: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pages are in the database, and its LTX file is not durable: the ones before it are needed."""
    database, really = lone.require("a.db"), os.fdatasync
    kept: list[list[tuple[int, int]]] = []

    def reap(fd: int) -> None:
        lone.reap(time.time() + 1e6)
        kept.append(database.ltx_files())
        really(fd)

    monkeypatch.setattr(os, "fdatasync", reap)
    assert feed_together(lone, [changes[4]]) == 5
    assert kept == [[(3, 3), (4, 4)]]
    forget_old_files(lone)
    assert database.ltx_files() == [(5, 5)]


class Failed(Exception):
    """What a power failure left does not come up."""


def come_up(left: Left, directory: Path, changes: Files, told: int) -> None:
    """A replica starts with them, at a position that was told or one past it, and goes on from there."""
    for name, content in left.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with opened(directory, primary=False) as replica:
        database = replica.get("a.db")
        if replica.set_aside or database is None or not told <= database.pos.txid <= told + 1:
            raise Failed(f"{replica.set_aside} {database and database.pos}, {told} was told")
        assert_position_is_the_bytes_own(database)
        for content in changes[database.pos.txid :]:
            feed(replica, content)
        assert_position_is_the_bytes_own(database)
        assert database.pos.txid == len(changes)


def power_failures(changes: Files, base: Path, seeds: int) -> tuple[int, list[str]]:
    """A replica takes them in one by one, and reaps its old files now and then. Each moment: killed, with the
    database written back alone, and what a power failure leaves, so many times. How many starts that makes,
    and which fail."""
    told = [2]
    failed = []
    with opened(base / "data", primary=False) as replica:
        for content in changes[:2]:
            feed(replica, content)
        recorder = Recorder(base / "data", note=lambda: told[-1])
        with recorder.recording():
            for txid, content in enumerate(changes[2:], start=3):
                if txid % 3 == 0:
                    forget_old_files(replica)
                assert feed_together(replica, [content]) == txid
                told.append(txid)
    count = 0
    for image in recorder.images:
        chance = random.Random(image.step)
        by_chance = [image.after_power_failure(chance) for _ in range(seeds)]
        for left in (image.files, image.written_back("dbs/a.db/database"), *by_chance):
            count += 1
            try:
                come_up(left, base / f"left{count}", changes, image.noted)
            except Failed as error:
                failed.append(f"before {image.call}: {error}")
    return count, failed


@pytest.mark.parametrize("seeds", [1, pytest.param(25, marks=pytest.mark.full)])
def test_a_power_failure_beside_an_apply_leaves_a_position_that_was_told(
    changes: Files, folder_in_memory: Path, seeds: int
) -> None:
    """Or the one past it. It is never another database, and never one that a person has to look at."""
    count, failed = power_failures(changes if seeds > 1 else changes[:7], folder_in_memory, seeds)
    assert count > 50 and failed == []


def test_without_the_rule_it_would_not(
    changes: Files, folder_in_memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: pages that no file brings back are written while their LTX file may be lost."""
    monkeypatch.setattr(Covered, "rely", lambda *_: True)
    assert power_failures(changes[:6], folder_in_memory, 0)[1]
