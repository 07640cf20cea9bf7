"""Invariant 4, at every system call: what `kill -9` leaves is opened, whole, and holds what was acknowledged.

A workload runs on SQLite over a store; before each call that changes a file, the data directory is kept as
it is. Each image is then opened by another store, as a node does after a crash. The tracepoints of a real
node are in tests/crash; here is every moment between them, and the power failures.
"""

import errno
import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from pylitefs.store import fresh
from pylitefs.store.store import Store
from tests.store.crashes import Files, Image, Recorder
from tests.store.serving import Served
from tests.store.support import (
    assert_files_continue,
    assert_position_is_the_bytes_own,
    data_file,
    is_whole,
    opened,
    query,
)

MODES = ["delete", "truncate", "persist", "wal"]

Note = Callable[[int], None]
"""note(rows): so many rows are acknowledged by now."""
Workload = Callable[[Served, Note], None]


@pytest.fixture
def tmp_path(folder_in_memory: Path) -> Path:
    return folder_in_memory


@dataclass
class Run:
    """What a workload did: the images on its way, and the positions there were, by database."""

    images: list[Image]
    positions: dict[str, set[str]]
    mount_dir: Path


@contextmanager
def recording(directory: Path, *, primary: bool = True) -> Iterator[tuple[Store, Run, Note]]:
    """A store of which every moment is kept."""
    acknowledged = [0]
    positions: dict[str, set[str]] = {}
    mount_dir = directory / "mnt"
    done = Run([], positions, mount_dir)
    with opened(directory / "data", mount_dir=mount_dir, primary=primary) as store:
        for name, pos in store.positions().items():
            positions[name] = {str(pos)}
        store.subscribe(lambda name, pos, _: positions.setdefault(name, set()).add(str(pos)))
        recorder = Recorder(directory / "data", note=lambda: acknowledged[-1])
        with recorder.recording():
            yield store, done, acknowledged.append
    done.images = recorder.images


def run(directory: Path, workload: Workload) -> Run:
    """Run a workload of SQLite's."""
    with recording(directory) as (store, done, note):
        served = Served(store, done.mount_dir)
        try:
            workload(served, note)
        finally:
            served.close()
    return done


def rows(path: Path) -> int:
    """How many rows `t` has, numbered from 1 without a gap; 0 without a table."""
    if not query(path, "SELECT 1 FROM sqlite_master WHERE name = 't'"):
        return 0
    ((count, last),) = query(path, "SELECT count(*), coalesce(max(id), 0) FROM t")
    assert count == last, "a row in the middle is gone"
    assert isinstance(count, int)
    return count


def reopen(
    done: Run,
    image: Image,
    files: Files,
    directory: Path,
    *,
    primary: bool = True,
    mount_dir: Path | None = None,
) -> dict[str, int]:
    """Open what a crash left, and hold every invariant against it; the rows of each database."""
    image.write(directory, files)
    found = {}
    with opened(directory, mount_dir=mount_dir or done.mount_dir, primary=primary) as store:
        assert not store.set_aside
        for name in done.positions:
            database = store.get(name)
            if database is None or not database.exists:
                continue
            assert_position_is_the_bytes_own(database)
            path = data_file(store, name)
            assert database.pos.txid == 0 or path.stat().st_size == database.page_count * database.page_size
            assert is_whole(path)
            assert_files_continue(database)
            if database.pos.txid:
                assert str(database.pos) in done.positions[name], "the cluster never was there"
            found[name] = rows(path)
        assert not list(store.data_dir.rglob("*.tmp"))
        assert not list(store.data_dir.rglob("mj*"))
    for count in found.values() or [0]:
        assert count >= image.noted, "an acknowledged row is gone"
    return found


def check_all(done: Run, directory: Path, *, primary: bool = True) -> set[int]:
    """Reopen every image; the numbers of rows that were found."""
    seen = set()
    for image in done.images:
        try:
            found = reopen(done, image, image.files, directory / f"image{image.step}", primary=primary)
            assert len(set(found.values())) <= 1, f"half a transaction over several databases: {found}"
        except BaseException as error:
            error.add_note(f"killed before step {image.step}, {image.call}")
            raise
        seen |= set(found.values()) or {0}
    return seen


