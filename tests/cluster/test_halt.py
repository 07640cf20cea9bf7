"""Writes on a replica with the HALT lock, as a program on its mount sees them."""

import errno
import fcntl
import os
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import Cluster, Settings, wait_until
from pylitefs.cluster.nursery import Nursery
from tests.cluster.halting import COUNTER, bump, connect, counted, halted, made
from tests.conftest import ClusterFactory

pytestmark = pytest.mark.fuse

Eventually = Callable[..., None]
MODES = ["delete", "truncate", "persist", "wal"]
IN_FULL = pytest.mark.full
ON_WRITE: Settings = {"lease": {"halt-on-write": True}}
SHORT: Settings = {"lease": {"halt-lock-ttl": "600ms", "halt-acquire-timeout": "5s"}}


@pytest.mark.parametrize(
    "mode", ["delete", "wal", pytest.param("truncate", marks=IN_FULL), pytest.param("persist", marks=IN_FULL)]
)
def test_who_opens_db_lock_to_write_writes_on_a_replica(cluster_factory: ClusterFactory, mode: str) -> None:
    """What is written there is on the primary before SQLite has its answer, and on every other replica soon.
    Meanwhile the primary's writers find it locked and its readers read; afterwards it is again as ever."""
    cluster = cluster_factory(replicas=2)
    path = made(cluster, mode)
    replica = cluster.replicas[0]
    with closing(connect(path, timeout=0)) as there:
        with halted(replica, "c.db"), closing(connect(replica.database("c.db"))) as here:
            for number in (1, 2, 3):
                assert bump(here) == number
                assert counted(there) == number
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                bump(there)
        assert wait_until(lambda: tries(lambda: bump(there)) == 4, 10)
        cluster.wait_synced()
        for node in cluster:
            assert counted_at(node.database("c.db")) == 4
        refused = pytest.raises(sqlite3.OperationalError, match=r"readonly|disk I/O")
        with closing(connect(replica.database("c.db"))) as here, refused:
            bump(here)
    positions = {node.database("c.db-pos").read_text() for node in cluster}
    assert len(positions) == 1


def tries(call: Callable[[], object]) -> object:
    try:
        return call()
    except sqlite3.OperationalError:
        return None


def counted_at(path: Path) -> int:
    with closing(connect(path)) as db:
        return counted(db)


@pytest.mark.parametrize("mode", ["delete", pytest.param("wal", marks=IN_FULL)])
def test_no_update_is_lost_between_two_nodes(cluster_factory: ClusterFactory, mode: str) -> None:
    """Both count up the same number, on the primary and on a replica under the lock, in several processes."""
    cluster = cluster_factory(replicas=1)
    made(cluster, mode)
    check_counting(cluster, 25)


@pytest.mark.full
@pytest.mark.parametrize("mode", MODES)
def test_no_update_is_lost_between_three_nodes(cluster_factory: ClusterFactory, mode: str) -> None:
    cluster = cluster_factory(replicas=2)
    made(cluster, mode)
    check_counting(cluster, 200)


def check_counting(cluster: Cluster, times: int) -> None:
    """Each node counts up so often; the end is the sum, and is the same everywhere."""
    with counting(cluster, times) as programs:
        for program in programs:
            assert program.wait(300) == 0
    cluster.wait_synced()
    for node in cluster:
        assert counted_at(node.database("c.db")) == times * len(programs)
        with closing(connect(node.database("c.db"))) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@contextmanager
def counting(cluster: Cluster, times: int, *how: str) -> Iterator[list["subprocess.Popen[bytes]"]]:
    script = Path(__file__).with_name("halting.py")
    programs = [
        subprocess.Popen([sys.executable, str(script), str(node.database("c.db")), str(times), *how])
        for node in cluster
    ]
    try:
        yield programs
    finally:
        for program in programs:
            program.kill()
            program.wait()


def test_a_connection_from_before_the_lock_is_told_the_remedy_in_wal_mode(
    cluster_factory: ClusterFactory,
) -> None:
    """It has its WAL open to read alone, and SQLite keeps it so; a new one writes."""
    cluster = cluster_factory(replicas=1)
    made(cluster, "wal")
    replica = cluster.replicas[0]
    with closing(connect(replica.database("c.db"))) as before:
        assert counted(before) == 0
        with halted(replica, "c.db"):
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                bump(before)
            assert "fuse.replica-wal: writable" in replica.log.read_text()
            with closing(connect(replica.database("c.db"))) as here:
                assert bump(here) == 1
            assert counted(before) == 1


