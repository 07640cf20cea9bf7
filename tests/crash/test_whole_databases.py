"""The primary is killed while a whole database is on its way: a snapshot, an import, a drop, a transaction
over two databases; and while it recovers from such a crash."""

import sqlite3
import subprocess
import threading
from contextlib import closing
from functools import partial
from pathlib import Path

import httpx
import pytest

from pylitefs.cluster.cluster import Cluster, wait_until
from pylitefs.control.channel import Control, RemoteGate
from pylitefs.ltx.checksum import EMPTY_CHECKSUM
from pylitefs.ltx.position import Pos
from tests.crash.harness import (
    HANG_S,
    ROW,
    Case,
    Writer,
    ask,
    assert_equal_everywhere,
    write_row,
)

pytestmark = pytest.mark.fuse

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, x)"


def count(path: Path) -> int:
    ((rows,),) = ask(path, "SELECT count(*) FROM t")
    return int(rows)


def make(cluster: Cluster, name: str, mode: str = "delete") -> Pos:
    ask(cluster.primary.database(name), f"PRAGMA journal_mode={mode}", TABLE, ROW, ROW)
    cluster.wait_synced(20)
    return cluster.primary.positions()[name]


@pytest.mark.parametrize(
    "point",
    [
        "snapshot.end",
        "stream.send",
        pytest.param("snapshot.begin", marks=pytest.mark.full),
        pytest.param("catchup.decide", marks=pytest.mark.full),
    ],
)
def test_a_primary_killed_while_it_sends_a_new_database(cluster: Cluster, point: str) -> None:
    """The replicas were away while it was made, so they get a snapshot."""
    primary, name = cluster.primary, f"{point}.db"
    assert primary.control is not None
    for replica in cluster.replicas:
        replica.stop()
    try:
        ask(primary.database(name), TABLE, ROW)
        gate = primary.control.gate(point, database=name)
        for replica in cluster.replicas:
            replica.start()
        event = gate.wait(HANG_S)
        assert event is not None
        write_row(primary, name)  # Nobody but the stream is held.
        position = primary.positions()[name]
        primary.kill9()
        left = set((primary.data / "tmp").iterdir())
    finally:
        primary.restart()
    assert primary.positions()[name] == position
    assert not left & set((primary.data / "tmp").iterdir()), "nothing is left of the snapshot"
    assert_equal_everywhere(cluster, [name])
    # The replicas are back, and each gets a snapshot anew: its files are there for a moment.
    assert wait_until(lambda: not list((primary.data / "tmp").iterdir()), HANG_S)
    assert count(cluster.replicas[0].database(name)) == 2


@pytest.mark.parametrize(
    ("mode", "point"),
    [
        ("delete", "ltx.encode"),
        ("wal", "ltx.commit"),
        *(
            pytest.param(mode, point, marks=pytest.mark.full)
            for mode in ("delete", "wal")
            for point in ("ltx.encode", "ltx.commit", "pos.advance", "page.apply")
        ),
    ],
)
def test_a_primary_killed_while_it_imports(
    cluster: Cluster, request: pytest.FixtureRequest, tmp_path: Path, mode: str, point: str
) -> None:
    """The database is the old or the new one, and the new one where the transaction was published."""
    primary, name = cluster.primary, f"import-{mode}-{point}.db"
    if request.node.get_closest_marker("full"):
        name = f"full-{name}"
    source = tmp_path / "source"
    with closing(sqlite3.connect(source)) as db, db:
        db.execute(TABLE)
        db.executemany("INSERT INTO t (x) VALUES (randomblob(?))", [(3000,)] * 50)
    before = make(cluster, name, mode)
    assert primary.control is not None
    gate = primary.control.gate(point, database=name)
    failed: list[Exception] = []

    def send() -> None:
        try:
            url = f"{primary.url}/import"
            content = source.read_bytes()
            httpx.post(url, params={"name": name}, content=content, timeout=60, trust_env=False)
        except httpx.HTTPError as error:
            failed.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        assert gate.wait(HANG_S) is not None
        primary.kill9()
        sender.join(HANG_S)
        assert failed and not sender.is_alive()
    finally:
        primary.restart()
    position = primary.positions()[name]
    imported = position.txid == before.txid + 1
    assert imported or position == before
    assert imported or point == "ltx.encode"
    assert count(primary.database(name)) == (50 if imported else 2)
    write_row(primary, name)
    assert_equal_everywhere(cluster, [name])


