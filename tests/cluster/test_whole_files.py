"""Whole databases that get their name behind the mount's back: nobody meets a page or a size of before."""

import hashlib
import io
import itertools
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import ClusterNode, wait_until
from pylitefs.http import client
from tests.cluster.test_memory import forget_peak, memory
from tests.conftest import ClusterFactory

pytestmark = pytest.mark.fuse

MOST_MIB = 24
"""What a database may take of a node's memory while all of it goes through: blocks, and 20 bytes a page."""


def make(path: Path, *, number: int, pages: int, page_size: int = 4096, mode: str = "delete") -> bytes:
    """A database of at least so many pages that says which one it is in its first and its last row."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA page_size={page_size}")
        db.execute(f"PRAGMA journal_mode={mode}")
        db.execute("PRAGMA synchronous=off")
        db.execute("BEGIN")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, number, x)")
        for _ in range(pages):
            db.execute("INSERT INTO t (number, x) VALUES (?, randomblob(?))", (number, page_size - 100))
        db.execute("COMMIT")
    return path.read_bytes()


def load(node: ClusterNode, content: bytes, name: str = "a.db") -> None:
    client.import_(node.url, name, io.BytesIO(content), size=len(content))


def content_of(path: Path) -> tuple[int, str]:
    """A file's size, as `stat` says it, and the digest of its bytes but for the counters'."""
    size = path.stat().st_size
    data = bytearray(path.read_bytes())
    data[24:28] = data[40:44] = bytes(4)
    return size, hashlib.sha256(data).hexdigest()


def expected(content: bytes) -> tuple[int, str]:
    data = bytearray(content)
    data[24:28] = data[40:44] = bytes(4)
    return len(data), hashlib.sha256(data).hexdigest()


def ask(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as db:
        return db.execute(sql).fetchall()


SHAPES = [
    {"pages": 400, "page_size": 1024, "mode": "delete"},
    {"pages": 90, "page_size": 4096, "mode": "wal"},
    {"pages": 300, "page_size": 4096, "mode": "wal"},
    {"pages": 500, "page_size": 512, "mode": "delete"},
]
"""Longer and shorter, other pages, other modes."""


def test_an_import_is_seen_at_once_whatever_the_kernel_knew(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    """The file before it is read whole, so its pages and its size are the kernel's; then there is another. It
    takes writes, and a replica has the same."""
    cluster = cluster_factory(1)
    primary, (replica,) = cluster.primary, cluster.replicas
    path = primary.database("a.db")
    assert not path.exists()  # The kernel knows that there is none.
    inodes = set()
    for number, shape in enumerate((*SHAPES, *SHAPES[:2])):
        content = make(tmp_path / "source", number=number, **shape)  # type: ignore[arg-type]
        load(primary, content)
        assert content_of(path) == expected(content)
        inodes.add((primary.data / "dbs/a.db/database").stat().st_ino)
        ((last, count),) = ask(path, "SELECT max(number), count(*) FROM t")
        assert (last, count) == (number, shape["pages"])
        ask(path, "INSERT INTO t (number) VALUES (-1)")
        assert ask(path, "PRAGMA quick_check") == [("ok",)]
        assert ask(path, "SELECT count(*) FROM t WHERE number = -1") == [(1,)]
        cluster.wait_synced(20)
        assert content_of(replica.database("a.db")) == content_of(path)
    assert len(inodes) > 2, "no file got the name: this has tested nothing"
    assert not list((primary.data / "tmp").iterdir())


@contextmanager
def readers(path: Path, wrong: list[object], seen: set[object]) -> Iterator[None]:
    """Two threads that open, read and close all the time; each must see one database, whole."""
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                rows = ask(path, "SELECT min(number), max(number), count(*) FROM t")[0]
            except sqlite3.Error as error:
                wrong.append(error)
                return
            seen.add(rows)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


@pytest.mark.parametrize("times", [8, pytest.param(60, marks=pytest.mark.full)])
def test_whoever_opens_it_just_then_sees_the_old_or_the_new(
    cluster_factory: ClusterFactory, tmp_path: Path, times: int
) -> None:
    """Some imports meet a client and go through the mount, some do not: nobody sees a mixture or an error."""
    primary = cluster_factory(0).primary
    shapes = itertools.islice(itertools.cycle(SHAPES[:3]), times)
    made = [make(tmp_path / "source", number=n, **shape) for n, shape in enumerate(shapes)]  # type: ignore[arg-type]
    whole = {(n, n, SHAPES[:3][n % 3]["pages"]) for n in range(times)}
    load(primary, made[0])
    wrong: list[object] = []
    seen: set[object] = set()
    with readers(primary.database("a.db"), wrong, seen):
        for content in made[1:]:
            load(primary, content)
    assert not wrong
    assert seen <= whole and len(seen) > 1
    assert content_of(primary.database("a.db")) == expected(made[-1])


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_join_shows_a_database_whole_and_at_once(
    cluster_factory: ClusterFactory, tmp_path: Path, mode: str
) -> None:
    """Whoever looked for it before, and was told that there is none, finds it once its position is told. And
    what the primary commits then is applied to it."""
    cluster = cluster_factory(1)
    primary, (replica,) = cluster.primary, cluster.replicas
    content = make(tmp_path / "source", number=7, pages=500, mode=mode)
    assert len(content) > 1 << 20
    path, position = replica.database("a.db"), replica.database("a.db-pos")
    assert not path.exists() and not position.exists()
    load(primary, content)
    wanted = primary.positions()["a.db"]
    assert wait_until(lambda: replica.positions().get("a.db") == wanted, 20, 0.001)
    assert position.read_text() == f"{wanted}\n"
    assert content_of(path) == expected(content)
    assert ask(path, "SELECT count(*), max(number) FROM t") == [(500, 7)]
    ask(primary.database("a.db"), "INSERT INTO t (number) VALUES (8)")
    cluster.wait_synced(20)
    assert ask(path, "SELECT count(*), max(number) FROM t") == [(501, 8)]
    assert "appl" not in replica.log.read_text().lower(), "the applier had nothing to complain of"


def test_a_replica_killed_while_it_joins_shows_nothing_and_joins_again(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    """`kill -9` with half of it written: at the next start there is no trace of the half."""
    cluster = cluster_factory(1)
    primary, (replica,) = cluster.primary, cluster.replicas
    replica.stop()
    content = make(tmp_path / "source", number=1, pages=5000)
    load(primary, content)
    folder = replica.data / "dbs" / "a.db"
    killed = 0
    for _ in range(3):
        replica.start()
        if wait_until((folder / "database.tmp").exists, 20, 0.0005):
            replica.kill9()
            killed += not (folder / "database").exists()
        if (folder / "database").exists():
            break
    assert killed, "it was killed too late each time"
    if not replica.pid:
        replica.start()
    replica.wait_ready()
    cluster.wait_synced(30)
    assert content_of(replica.database("a.db")) == expected(content)
    assert not list(replica.data.rglob("*.tmp"))


@pytest.mark.parametrize("mebibytes", [32, pytest.param(200, marks=pytest.mark.full)])
def test_memory_does_not_grow_with_a_database(
    cluster_factory: ClusterFactory, tmp_path: Path, mebibytes: int
) -> None:
    """Imported, imported over itself, and joined: at their peak both nodes take no more for much than for
    little."""
    cluster = cluster_factory(1)
    primary, (replica,) = cluster.primary, cluster.replicas
    content = make(tmp_path / "source", number=1, pages=256 * mebibytes)
    idle = {node.name: forget_peak(node) for node in cluster}
    load(primary, content)
    load(primary, content)
    cluster.wait_synced(60)
    replica.stop()
    shutil.rmtree(replica.data)
    replica.start()
    replica.wait_ready(60)
    cluster.wait_synced(60)
    took = {node.name: memory(node, "VmHWM") - idle[node.name] for node in cluster}
    print(took)
    assert max(took.values()) < MOST_MIB


def test_a_connection_that_is_cut_leaves_nothing_of_a_join(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    """The primary is killed while its snapshot is on its way; it comes back, and the replica joins."""
    cluster = cluster_factory(1)
    primary, (replica,) = cluster.primary, cluster.replicas
    replica.stop()
    content = make(tmp_path / "source", number=1, pages=5000)
    load(primary, content)
    folder = replica.data / "dbs" / "a.db"
    replica.start()
    cut = wait_until((folder / "database.tmp").exists, 20, 0.0005)
    primary.kill9()
    assert cut
    assert wait_until(lambda: not (folder / "database.tmp").exists(), 20)
    if not (folder / "database").exists():
        assert "a.db" not in {path.name for path in replica.mount.iterdir()}
        assert not list(folder.rglob("*.tmp"))
    primary.start()
    primary.wait_ready()
    replica.wait_ready(30)
    cluster.wait_synced(30)
    assert content_of(replica.database("a.db")) == expected(content)
