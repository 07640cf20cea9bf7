"""The backup of real nodes on real mounts: killed, emptied, and replaced under their clients."""

import contextlib
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from pylitefs.backup.folder import BackupFolder
from pylitefs.cluster.cluster import ClusterNode, node_facts
from pylitefs.ltx.position import Pos
from tests.backup.backups import back_up, insert, names
from tests.conftest import ClusterFactory
from tests.store.serving import Served
from tests.store.support import opened

pytestmark = pytest.mark.fuse
Eventually = Callable[..., None]


def settings(place: Path) -> dict[str, object]:
    return {"backup": {"type": "file", "path": str(place), "delay": "20ms", "full-sync-interval": "100ms"}}


def position(place: Path, name: str = "a.db") -> Pos:
    return BackupFolder(place).position(name)


def count(node: ClusterNode) -> object:
    with closing(sqlite3.connect(node.database("a.db"), timeout=10)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return db.execute("SELECT count(*) FROM t").fetchone()[0]


def write(node: ClusterNode, rows: int, mode: str = "delete") -> None:
    with closing(sqlite3.connect(node.database("a.db"), timeout=10)) as db:
        db.execute(f"PRAGMA journal_mode={mode}")
        db.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, x)")
        for _ in range(rows):
            with db:
                db.execute("INSERT INTO t (x) VALUES (randomblob(100))")


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_node_killed_under_writes_and_emptied_comes_back_from_its_backup(
    cluster_factory: ClusterFactory, place: Path, eventually: Eventually, mode: str
) -> None:
    """Whole, at a position that it was at, and before its application could have begun."""
    cluster = cluster_factory(replicas=0, settings=settings(place))
    node = cluster.primary
    write(node, 1, mode)
    writing = threading.Thread(target=lambda: _until_it_fails(node), daemon=True)
    writing.start()
    eventually(lambda: len(names_so_far(place)) >= 5, "some files in the backup")
    node.kill9()
    writing.join(10)
    assert not writing.is_alive()
    backup = position(place)
    assert backup.txid >= 5
    shutil.rmtree(node.data)
    node.restart()
    assert node.positions() == {"a.db": backup}
    found = count(node)
    write(node, 1, mode)
    assert count(node) == (found + 1 if isinstance(found, int) else None)
    at = node.positions()["a.db"]
    assert node.stop() == 0
    assert position(place) == at, "a clean end leaves nothing behind"


def names_so_far(place: Path) -> list[Path]:
    return sorted((place / "a.db").glob("*.ltx"))


def _until_it_fails(node: ClusterNode) -> None:
    try:
        while True:
            write(node, 50)
    except sqlite3.Error:
        pass


@pytest.mark.full
def test_many_lives(cluster_factory: ClusterFactory, place: Path, eventually: Eventually) -> None:
    """Killed under writes again and again, with its disk and without it: without it the node is where its
    backup was, byte for byte, and with it has all that was acknowledged."""
    cluster = cluster_factory(replicas=0, settings=settings(place))
    node = cluster.primary
    write(node, 1)
    for life in range(9):
        acknowledged = _killed_under_writes(node, place, ("delete", "wal")[life % 2], eventually)
        backup = position(place)
        loses_its_disk = life % 3 != 2
        if loses_its_disk:
            shutil.rmtree(node.data)
        node.restart()
        rows = count(node)
        assert isinstance(rows, int)
        assert node.positions() == {"a.db": backup} if loses_its_disk else rows >= acknowledged


def _killed_under_writes(node: ClusterNode, place: Path, mode: str, eventually: Eventually) -> int:
    """How many rows were acknowledged; some of them, at least, are in the backup."""
    acknowledged = [0]

    def writes() -> None:
        with (
            contextlib.suppress(sqlite3.Error),
            closing(sqlite3.connect(node.database("a.db"), timeout=10)) as db,
        ):
            db.execute(f"PRAGMA journal_mode={mode}")
            while True:
                with db:
                    last = db.execute("INSERT INTO t (x) VALUES (randomblob(100))").lastrowid
                acknowledged[0] = last or 0

    writing = threading.Thread(target=writes, daemon=True)
    writing.start()
    eventually(lambda: acknowledged[0] > 0, "a row")
    at = node.positions()["a.db"].txid
    eventually(lambda: position(place).txid >= at, "the backup to have it")
    node.kill9()
    writing.join(10)
    assert not writing.is_alive()
    return acknowledged[0]


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_backup_that_is_ahead_replaces_a_live_database(
    cluster_factory: ClusterFactory, place: Path, tmp_path: Path, eventually: Eventually, mode: str
) -> None:
    """An open connection goes on with what is there now; the replica follows."""
    cluster = cluster_factory(replicas=1, settings=settings(place))
    node = cluster.primary
    write(node, 3, mode)
    eventually(lambda: position(place) == node.positions()["a.db"], "a level backup")
    shutil.copytree(node.data, tmp_path / "copy")
    shutil.copytree(place, tmp_path / "ahead")
    with opened(tmp_path / "copy") as copy:
        served = Served(copy, tmp_path / "mnt")
        insert(served, 4)
        served.close()
        ahead = back_up(copy, tmp_path / "ahead")
    with closing(sqlite3.connect(node.database("a.db"), timeout=10)) as db:
        assert db.execute("SELECT count(*) FROM t").fetchone() == (3,)
        (new,) = {*names(tmp_path / "ahead")} - {*names(place)}
        source = max((tmp_path / "ahead" / "a.db").iterdir())
        shutil.move(source, place / "a.db" / "arriving")
        (place / "a.db" / "arriving").rename(place / "a.db" / source.name)
        eventually(lambda: node.positions()["a.db"] == ahead, f"the restore of {new}")
        assert db.execute("SELECT count(*) FROM t").fetchone() == (7,)
        with db:
            db.execute("INSERT INTO t (x) VALUES (1)")
    cluster.wait_synced()
    assert count(cluster.replicas[0]) == count(node) == 8


def test_a_replica_hears_the_high_water_mark_and_says_what_its_backup_is(
    cluster_factory: ClusterFactory, place: Path, eventually: Eventually
) -> None:
    cluster = cluster_factory(replicas=1, settings=settings(place))
    write(cluster.primary, 3)
    eventually(lambda: position(place) == cluster.primary.positions()["a.db"], "a level backup")
    write(cluster.primary, 1)
    replica = cluster.replicas[0]

    def mark() -> float:
        text = httpx.get(f"{replica.url}/metrics", trust_env=False).text
        found = [line for line in text.splitlines() if line.startswith('pylitefs_backup_hwm{db="a.db"}')]
        return float(found[0].split()[-1]) if found else 0

    eventually(lambda: mark() == 4, "the mark of the transactions before")
    assert node_facts(replica.url)["backup"]["isRunning"] is False
    assert node_facts(cluster.primary.url)["backup"]["isRunning"] is True
