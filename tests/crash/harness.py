"""Nodes held at tracepoints and killed there: the cases, the clients, and what must hold afterwards.

A *case* is a database of its own whose writer is held at one tracepoint. Several are held at once, so that
one `kill -9` is the end of them all. But who makes or unlinks a name holds the kernel's lock on the
mount's directory, and every other who wants to make, unlink or look one up waits behind it: of those cases
there can be only one in a round, and it is held last.
"""

import json
import select
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from pylitefs.cluster.cluster import Cluster, ClusterNode, wait_until
from pylitefs.control.channel import RemoteGate
from pylitefs.ltx.checksum import page_checksum
from pylitefs.ltx.position import Pos
from pylitefs.sqlite.header import DatabaseHeader
from pylitefs.store.checksums import PageChecksums
from tests import forked

HANG_S = 20.0
"""A client that has no answer after so long hangs."""


class Writer:
    """A client process (writer.py); killed at the end, whatever it waits for."""

    def __init__(self, path: Path) -> None:
        self.process = forked.python("-m", "tests.crash.writer", path)

    def send(self, *sql: str) -> None:
        self.process.stdin.write(json.dumps({"sql": sql}) + "\n")
        self.process.stdin.flush()

    def answer(self, seconds: float = HANG_S) -> dict[str, Any]:
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        assert ready, f"the client hangs: no answer for {seconds:g} s"
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def run(self, *sql: str) -> list[list[Any]]:
        """Statements that must succeed; the last one's rows."""
        self.send(*sql)
        answer = self.answer()
        assert "ok" in answer, answer
        rows: list[list[Any]] = answer["ok"]
        return rows

    def end(self) -> None:
        self.process.kill()
        self.process.wait(10)
        self.process.stdin.close()
        self.process.stdout.close()


def ask(path: Path, *sql: str) -> list[list[Any]]:
    """Statements by a new client that ends at once, and must not hang."""
    writer = Writer(path)
    try:
        return writer.run(*sql)
    finally:
        writer.end()


ROW = "INSERT INTO t (x) VALUES (randomblob(3000))"
SPILL = (
    "PRAGMA cache_size=2",
    "BEGIN",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40) "
    "INSERT INTO t (x) SELECT randomblob(3000) FROM n",
)
MODES = ("delete", "truncate", "persist", "wal")


@dataclass
class Case:
    """One database, and the moment at which its writer is held."""

    mode: str
    point: str
    sql: tuple[str, ...] = (ROW,)
    """What the writer is at."""
    prepare: tuple[str, ...] = ()
    first: bool = False
    """It is the very first transaction: there is no table yet."""
    label: str = ""
    prefix: str = ""
    rows: int = 0
    """How many rows are acknowledged."""
    before: Pos = field(default_factory=Pos)
    writer: Writer | None = None
    gate: RemoteGate | None = None

    def __str__(self) -> str:
        return f"{self.prefix}{self.mode}-{self.point}{self.label}"

    @property
    def name(self) -> str:
        return f"{self}.db"

    @property
    def holds_the_directory(self) -> bool:
        """Whether its writer stands within a `create` or an `unlink`."""
        makes = self.point == "journal.open"
        ends = self.mode == "delete" and self.point in (
            "journal.invalidate", "ltx.encode", "ltx.commit", "pos.advance", "tx.rollback"
        )  # fmt: skip
        return makes or ends

    def begin(self, node: ClusterNode) -> None:
        """A database with acknowledged rows, and a gate before its writer."""
        self.writer = Writer(node.database(self.name))
        self.writer.run(f"PRAGMA journal_mode={self.mode}", "PRAGMA synchronous=full")
        if not self.first:
            self.writer.run("CREATE TABLE t (id INTEGER PRIMARY KEY, x)", ROW, ROW, *self.prepare)
            ((self.rows,),) = self.writer.run("SELECT count(*) FROM t")
        self.before = node.positions().get(self.name, Pos())

    def hold(self, node: ClusterNode) -> None:
        """Have the writer run into the gate."""
        assert node.control is not None and self.writer is not None
        self.gate = node.control.gate(self.point, database=self.name)
        self.writer.send(*self.sql)
        event = self.gate.wait(HANG_S)
        assert event is not None, f"{self}: nobody passes {self.point}"
        # In WAL mode the position moves once SQLite has its answer, and its readers the commit.
        assert event["pid"] == self.writer.process.pid or (self.mode, self.point) == ("wal", "pos.advance")

    def end(self) -> None:
        """The node is gone: the client is told so, and does not hang."""
        assert self.writer is not None
        answer = self.writer.answer()
        assert "error" in answer or self.point not in ("journal.write", "page.write", "wal.frame"), answer
        self.writer.end()

    def check(self, node: ClusterNode) -> None:
        """On the restarted primary: whole, nothing acknowledged lost, at a position there was."""
        position = node.positions().get(self.name, Pos())
        if position == Pos():
            assert self.first or self.before == Pos(), f"{self}: the database is gone"
            return
        assert ask(node.database(self.name), "PRAGMA integrity_check") == [["ok"]]
        assert position.txid - self.before.txid in (0, 1)
        if position.txid == self.before.txid:
            assert position == self.before
        ((count, last),) = ask(node.database(self.name), "SELECT count(*), coalesce(max(id), 0) FROM t")
        assert count == last and self.rows <= count
        ask(node.database(self.name), ROW)


def hold_all(node: ClusterNode, cases: list[Case]) -> None:
    """Every case at its gate; those that hold the mount's directory last."""
    assert sum(case.holds_the_directory for case in cases) <= 1
    for case in cases:
        case.begin(node)
    for case in sorted(cases, key=lambda case: case.holds_the_directory):
        case.hold(node)


def exported(node: ClusterNode, name: str) -> bytes:
    answer = httpx.get(f"{node.url}/export", params={"name": name}, timeout=10, trust_env=False)
    assert answer.status_code == 200, answer.text
    return answer.content


def assert_equal_everywhere(cluster: Cluster, names: list[str]) -> None:
    """Every node has the primary's positions and bytes, and the checksums are those of the bytes."""
    cluster.wait_synced(20)
    wanted = cluster.primary.positions()
    for name in names:
        if name not in wanted or str(wanted[name]).endswith("/8000000000000000"):
            continue
        content = exported(cluster.primary, name)
        size = DatabaseHeader.parse(content).page_size
        pages = {
            pgno: page_checksum(pgno, content[(pgno - 1) * size : pgno * size])
            for pgno in range(1, len(content) // size + 1)
        }
        assert PageChecksums().preview(pages, len(pages)) == wanted[name].checksum
        for replica in cluster.replicas:
            assert exported(replica, name) == content
            assert ask(replica.database(name), "PRAGMA integrity_check") == [["ok"]]


def write_row(node: ClusterNode, name: str) -> None:
    ask(node.database(name), ROW)


def wait_disconnected(cluster: Cluster) -> None:
    """The replicas have noticed that the primary is gone."""
    for replica in cluster.replicas:
        assert wait_until(lambda one=replica: not (one.mount / ".primary").exists(), 20)  # type: ignore[misc]
