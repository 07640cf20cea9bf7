"""The tests' side of their clients, and what must hold of a cluster once it has settled.

The rule: the test's own process never touches a mount, where a fault could hang it for good; it asks
clients, with a deadline, looks into the data directories, and asks the nodes over HTTP.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pylitefs.cluster import Cluster, ClusterNode, node_facts, wait_until
from pylitefs.errors import RemoteError
from pylitefs.ltx.checksum import page_checksum
from pylitefs.ltx.database import database_checksum
from pylitefs.ltx.decoder import verify_file
from pylitefs.ltx.header import parse_filename
from pylitefs.ltx.position import Pos
from pylitefs.store.checksums import PageChecksums

ROOT = Path(__file__).parents[2]
ANSWER_S = 20.0
"""A client that gives no answer for so long hangs."""

Message = dict[str, Any]


class ClientHangs(AssertionError):
    """A client did not answer in time."""


class Client:
    """A client process (client.py) on a database of a node's mount."""

    def __init__(self, path: Path, role: str = "shell", **options: object) -> None:
        self.name = f"{role} on {path.parent.parent.name}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.cluster.client", str(path), json.dumps({"role": role, **options})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            bufsize=0,
        )
        self._answer(ANSWER_S)

    @property
    def pid(self) -> int:
        return self.process.pid

    def tell(self, do: str, **more: object) -> None:
        """Give an order without waiting for the answer."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")

    def _answer(self, seconds: float) -> Message:
        assert self.process.stdout
        fd = self.process.stdout.fileno()
        data = b""
        deadline = time.monotonic() + seconds
        while not data.endswith(b"\n"):
            if not select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise ClientHangs(f"{self.name} gives no answer for {seconds:.0f} s: {self._where()}")
            piece = os.read(fd, 1 << 16)
            if not piece:
                raise AssertionError(f"{self.name} ended with {self.process.wait()}")
            data += piece
        answer: Message = json.loads(data)
        return answer

    def _where(self) -> str:
        try:
            return Path(f"/proc/{self.pid}/stack").read_text().strip()
        except OSError:
            return "its kernel stack cannot be read"

    def ask(self, do: str, seconds: float = ANSWER_S, **more: object) -> Message:
        """Give an order and take the answer. Raises ClientHangs."""
        self.tell(do, **more)
        return self._answer(seconds)

    def sql(self, *statements: str, seconds: float = ANSWER_S) -> list[Any]:
        """The rows of the last statement; an error fails the test."""
        answer = self.ask("sql", seconds, sql=statements)
        assert "rows" in answer, f"{self.name}: {answer['error']} ({statements})"
        rows: list[Any] = answer["rows"]
        return rows

    def report(self) -> Message:
        return self.ask("report")

    def run(self, count: int = 1 << 60) -> None:
        """Loop from now on; a writer for so many transactions."""
        self.ask("run", count=count)

    def close(self) -> None:
        """End the process as a program ends: SQLite closes what it has open."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()
        self.process.wait(ANSWER_S)

    def kill9(self) -> None:
        self.process.kill()

    def discard(self) -> None:
        """Whatever state it is in: kill it; one that hangs in its mount ends with that."""
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()


class Clients:
    """Makes clients; the fixture of that name ends them all before the cluster stops."""

    def __init__(self) -> None:
        self._all: list[Client] = []

    def __call__(self, node: ClusterNode, database: str, role: str = "shell", **options: object) -> Client:
        client = Client(node.database(database), role, **options)
        self._all.append(client)
        return client

    def discard_all(self) -> None:
        for client in self._all:
            client.discard()

    def wait_all(self) -> None:
        for client in self._all:
            client.process.wait(10)


def position(node: ClusterNode, database: str) -> str:
    """The position as the node's `/debug/vars` shows it; "" if it has none, or does not answer."""
    try:
        databases = node_facts(node.url).get("databases", {})
    except RemoteError:
        return ""
    return str(databases.get(database, {}).get("pos", ""))


def txid(node: ClusterNode, database: str) -> int:
    text = position(node, database)
    return Pos.parse(text).txid if text else 0


def wait_txid(node: ClusterNode, database: str, goal: int, seconds: float = 30.0) -> None:
    eventually(lambda: txid(node, database) >= goal, f"TXID {goal} of {database} on {node.name}", seconds)