def writes(mode: str, *pragmas: str) -> Workload:
    """Rows that come one by one, and many at once with a cache that spills; a rollback; VACUUM."""

    def workload(served: Served, note: Note) -> None:
        db = served.connect("a.db", "page_size=512", f"journal_mode={mode}", "cache_size=3", *pragmas)
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
        for count in range(1, 4):
            db.execute("INSERT INTO t (x) VALUES (randomblob(700))")
            note(count)
        db.execute("BEGIN")
        db.executemany("INSERT INTO t (x) VALUES (randomblob(?))", [(300,)] * 12)
        db.execute("COMMIT")
        note(15)
        db.execute("BEGIN")
        db.execute("UPDATE t SET x = randomblob(400)")
        db.execute("ROLLBACK")
        if mode == "wal":
            db.execute("PRAGMA wal_checkpoint(RESTART)")
        db.execute("UPDATE t SET x = NULL WHERE id > 2")
        db.execute("VACUUM")
        db.execute("INSERT INTO t (x) VALUES ('last')")
        note(16)
        db.close()

    return workload


@pytest.mark.parametrize("mode", MODES)
def test_a_node_killed_before_any_system_call_keeps_every_acknowledged_row(tmp_path: Path, mode: str) -> None:
    done = run(tmp_path, writes(mode))
    assert check_all(done, tmp_path) == {0, 1, 2, 3, 15, 16}


@pytest.mark.parametrize(
    ("mode", "synchronous"),
    [
        (mode, synchronous)
        if (mode, synchronous) in (("delete", "full"), ("persist", "normal"), ("wal", "normal"))
        else pytest.param(mode, synchronous, marks=pytest.mark.full)
        for mode in MODES
        for synchronous in ("normal", "full", "extra")
    ],
)
def test_a_power_failure_loses_nothing_that_was_acknowledged(
    tmp_path: Path, mode: str, synchronous: str
) -> None:
    """Blocks that were never synced survive or not, as the disk likes; names of new files as well."""
    done = run(tmp_path, writes(mode, f"synchronous={synchronous}"))
    chance = random.Random(f"{mode} {synchronous}")
    for image in done.images:
        for attempt in range(2):
            files = image.after_power_failure(chance)
            try:
                reopen(done, image, files, tmp_path / f"image{image.step}.{attempt}")
            except BaseException as error:
                error.add_note(f"power failed before step {image.step}, {image.call}")
                raise


@pytest.mark.parametrize("mode", ["delete", "persist"])
def test_a_transaction_over_two_databases_survives_in_both_or_in_none(tmp_path: Path, mode: str) -> None:
    """Its commit point is the super-journal's unlink, wherever the crash comes before or after that."""
    done = run(tmp_path, over_two(mode))
    assert any("mj" in image.call for image in done.images)
    assert check_all(done, tmp_path) == {0, 1, 2, 3}


def over_two(mode: str) -> Workload:
    """Rows that come into two databases at once."""

    def workload(served: Served, note: Note) -> None:
        db = served.connect("a.db", f"journal_mode={mode}")
        db.execute("ATTACH ? AS b", (served.uri("b.db"),))
        db.execute(f"PRAGMA b.journal_mode={mode}")
        db.execute("BEGIN")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        db.execute("CREATE TABLE b.t (id INTEGER PRIMARY KEY)")
        db.execute("COMMIT")
        for count in range(1, 4):
            db.execute("BEGIN")
            db.execute("INSERT INTO main.t VALUES (?)", (count,))
            db.execute("INSERT INTO b.t VALUES (?)", (count,))
            db.execute("COMMIT")
            note(count)

    return workload


