"""Nodes in this process: what an application that imports pylitefs gets, and who is refused."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import apsw
import httpx
import pytest

import pylitefs
from pylitefs.cluster.cluster import wait_until
from pylitefs.cluster.ports import free_ports
from pylitefs.config import Config, ConsulConfig, DataConfig, HttpConfig, LeaseConfig
from pylitefs.embedded import EmbeddedNode
from pylitefs.errors import (
    ConfigError,
    DataDirectoryError,
    MissingLibraryError,
    PylitefsError,
    ReadOnlyReplicaError,
)
from pylitefs.http.lease_server import LeaseServer
from tests import forked
from tests.store.support import assert_position_is_the_bytes_own

ANY_PORT = HttpConfig(addr="127.0.0.1:0")


def config(folder: Path, primary: str = "") -> Config:
    """A primary's, or with the URL of one a replica's."""
    lease = LeaseConfig(
        type="static", candidate=not primary, hostname="first", advertise_url=primary, reconnect_delay=0.05
    )
    return Config(data=DataConfig(dir=folder), http=ANY_PORT, lease=lease)


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[EmbeddedNode]:
    with pylitefs.open_node(config(tmp_path / "primary")) as node:
        yield node


@pytest.fixture
def replica(primary: EmbeddedNode, tmp_path: Path) -> Iterator[EmbeddedNode]:
    with pylitefs.open_node(config(tmp_path / "replica", primary.url)) as node:
        assert node.wait_ready()
        yield node


def level(replica: EmbeddedNode, primary: EmbeddedNode, name: str = "app.db") -> None:
    pos = primary.position(name)
    assert wait_until(lambda: replica.store.positions().get(name) == pos, 30, 0.002), (
        f"{name} is not at {pos}"
    )


def test_a_primary_and_a_replica_in_one_process(primary: EmbeddedNode, replica: EmbeddedNode) -> None:
    """Reads, refusals in words, what a mount's special files say, a HALT lock, a drop: over real streams."""
    db = primary.connect("app.db")
    db.execute("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
    level(replica, primary)
    reader = replica.connect("app.db")
    assert reader.execute("SELECT x FROM t").fetchall() == [(1,)]
    assert reader.position() == db.position()
    assert (primary.primary, replica.primary, primary.is_primary, replica.is_primary) == (
        None,
        "first",
        True,
        False,
    )
    assert primary.lag_ms == 0 and 0 <= replica.lag_ms < 60_000
    said = f"this node is a replica: write on the primary, first \\({primary.url}\\)"
    for sql in ("INSERT INTO t VALUES (2)", "CREATE TABLE u (x)", "BEGIN IMMEDIATE"):
        with pytest.raises(apsw.ReadOnlyError, match=said):
            reader.execute(sql)
    with pytest.raises(ReadOnlyReplicaError, match=r"drop app\.db on a replica"):
        replica.drop("app.db")
    with replica.halt("app.db"):
        reader.execute("INSERT INTO t VALUES (2)")
        assert db.execute("SELECT count(*) FROM t").get == 2
    with pytest.raises(apsw.ReadOnlyError, match=said):
        reader.execute("INSERT INTO t VALUES (3)")
    for node in (primary, replica):
        assert_position_is_the_bytes_own(node.store.require("app.db"))
    db.close()
    reader.close()
    primary.drop("app.db")
    assert wait_until(lambda: replica.databases() == [], 30, 0.002)


def test_a_database_in_wal_mode_reaches_the_replica_and_its_readers(
    primary: EmbeddedNode, replica: EmbeddedNode
) -> None:
    """Who writes has it for itself; the replica's readers come and go as ever."""
    db = primary.connect("app.db")
    db.execute("PRAGMA locking_mode=EXCLUSIVE")
    assert db.execute("PRAGMA journal_mode=WAL").get == "wal"
    db.execute("CREATE TABLE t (x)")
    level(replica, primary)
    with closing(replica.connect("app.db")) as reader:
        for n in range(20):
            db.execute("INSERT INTO t VALUES (?)", (n,))
            level(replica, primary)
            assert reader.execute("SELECT count(*) FROM t").get == n + 1
    db.close()


def test_many_threads_have_connections_of_their_own(primary: EmbeddedNode, replica: EmbeddedNode) -> None:
    """Writers wait for each other, readers of the replica read on while it is applied."""
    with closing(primary.connect("app.db")) as db:
        db.execute("CREATE TABLE t (x)")
    level(replica, primary)
    failed: list[BaseException] = []
    done = threading.Event()

    def write() -> None:
        with closing(primary.connect("app.db", timeout=60)) as db:
            for n in range(8):
                db.execute("INSERT INTO t VALUES (?)", (n,))

    def read() -> None:
        with closing(replica.connect("app.db", timeout=60)) as db:
            seen = 0
            while not done.is_set():
                count = int(db.execute("SELECT count(*) FROM t").get)
                assert count >= seen
                seen = count

    def guarded(work: "object") -> None:
        try:
            work()  # type: ignore[operator]
        except BaseException as error:
            failed.append(error)

    writers = [threading.Thread(target=guarded, args=(write,)) for _ in range(2)]
    readers = [threading.Thread(target=guarded, args=(read,)) for _ in range(2)]
    for thread in [*writers, *readers]:
        thread.start()
    for thread in writers:
        thread.join(60)
    level(replica, primary)
    done.set()
    for thread in readers:
        thread.join(60)
    assert not failed
    with closing(replica.connect("app.db")) as db:
        assert db.execute("SELECT count(*) FROM t").get == 16


def test_without_apsw_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what else pylitefs has is there without it."""
    monkeypatch.setitem(sys.modules, "apsw", None)
    for name in [name for name in sys.modules if name.startswith(("pylitefs.vfs", "pylitefs.embedded"))]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingLibraryError, match=r"pylitefs\.connect needs the package apsw: pip install"):
        pylitefs.connect("app.db")
    assert not hasattr(pylitefs, "disconnect") and pylitefs.__version__


@pytest.mark.full
def test_a_lease_changes_hands_and_connections_stay(tmp_path: Path) -> None:
    """A handoff, then a lease that ends in the middle of a transaction: who may write writes, on connections
    that were open before; who may not is told; and nothing of what was cut off is left."""
    leases = LeaseServer(tmp_path / "leases", ("127.0.0.1", 0))
    leases.start()
    nodes: list[EmbeddedNode] = []
    try:
        for name, port in zip(("a", "b"), free_ports(2), strict=True):
            lease = LeaseConfig(
                type="consul",
                hostname=name,
                advertise_url=f"http://127.0.0.1:{port}",
                consul=ConsulConfig(url=leases.url, key="key", ttl=2.0, lock_delay=0.0),
            )
            http = HttpConfig(addr=f"127.0.0.1:{port}")
            node = pylitefs.open_node(Config(data=DataConfig(dir=tmp_path / name), http=http, lease=lease))
            nodes.append(node)
            node.start()
            assert node.wait_ready(30)
        _hand_over_and_cut_off(*nodes)
    finally:
        for node in nodes:
            node.stop()
        leases.stop()


def _hand_over_and_cut_off(first: EmbeddedNode, second: EmbeddedNode) -> None:
    assert first.is_primary and not second.is_primary
    one = first.connect("app.db")
    one.execute("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
    with closing(first.connect("wal.db")) as wal:
        wal.execute("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; CREATE TABLE t (x)").fetchall()
    level(second, first)
    level(second, first, "wal.db")
    other, reader = second.connect("app.db"), second.connect("wal.db")
    assert reader.execute("SELECT count(*) FROM t").get == 0

    httpx.post(f"{first.url}/handoff?nodeID={second.store.node_id_text}", timeout=30).raise_for_status()
    assert wait_until(lambda: second.is_primary, 30, 0.002)
    other.execute("INSERT INTO t VALUES (2)")
    level(first, second)
    assert one.execute("SELECT max(x) FROM t").get == 2
    with pytest.raises(apsw.ReadOnlyError, match="write on the primary, b"):
        one.execute("INSERT INTO t VALUES (3)")
    with pytest.raises(apsw.CantOpenError, match="locking_mode=EXCLUSIVE"):
        reader.execute("SELECT * FROM t")

    other.execute("BEGIN IMMEDIATE; INSERT INTO t VALUES (4)")
    assert second.roles is not None
    second.roles.demote()
    assert wait_until(lambda: not second.is_primary, 30, 0.002)
    with pytest.raises(apsw.Error, match="replica"):
        other.execute("COMMIT")
    assert wait_until(lambda: first.is_primary or second.is_primary, 30, 0.002)
    writer, reader = (one, other) if first.is_primary else (other, one)
    writer.execute("INSERT INTO t VALUES (5)")
    level(reader.node, writer.node)
    for db in (one, other):
        assert db.execute("SELECT x FROM t ORDER BY x").fetchall() == [(1,), (2,), (5,)]
    for node in (first, second):
        assert_position_is_the_bytes_own(node.store.require("app.db"))


def test_connect_shares_one_node_of_a_config(tmp_path: Path) -> None:
    """And another config for the same directory is told so."""
    db = pylitefs.connect("app.db", config(tmp_path / "data"))
    try:
        db.execute("CREATE TABLE t (x)")
        other = pylitefs.connect("other.db", config(tmp_path / "data"))
        assert other.node is db.node
        with pytest.raises(ConfigError, match="another config"):
            pylitefs.connect("app.db", config(tmp_path / "data", "http://127.0.0.1:1"))
        with pytest.raises(DataDirectoryError, match="in use by"):
            pylitefs.open_node(config(tmp_path / "data")).start()
        other.close()
        db.close()
    finally:
        db.node.stop()
    with pytest.raises(PylitefsError, match="not running"):
        db.node.connect("app.db")


OTHER_PROCESS = """
import sys
from pathlib import Path
import pylitefs
from pylitefs.config import Config, DataConfig, HttpConfig, LeaseConfig
config = Config(data=DataConfig(dir=Path(sys.argv[1])), http=HttpConfig(addr="127.0.0.1:0"),
                lease=LeaseConfig(type="static"))
try:
    db = pylitefs.connect("app.db", config)
except Exception as error:
    print(type(error).__name__, error, flush=True)
else:
    db.execute("PRAGMA journal_mode=" + sys.argv[2])
    db.execute("CREATE TABLE t (n, x)")
    for n in range(100_000):
        db.execute("INSERT INTO t VALUES (?, randomblob(3000))", (n,))
        print(n, db.position(), flush=True)
"""


def test_another_process_is_refused(primary: EmbeddedNode) -> None:
    """By name; and so is a child that was forked, which would share no lock."""
    said = forked.python("-c", OTHER_PROCESS, primary.config.data.dir, "delete").end(30)
    assert said.startswith("DataDirectoryError") and f"process {os.getpid()}" in said
    db = primary.connect("app.db")
    db.execute("CREATE TABLE t (x)")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            db.execute("INSERT INTO t VALUES (1)")
        except apsw.Error as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        assert "a process that it forked needs one of its own" in answer.read()
    db.close()


@pytest.mark.parametrize("mode", ["delete", pytest.param("persist", marks=pytest.mark.full)])
def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path: Path, mode: str) -> None:
    """In the middle of commits: what was said to be committed is there, and one more at most."""
    acknowledged = 0
    writer = forked.python("-c", OTHER_PROCESS, tmp_path / "data", mode)
    for line in writer.stdout:
        acknowledged = int(line.split()[0])
        if acknowledged >= 20:
            break
    writer.send_signal(signal.SIGKILL)
    for line in writer.stdout:
        with suppress(ValueError, IndexError):
            acknowledged = int(line.split()[0])
    writer.wait(10)
    with pylitefs.open_node(config(tmp_path / "data")) as node, closing(node.connect("app.db")) as db:
        assert db.execute("SELECT max(n), count(*) FROM t").get in [
            (n, n + 1) for n in (acknowledged, acknowledged + 1)
        ]
        assert db.execute("PRAGMA integrity_check").get == "ok"
        assert_position_is_the_bytes_own(node.store.require("app.db"))