@pytest.mark.parametrize("point", ["ltx.commit", pytest.param("ltx.encode", marks=pytest.mark.full)])
def test_a_primary_killed_while_it_drops(cluster: Cluster, point: str) -> None:
    primary, name = cluster.primary, f"drop-{point}.db"
    before = make(cluster, name, "wal")
    assert primary.control is not None
    gate = primary.control.gate(point, database=name)
    rm = subprocess.Popen(["rm", "-f", str(primary.database(name))], stderr=subprocess.DEVNULL)
    try:
        assert gate.wait(HANG_S) is not None
        primary.kill9()
        assert rm.wait(HANG_S) != 0
    finally:
        rm.kill()
        primary.restart()
    dropped = primary.positions()[name] == Pos(before.txid + 1, EMPTY_CHECKSUM)
    assert dropped or primary.positions()[name] == before
    assert dropped == (point == "ltx.commit") != primary.database(name).exists()
    cluster.wait_synced(20)
    ask(primary.database(name), *([TABLE] if dropped else []), ROW)
    assert_equal_everywhere(cluster, [name])


def test_a_primary_killed_in_a_transaction_over_two_databases(cluster: Cluster) -> None:
    """After the commit point of all, and before the second database's: both have it."""
    primary = cluster.primary
    names = ["two-a.db", "two-b.db"]
    for name in names:
        make(cluster, name, "truncate")
    writer = Writer(primary.database(names[0]))
    assert primary.control is not None
    try:
        attached = primary.database(names[1])
        writer.run(f"ATTACH '{attached}' AS b")
        writer.run("PRAGMA main.journal_mode=truncate", "PRAGMA b.journal_mode=truncate")
        gate = primary.control.gate("journal.invalidate", database=names[1])
        writer.send("BEGIN", ROW, ROW.replace("INTO t", "INTO b.t"), "COMMIT")
        assert gate.wait(HANG_S) is not None
        assert not list(primary.data.glob("dbs/*/mj*")), "the super-journal is gone: it is committed"
        primary.kill9()
        writer.answer()
    finally:
        writer.end()
        primary.restart()
    assert [count(primary.database(name)) for name in names] == [3, 3]
    assert_equal_everywhere(cluster, names)


def test_a_primary_killed_while_it_recovers_recovers_the_next_time(cluster: Cluster) -> None:
    """With a hot journal to roll back, an LTX file to replay, and a WAL to bring into its database."""
    primary = cluster.primary
    hot = Case("delete", "ltx.commit", prefix="zz-recovery-")
    wal = Case("wal", "ltx.commit", prefix="zz-recovery-")
    names = [hot.name, wal.name]
    points = ("recovery.begin", "recovery.journal", "recovery.ltx", "recovery.wal", "recovery.end")
    try:
        for case in (wal, hot):
            case.begin(primary)
            case.hold(primary)
        primary.kill9()
        for case in (wal, hot):
            case.end()
        for point in points:
            name = wal.name if point == "recovery.wal" else hot.name
            gates: list[RemoteGate] = []
            primary.prepare = partial(_gated, gates, point, name)
            primary.start()
            event = gates[0].wait(HANG_S)
            assert event is not None and event["name"] == point, primary.log_tail()
            primary.kill9()
    finally:
        for case in (wal, hot):
            if case.writer is not None:
                case.writer.end()
        primary.prepare = lambda control: None
        primary.restart()
    for case in (wal, hot):
        case.check(primary)
    assert_equal_everywhere(cluster, names)


def _gated(gates: list[RemoteGate], point: str, database: str, control: Control) -> None:
    """The gate is there before the node recovers anything."""
    gates.append(control.gate_ahead(point, database=database))


def test_a_data_directory_of_pylitefs_is_laid_out_as_litefs_s(cluster: Cluster) -> None:
    """After all these crashes: what is there has LiteFS's names, and nothing half written is left."""
    for node in cluster:
        assert (node.data / "clusterid").read_text() == (cluster.primary.data / "clusterid").read_text()
        assert {path.name for path in node.data.iterdir()} <= {"clusterid", "dbs", "tmp"}
        assert not list(node.data.rglob("*.tmp"))
        for directory in (node.data / "dbs").iterdir():
            found = {path.name for path in directory.iterdir()}
            # The last is ours: a WAL that was cut back is kept aside.
            names = {"database", "journal", "wal", "shm", "ltx", "wal.removed"}
            assert found <= names, f"{directory}: {found}"
            assert "ltx" in found