@pytest.mark.parametrize("mode", ["persist", pytest.param("delete", marks=pytest.mark.full)])
def test_a_transaction_over_two_databases_survives_a_crash_of_its_recovery_too(
    tmp_path: Path, mode: str
) -> None:
    """The journal that told of the commit is gone then, and the capture not made; and the node is mounted
    elsewhere each time."""
    done = run(tmp_path, over_two(mode))
    for image in [one for one in done.images if "mj" in "".join(one.files) or "mj" in "".join(one.gone)][::3]:
        directory = image.write(tmp_path / f"image{image.step}")
        recorder = Recorder(directory, note=partial(int, image.noted))
        with recorder.recording(), opened(directory, mount_dir=tmp_path / "second"):
            pass
        for again in recorder.images:
            for kind, files in (("killed", again.files), ("power", again.durable)):
                to = tmp_path / f"image{image.step}.{again.step}.{kind}"
                try:
                    found = reopen(done, again, files, to, mount_dir=tmp_path / "third")
                    assert len(set(found.values())) <= 1, f"half a transaction: {found}"
                except BaseException as error:
                    error.add_note(f"killed before {image.call}; then, {kind}, before {again.call}")
                    raise


def test_a_change_of_journal_mode_or_page_size_may_be_cut_short(tmp_path: Path) -> None:
    def workload(served: Served, note: Note) -> None:
        db = served.connect("a.db", "page_size=1024")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
        steps = [("wal", 0), ("delete", 512), ("wal", 0), ("truncate", 4096), ("wal", 0)]
        for count, (mode, page_size) in enumerate(steps, start=1):
            db.execute(f"PRAGMA journal_mode={mode}")
            if page_size:
                db.execute(f"PRAGMA page_size={page_size}")
                db.execute("VACUUM")
            db.execute("INSERT INTO t (x) VALUES (zeroblob(3000))")
            note(count)

    done = run(tmp_path, workload)
    assert check_all(done, tmp_path) == {0, 1, 2, 3, 4, 5}


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_drop_may_be_cut_short_and_the_name_come_again(tmp_path: Path, mode: str) -> None:
    def workload(served: Served, note: Note) -> None:
        for _ in range(2):
            db = served.connect("a.db", f"journal_mode={mode}")
            db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
            db.execute("INSERT INTO t VALUES (1)")
            # A WAL stays where the database is dropped under an open connection.
            served.unlink("a.db")
            db.close()

    done = run(tmp_path, workload)
    assert check_all(done, tmp_path) == {0, 1}
    last = sorted(done.positions["a.db"])[-1]
    assert last.endswith("/8000000000000000")


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_an_import_over_a_live_database_may_be_cut_short(tmp_path: Path, mode: str) -> None:
    source = tmp_path / "source"
    db = sqlite3.connect(source)
    db.executescript("CREATE TABLE t (id INTEGER PRIMARY KEY, x); INSERT INTO t VALUES (1, zeroblob(9000))")
    db.executemany("INSERT INTO t (x) VALUES (randomblob(?))", [(2000,)] * 4)
    db.commit()
    db.close()
    with recording(tmp_path) as (store, done, note):
        served = Served(store, done.mount_dir)
        db = served.connect("a.db", f"journal_mode={mode}")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
        db.execute("INSERT INTO t VALUES (1, 'before')")
        note(1)
        with source.open("rb") as file:
            store.import_database("a.db", file)
        note(5)
        # The client does not know: without a mount no lock and no WAL index told it.
        served.refuse = lambda call, name: errno.ENOTCONN
        served.close()
    assert check_all(done, tmp_path) == {0, 1, 5}


