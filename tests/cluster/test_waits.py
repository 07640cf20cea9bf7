"""Waiting beside a client that keeps its database locked: with an end, and with its name in the error."""

import re
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from pylitefs.cluster.cluster import ClusterNode
from tests import forked
from tests.cluster.checks import eventually, txid
from tests.conftest import ClusterFactory

pytestmark = pytest.mark.fuse

LARGE = 33 << 20
"""More than is copied between two writes."""
TIMEOUT_S = 3.0
LOCKED_S = 20.0

EXCLUSIVE = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA locking_mode=EXCLUSIVE")
db.execute("CREATE TABLE IF NOT EXISTS t (x)")
if len(sys.argv) > 2:
    db.execute("INSERT INTO t VALUES (zeroblob(?))", (int(sys.argv[2]),))
db.execute("BEGIN EXCLUSIVE")
db.execute("INSERT INTO t VALUES (1)")
db.execute("COMMIT")
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(node: ClusterNode, name: str) -> Iterator[int]:
    """A process that has made a large database and keeps every lock on it."""
    process = forked.python("-c", EXCLUSIVE, node.database(name), LARGE)
    try:
        assert process.stdout.readline() == "ready\n"
        yield process.pid
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def ask_for_export(node: ClusterNode, name: str) -> socket.socket:
    """An export's request, sent; whoever has the socket may go away."""
    address = urlsplit(node.url)
    assert address.hostname and address.port
    client = socket.create_connection((address.hostname, address.port))
    client.sendall(f"GET /export?name={name} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return client


def log_of(node: ClusterNode) -> str:
    return node.log.read_text()


def test_an_export_waits_no_longer_than_its_client_nor_than_snapshot_timeout(
    cluster_factory: ClusterFactory,
) -> None:
    """`http.snapshot-timeout` holds, and the error names who holds what. A client that leaves takes the wait
    along. After a second the log says who waits for whom."""
    cluster = cluster_factory(replicas=0, settings={"http": {"snapshot-timeout": f"{TIMEOUT_S:.0f}s"}})
    node = cluster.primary
    with locked(node, "a.db") as pid:
        started = time.monotonic()
        answer = httpx.get(f"{node.url}/export?name=a.db", timeout=30, trust_env=False)
        waited = time.monotonic() - started
        assert answer.status_code == 503 and TIMEOUT_S - 0.5 < waited < TIMEOUT_S + 5
        assert re.search(rf"a\.db is locked: .*process {pid}\) holds .*\(an export waited 3", answer.text)
        assert re.search(rf"an export has been waiting for 1\.\d s: .*process {pid}\) holds", log_of(node))
        assert "was given up" not in log_of(node)
        with ask_for_export(node, "a.db"):
            eventually(lambda: log_of(node).count("an export has been waiting") == 2, "a second wait", 10)
        left = time.monotonic()
        eventually(lambda: _threads_that_copy(node) == 0, "the end of the wait", 10)
        assert time.monotonic() - left < TIMEOUT_S


def _threads_that_copy(node: ClusterNode) -> int:
    dump = httpx.get(f"{node.url}/debug/pprof/goroutine", timeout=10, trust_env=False).text
    return dump.count("_copy_as_reader")


@pytest.mark.full
def test_an_import_beside_an_export_that_waits_keeps_its_limit(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    """A client with locking_mode=EXCLUSIVE, an export that would wait for an hour, and an import: the import
    fails within its 20 s, names the client, and changes nothing. Both have what they want once it is gone."""
    cluster = cluster_factory(replicas=0, settings={"http": {"snapshot-timeout": "1h"}})
    node = cluster.primary
    with closing(sqlite3.connect(tmp_path / "new")) as db:
        db.execute("CREATE TABLE new (x)")
    content = (tmp_path / "new").read_bytes()

    def imported() -> httpx.Response:
        return httpx.post(f"{node.url}/import?name=a.db", content=content, timeout=60, trust_env=False)

    with locked(node, "a.db") as pid:
        before = txid(node, "a.db")
        with ask_for_export(node, "a.db") as export:
            eventually(lambda: "an export has been waiting" in log_of(node), "the export's wait", 10)
            started = time.monotonic()
            answer = imported()
            assert time.monotonic() - started < LOCKED_S + 3
            assert answer.status_code == 503
            assert re.search(rf"process {pid}\) holds", answer.text), answer.text
            assert txid(node, "a.db") == before
            export.settimeout(0.1)
            with pytest.raises(TimeoutError):
                export.recv(1)
    assert imported().status_code == 200
    assert txid(node, "a.db") == before + 1