def eventually(condition: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    assert wait_until(condition, seconds), f"after {seconds:.0f} s still not: {what}"


def wait_level(cluster: Cluster, database: str, seconds: float = 15.0) -> None:
    """Wait until every node is at the primary's position. Nobody must be writing."""

    def level() -> bool:
        wanted = position(cluster.primary, database)
        return bool(wanted) and all(position(node, database) == wanted for node in cluster.replicas)

    if not wait_until(level, seconds):
        found = {node.name: position(node, database) or node.log_tail(5) for node in cluster}
        raise AssertionError(f"after {seconds:.0f} s the nodes are not level: {found}")


def checkpoint(client: Client, seconds: float = 15.0) -> None:
    """Empty the WAL, however often readers are in the way."""
    eventually(
        lambda: client.sql("PRAGMA wal_checkpoint(TRUNCATE)")[0][0] == 0, "a TRUNCATE checkpoint", seconds
    )


def assert_all_equal(cluster: Cluster, database: str, clients: Clients) -> None:
    """Settle, checkpoint, and hold the nodes against each other: bytes, positions, checksums, integrity."""
    wait_level(cluster, database)
    checkpoint(clients(cluster.primary, database, timeout=10.0))
    wait_level(cluster, database)
    files = {node.name: node.data / "dbs" / database / "database" for node in cluster}
    contents = {name: path.read_bytes() for name, path in files.items()}
    for node in cluster:
        at = Pos.parse(position(node, database))
        summed = database_checksum(files[node.name])
        assert summed == at.checksum, f"{node.name} is at {at}, its bytes give {summed:016x}"
        assert len(contents[node.name]) == len(contents[cluster.primary.name]), f"{node.name}: length"
        assert contents[node.name] == contents[cluster.primary.name], differing(contents, node.name)
        shell = clients(node, database, timeout=10.0)
        assert shell.sql("PRAGMA integrity_check") == [["ok"]], node.name
        shell.close()


def differing(contents: dict[str, bytes], name: str) -> str:
    """Which 512-byte pieces of a node's database differ from the primary's."""
    primary = next(iter(contents.values()))
    pieces = [
        at
        for at in range(0, len(primary), 512)
        if primary[at : at + 512] != contents[name][at : at + 512]
    ]
    return f"{name} differs at bytes {pieces[:20]}"


def assert_history_adds_up(node: ClusterNode, database: str) -> int:
    """Replay the LTX files the node keeps: each one's checksums are those of the pages. How many."""
    sums = PageChecksums()
    at: Pos | None = None
    spans = sorted(filter(None, (parse_filename(p.name) for p in ltx_files(node, database))))
    for low, high in spans:
        pages = PageSums()
        path = node.data / "dbs" / database / "ltx" / f"{low:016x}-{high:016x}.ltx"
        header, trailer = verify_file(path, pages.add)
        if at is None or header.is_snapshot:
            assert header.is_snapshot, f"{path} is the first and no snapshot"
            sums = PageChecksums()
        else:
            assert Pos(low - 1, header.pre_apply_checksum) == at, f"{path} does not continue {at}"
        sums.update(pages.found, header.commit)
        at = Pos(high, trailer.post_apply_checksum)
        assert sums.value == at.checksum, f"{path} says {at}, its pages give {sums.value:016x}"
    assert str(at) == position(node, database), node.name
    return len(spans)


class PageSums:
    """The checksums of the pages of one LTX file."""

    def __init__(self) -> None:
        self.found: dict[int, int] = {}

    def add(self, pgno: int, page: bytes) -> None:
        self.found[pgno] = page_checksum(pgno, page)


def ltx_files(node: ClusterNode, database: str) -> Sequence[Path]:
    return list((node.data / "dbs" / database / "ltx").glob("*.ltx"))


def assert_saw_nothing_wrong(*readers: Client, errors: bool = False) -> None:
    """No reader saw half a transaction, or one older than before; nor, without `errors`, any error."""
    for reader in readers:
        report = reader.report()
        assert not report["wrong"], f"{reader.name}: {report}"
        assert report["steps"] > 0, f"{reader.name} never read: {report}"
        assert errors or not report["errors"], f"{reader.name}: {report}"