def test_a_lock_is_renewed_while_it_is_held_and_ends_with_its_process(
    cluster_factory: ClusterFactory, eventually: Eventually
) -> None:
    """Its time is short here. A killed process's lock is the primary's writers' again."""
    cluster = cluster_factory(replicas=1, settings=SHORT)
    path = made(cluster, "delete")
    replica = cluster.replicas[0]
    with holding(replica.database("c.db-lock")) as program, closing(connect(path, timeout=0)) as db:
        # Longer than its time: whoever renewed it not would let this one in.
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            for _ in range(12):
                db.execute("PRAGMA busy_timeout=100")
                tries(lambda: bump(db))
            bump(db)
        with closing(connect(replica.database("c.db"))) as here:
            assert bump(here) == 1
        program.kill()
        eventually(lambda: tries(lambda: bump(db)) == 2, "the primary may write again")
    cluster.wait_synced()


@contextmanager
def holding(lock: Path) -> Iterator["subprocess.Popen[bytes]"]:
    program = subprocess.Popen(
        [sys.executable, "-c", f"import os, time; os.open({str(lock)!r}, os.O_RDWR); print('on', flush=True);"
         "time.sleep(600)"],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert program.stdout is not None and program.stdout.readline() == b"on\n"
        yield program
    finally:
        program.kill()
        program.wait()
        assert program.stdout is not None
        program.stdout.close()


def test_a_transaction_that_is_rolled_back_leaves_nothing(cluster_factory: ClusterFactory) -> None:
    """Also one that has spilled its cache into the database or the WAL by then."""
    cluster = cluster_factory(replicas=1)
    for mode in ("delete", "wal"):
        name = f"{mode}.db"
        made(cluster, mode, name)
        replica = cluster.replicas[0]
        before = replica.database(f"{name}-pos").read_text()
        with halted(replica, name), closing(connect(replica.database(name))) as db:
            db.execute("PRAGMA cache_size=5")
            db.execute("BEGIN")
            db.executemany("INSERT INTO filler VALUES(?)", [(b"x" * 3000,)] * 200)
            db.execute("ROLLBACK")
            assert counted(db) == 0 and bump(db) == 1
            assert db.execute("SELECT count(*) FROM filler").fetchone() == (0,)
        assert replica.database(f"{name}-pos").read_text() != before
        cluster.wait_synced()
        assert counted_at(cluster.primary.database(name)) == 1


def test_a_lock_that_cannot_be_had_is_an_error_that_the_log_explains(
    cluster_factory: ClusterFactory,
) -> None:
    """A reader of the replica keeps it from being level with the primary; a second holder waits his time."""
    cluster = cluster_factory(replicas=1, settings={"lease": {"halt-acquire-timeout": "500ms"}})
    path = made(cluster, "delete")
    replica = cluster.replicas[0]
    with closing(connect(replica.database("c.db"))) as reader, closing(connect(path)) as writer:
        reader.execute("BEGIN")
        counted(reader)
        bump(writer)
        with pytest.raises(OSError, match="Input/output error"):
            os.open(replica.database("c.db-lock"), os.O_RDWR)
        reader.execute("COMMIT")
    assert "this node is at" in replica.log_tail()
    with halted(replica, "c.db"), pytest.raises(OSError, match="Input/output error"):
        os.open(replica.database("c.db-lock"), os.O_RDWR)
    assert "the HALT lock is under way" in replica.log_tail()


def test_a_killed_primary_ends_the_lock_and_nothing_is_written(cluster_factory: ClusterFactory) -> None:
    """Who was in the middle of a transaction gets an error; the replica reads what it had, and follows on."""
    cluster = cluster_factory(replicas=1)
    made(cluster, "delete")
    replica = cluster.replicas[0]
    with halted(replica, "c.db"), closing(connect(replica.database("c.db"))) as db:
        assert bump(db) == 1
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE c SET n = n + 1")
        cluster.primary.kill9()
        with pytest.raises(sqlite3.OperationalError):
            db.execute("COMMIT")
        with pytest.raises(sqlite3.OperationalError):
            bump(db)
        if db.in_transaction:
            db.execute("ROLLBACK")
        assert counted(db) == 1
    cluster.primary.restart()
    with closing(connect(cluster.primary.database("c.db"))) as db:
        assert bump(db) == 2
    assert wait_until(lambda: tries(lambda: counted_at(replica.database("c.db"))) == 2, 15)


def test_a_killed_holder_s_node_comes_back_to_what_the_primary_has(cluster_factory: ClusterFactory) -> None:
    """In the middle of a transaction: the primary goes on after the lock's time, and the node follows."""
    for mode in ("delete", "wal"):
        cluster = cluster_factory(replicas=1, settings=SHORT)
        path = made(cluster, mode)
        replica = cluster.replicas[0]
        lock = os.open(replica.database("c.db-lock"), os.O_RDWR)
        db = connect(replica.database("c.db"))
        assert bump(db) == 1
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE c SET n = 100")
        replica.kill9()
        os.close(lock)
        with pytest.raises(sqlite3.OperationalError), closing(db):
            db.execute("COMMIT")
        with closing(connect(path)) as there:
            assert bump(there) == 2
        replica.restart()
        cluster.wait_synced()
        assert counted_at(replica.database("c.db")) == 2


def test_journal_modes_without_a_journal_are_refused_here(cluster_factory: ClusterFactory) -> None:
    """Nobody would know when such a transaction ends, so it could not be on the primary before its answer."""
    cluster = cluster_factory(replicas=1)
    made(cluster, "delete")
    replica = cluster.replicas[0]
    with halted(replica, "c.db"), closing(connect(replica.database("c.db"))) as db:
        db.execute("PRAGMA journal_mode=memory")
        with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
            bump(db)
        db.execute("PRAGMA journal_mode=delete")
        assert bump(db) == 1
    assert "without a journal" in replica.log_tail()


OFD_SETLKW = 38


def byte_lock(fd: int, kind: int, command: int = fcntl.F_SETLKW, byte: int = 72) -> tuple[int, ...]:
    question = struct.pack("hhqqi4x", kind, os.SEEK_SET, byte, 1, 0)
    return struct.unpack("hhqqi4x", fcntl.fcntl(fd, command, question))


@pytest.fixture(params=[False, True], ids=["ordinary", "observed"])
def observed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def cluster(tmp_path: Path, nursery: Nursery | None, observed: bool) -> Iterator[Cluster]:
    """Nodes that are told of locks, or are not."""
    made_up = Cluster(tmp_path, 1, nursery=nursery)
    for node in made_up:
        node.arguments = ("--observed-locks",) if observed else ()
    with made_up:
        yield made_up


@pytest.mark.parametrize("command", [OFD_SETLKW, pytest.param(fcntl.F_SETLKW, marks=IN_FULL)])
def test_litefs_s_client_libraries_lock_byte_72(cluster: Cluster, command: int, observed: bool) -> None:
    """Open, lock, write, unlock, close: on the ordinary mount, and where the mount is told of locks. There
    the lock is held from lock to unlock and no longer."""
    path = made(cluster, "wal")
    replica = cluster.replicas[0]
    with closing(connect(path, timeout=0)) as there:
        fd = os.open(replica.database("c.db-lock"), os.O_RDWR)
        if observed:
            assert bump(there) == 1
        byte_lock(fd, fcntl.F_WRLCK, command)
        cluster.wait_synced()
        with closing(connect(replica.database("c.db"))) as here:
            number = bump(here)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            bump(there)
        byte_lock(fd, fcntl.F_UNLCK, command)
        if observed:
            number = bump(there)
        os.close(fd)
        assert wait_until(lambda: tries(lambda: bump(there)) == number + 1, 10)


@pytest.mark.parametrize("observed", [True])
def test_the_byte_s_errors_are_litefs_s(cluster: Cluster) -> None:
    made(cluster, "delete")
    fd = os.open(cluster.replicas[0].database("c.db-lock"), os.O_RDWR)

    def error(*arguments: int) -> int:
        with pytest.raises(OSError) as caught:
            byte_lock(fd, *arguments)
        return caught.value.errno or 0

    assert error(fcntl.F_WRLCK, fcntl.F_SETLK) == error(fcntl.F_RDLCK) == errno.ENOSYS
    assert error(fcntl.F_WRLCK, fcntl.F_SETLKW, 71) == errno.EINVAL
    assert byte_lock(fd, fcntl.F_WRLCK, fcntl.F_GETLK)[0] == fcntl.F_UNLCK
    byte_lock(fd, fcntl.F_WRLCK)
    assert error(fcntl.F_WRLCK) == errno.ENOLCK
    assert byte_lock(fd, fcntl.F_WRLCK, fcntl.F_GETLK)[0] == fcntl.F_WRLCK
    os.close(fd)
    on_primary = os.open(cluster.primary.database("c.db-lock"), os.O_RDWR)
    byte_lock(on_primary, fcntl.F_WRLCK)
    byte_lock(on_primary, fcntl.F_WRLCK)
    os.close(on_primary)


@pytest.mark.parametrize("mode", ["wal", pytest.param("delete", marks=IN_FULL)])
def test_with_halt_on_write_any_program_writes_anywhere(cluster_factory: ClusterFactory, mode: str) -> None:
    """It knows nothing of the lock. The sum is the same on all nodes; the lock is given back by itself."""
    cluster = cluster_factory(replicas=1, settings=ON_WRITE)
    path = made(cluster, mode)
    with closing(connect(cluster.replicas[0].database("c.db"))) as here, closing(connect(path)) as there:
        for number in range(1, 11):
            assert bump(here if number % 2 else there) == number
    with counting(cluster, 15, "--no-lock") as programs:
        for program in programs:
            assert program.wait(120) == 0
    cluster.wait_synced()
    for node in cluster:
        assert counted_at(node.database("c.db")) == 40
    with closing(connect(path, timeout=10)) as there:
        assert bump(there) == 41


def test_who_has_read_an_old_state_is_told_to_read_anew(cluster_factory: ClusterFactory) -> None:
    """In the middle of a transaction: "database is locked", and no update is lost. Then it works."""
    cluster = cluster_factory(replicas=1, settings=ON_WRITE)
    for mode in ("delete", "wal"):
        path = made(cluster, mode, f"{mode}.db")
        replica = cluster.replicas[0]
        with closing(connect(replica.database(f"{mode}.db"))) as here, closing(connect(path)) as there:
            here.execute("BEGIN")
            read = counted(here)
            bump(there)
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                here.execute("UPDATE c SET n = ?", (read + 1,))
            here.execute("ROLLBACK")
            assert bump(here) == 2


def test_the_counter_s_script_knows_its_own_table() -> None:
    assert "CREATE TABLE c" in COUNTER


@pytest.mark.full
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_what_a_write_costs(cluster_factory: ClusterFactory, mode: str) -> None:
    """`-s` shows it: a commit of one row, the middle one of many, in milliseconds."""
    told: dict[str, float] = {}
    cluster = cluster_factory(replicas=1)
    path = made(cluster, mode)
    replica = cluster.replicas[0]
    told["on the primary"] = _middle(path)
    with halted(replica, "c.db"):
        told["on a replica, with the HALT lock"] = _middle(replica.database("c.db"))
    began = time.perf_counter()
    for _ in range(50):
        with halted(replica, "c.db"):
            pass
    told["to take and give back the lock"] = (time.perf_counter() - began) * 20
    on_write = cluster_factory(replicas=1, settings=ON_WRITE)
    made(on_write, mode)
    told["on a replica, with halt-on-write"] = _middle(on_write.replicas[0].database("c.db"))
    told["on its primary"] = _middle(on_write.primary.database("c.db"))
    for what, milliseconds in told.items():
        print(f"{mode:7} {what:34} {milliseconds:6.2f} ms")
    assert all(told.values())


def _middle(path: Path) -> float:
    times = []
    with closing(connect(path)) as db:
        for _ in range(100):
            began = time.perf_counter()
            db.execute("UPDATE c SET n = n + 1")
            times.append(time.perf_counter() - began)
    return sorted(times)[50] * 1000