@pytest.mark.parametrize("power", [False, True], ids=["kill", "power"])
@pytest.mark.parametrize("over", ["nothing", "delete", "wal"])
def test_an_import_that_nobody_looks_at_leaves_the_old_or_the_new(
    tmp_path: Path, over: str, power: bool
) -> None:
    """Encoded while it arrives, and then given the name: before any of these calls a crash may come, and the
    power may fail. What was acknowledged is there."""
    source = tmp_path / "source"
    db = sqlite3.connect(source)
    db.executescript("PRAGMA page_size=512; CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    db.executemany("INSERT INTO t (x) VALUES (randomblob(?))", [(900,)] * 5)
    db.commit()
    db.close()
    content = source.read_bytes()
    with recording(tmp_path) as (store, done, note):
        served = Served(store, done.mount_dir)
        if over != "nothing":
            db = served.connect("a.db", "page_size=512", f"journal_mode={over}")
            db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
            db.execute("INSERT INTO t VALUES (1, 'before')")
            db.close()
            note(1)
        pieces = iter([content[at : at + 2000] for at in range(0, len(content), 2000)] + [b""])
        store.import_database("a.db", Pieces(pieces))
        note(5)
        served.close()
    calls = [image.call for image in done.images]
    encoded = next(at for at, call in enumerate(calls) if call.startswith("rename tmp/"))
    assert not any("pwrite dbs/a.db/database" in call for call in calls[encoded:]), "given the name"
    if not power:
        assert check_all(done, tmp_path) == ({0, 5} if over == "nothing" else {0, 1, 5})
        return
    chance = random.Random(over)
    for image in done.images:
        for attempt in range(3):
            try:
                left = image.after_power_failure(chance)
                reopen(done, image, left, tmp_path / f"image{image.step}.{attempt}")
            except BaseException as error:
                error.add_note(f"power failed before step {image.step}, {image.call}")
                raise


class Pieces:
    """A source whose bytes come as they come."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, size: int, /) -> bytes:
        return next(self._pieces)


def ltx_files(directory: Path, mode: str) -> list[bytes]:
    """What a primary sends that ran `writes(mode)`."""
    with opened(directory / "data") as store:
        served = Served(store, directory / "mnt")
        writes(mode)(served, lambda rows: None)
        served.close()
        database = store.require("a.db")
        return [database.ltx_path(*span).read_bytes() for span in database.ltx_files()]


@pytest.mark.parametrize("power", [False, True], ids=["kill", "power"])
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_replica_killed_while_it_joins_has_nothing_or_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, power: bool
) -> None:
    """Its new database is written beside, and gets its name once its LTX file is durable."""
    monkeypatch.setattr(fresh, "LARGE", 0)
    ltx_files(tmp_path / "primary", mode)
    with opened(tmp_path / "primary" / "data") as store:
        store.snapshot("a.db", tmp_path / "snapshot")
    content = (tmp_path / "snapshot").read_bytes()
    with recording(tmp_path, primary=False) as (replica, done, _):
        chunks = (content[at : at + 1000] for at in range(0, len(content), 1000))
        assert replica.receive_ltx("a.db", chunks).outcome == "snapshot"
    assert any("database.tmp" in image.call for image in done.images)
    if not power:
        assert check_all(done, tmp_path, primary=False) == {0, 16}
        return
    chance = random.Random(mode)
    for image in done.images:
        for attempt in range(3):
            try:
                left = image.after_power_failure(chance)
                reopen(done, image, left, tmp_path / f"image{image.step}.{attempt}", primary=False)
            except BaseException as error:
                error.add_note(f"power failed before step {image.step}, {image.call}")
                raise


@pytest.mark.parametrize("power", [False, True], ids=["kill", "power"])
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_replica_killed_at_any_moment_has_a_position_of_the_primary_s(
    tmp_path: Path, mode: str, power: bool
) -> None:
    """Also of the snapshot that it got at last, after which its other LTX files are gone."""
    files = ltx_files(tmp_path / "primary", mode)
    with opened(tmp_path / "primary" / "data") as store:
        store.snapshot("a.db", tmp_path / "snapshot")
    with recording(tmp_path, primary=False) as (replica, done, _):
        for content in files[:6]:
            replica.receive_ltx("a.db", iter([content]))
        assert replica.receive_ltx("a.db", iter([(tmp_path / "snapshot").read_bytes()])).outcome == "snapshot"
    assert replica.require("a.db").ltx_files() == [(1, len(files))]
    if not power:
        assert check_all(done, tmp_path, primary=False) >= {0, 1, 2, 3, 15, 16}
        return
    chance = random.Random(mode)
    for image in done.images:
        for attempt in range(3):
            try:
                left = image.after_power_failure(chance)
                reopen(done, image, left, tmp_path / f"image{image.step}.{attempt}", primary=False)
            except BaseException as error:
                error.add_note(f"power failed before step {image.step}, {image.call}")
                raise


def test_a_history_that_a_replica_gave_up_does_not_come_back(tmp_path: Path) -> None:
    """It was ahead of its new primary, whose snapshot has a lower TXID. A power failure may bring back
    names that were removed; but not the files of the history that was given up, once the database is
    another's. While they go, any of them may be back: then the database is at the end of that history."""
    files = ltx_files(tmp_path / "old", "delete")
    with opened(tmp_path / "new" / "data") as store:
        served = Served(store, tmp_path / "new" / "mnt")
        db = served.connect("a.db", "page_size=512")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
        db.execute("INSERT INTO t (x) VALUES (zeroblob(9000))")
        served.close()
        store.snapshot("a.db", tmp_path / "snapshot")
    with recording(tmp_path, primary=False) as (replica, done, _):
        for content in files:
            replica.receive_ltx("a.db", iter([content]))
        assert replica.receive_ltx("a.db", iter([(tmp_path / "snapshot").read_bytes()])).outcome == "snapshot"
    assert replica.require("a.db").pos.txid < len(files)
    chance = random.Random(1)
    snapshot = "dbs/a.db/ltx/0000000000000001-0000000000000002.ltx"
    stored = [image for image in done.images if snapshot in image.files]
    assert any("unlink" in image.call for image in stored), "from the first file of the old history on"
    for image in stored:
        for attempt in range(6):
            try:
                left = image.after_power_failure(chance) if attempt else image.files  # Or it is killed.
                reopen(done, image, left, tmp_path / f"image{image.step}.{attempt}", primary=False)
            except BaseException as error:
                error.add_note(f"power failed before step {image.step}, {image.call}")
                raise


def test_retention_removes_nothing_that_a_power_failure_makes_needed(tmp_path: Path) -> None:
    """In WAL mode with synchronous=NORMAL neither WAL nor database are synced by SQLite for a long time."""

    def workload(served: Served, note: Note) -> None:
        db = served.connect("a.db", "journal_mode=wal", "synchronous=normal", "wal_autocheckpoint=0")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
        for count in range(1, 7):
            db.execute("INSERT INTO t (x) VALUES (randomblob(5000))")
            note(count)
            if count == 3:
                db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            if count % 2 == 0:
                assert served.store.reap(now=os.stat(served.store.data_dir).st_mtime + 10_000) > 0

    done = run(tmp_path, workload)
    chance = random.Random(1)
    for image in done.images:
        for attempt in range(6):
            try:
                left = image.after_power_failure(chance)
                reopen(done, image, left, tmp_path / f"image{image.step}.{attempt}")
            except BaseException as error:
                error.add_note(f"power failed before step {image.step}, {image.call}")
                raise


@pytest.mark.parametrize("mode", ["wal", pytest.param("delete", marks=pytest.mark.full)])
def test_a_recovery_that_is_killed_itself_is_done_by_the_next(tmp_path: Path, mode: str) -> None:
    """Every moment of the recoveries from every fifth moment of a run."""
    done = run(tmp_path, writes(mode))
    chance = random.Random(mode)
    for image in done.images[::5]:
        directory = image.write(tmp_path / f"image{image.step}", image.after_power_failure(chance))
        recorder = Recorder(directory, note=partial(int, image.noted))
        with recorder.recording(), opened(directory, mount_dir=done.mount_dir):
            pass
        for again in recorder.images:
            try:
                reopen(done, again, again.files, tmp_path / f"image{image.step}.{again.step}")
            except BaseException as error:
                error.add_note(f"killed before {image.call}; its recovery killed before {again.call}")
                raise
