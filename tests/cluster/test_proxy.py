"""The proxies of a real cluster: who writes through any of them reads its own writes through any other."""

import random
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from pylitefs.cluster.cluster import Cluster
from pylitefs.cluster.ports import free_ports
from pylitefs.lecture.live.links import Link

pytestmark = pytest.mark.fuse

CLIENTS = 10
DELAY_MS = 50


class App(BaseHTTPRequestHandler):
    """Counts: POST /NAME adds one to a counter, GET /NAME reads it. Knows one path and nothing else."""

    protocol_version = "HTTP/1.1"
    database: Path

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer("SELECT n FROM counter WHERE name = ?")

    def do_POST(self) -> None:
        self._answer("INSERT INTO counter VALUES (?, 1) ON CONFLICT DO UPDATE SET n = n + 1 RETURNING n")

    def _answer(self, sql: str) -> None:
        with closing(sqlite3.connect(self.database, timeout=10, isolation_level=None)) as db:
            rows = db.execute(sql, (self.path,)).fetchall()
        content = str(rows[0][0] if rows else 0).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def links() -> list[Link]:
    """Over which the replicas follow, once `urls` has made them."""
    return []


@pytest.fixture
def urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: list[Link]) -> Iterator[list[str]]:
    """The proxies of a primary and two replicas that hear of every transaction DELAY_MS later."""
    with ExitStack() as stack:
        proxies = free_ports(3, 33000 + random.randrange(3000))
        api = free_ports(3)
        links += [stack.enter_context(Link(api[0])) for _ in range(2)]
        nodes = {}
        for number, (name, port) in enumerate(zip(("n1", "n2", "n3"), proxies, strict=True)):
            handler = type("Handler", (App,), {"database": tmp_path / "c" / name / "mnt" / "data.db"})
            app = ThreadingHTTPServer(("127.0.0.1", 0), handler)
            app.daemon_threads = True
            threading.Thread(target=app.serve_forever, args=(0.01,), daemon=True).start()
            stack.callback(app.server_close)
            stack.callback(app.shutdown)
            proxy = {"addr": f"127.0.0.1:{port}", "target": f"127.0.0.1:{app.server_port}", "db": "data.db"}
            lease = {"advertise-url": links[number - 1].url} if number else {}
            nodes[name] = {"proxy": proxy, "lease": lease}
        monkeypatch.setenv("PYLITEFS_PROXY_FORWARD", f"http://127.0.0.1:{proxies[0]}")
        cluster = Cluster(tmp_path / "c", 2, node_settings=nodes)
        for node, port in zip(cluster, api, strict=True):
            node.port = port
        stack.callback(cluster.stop)
        cluster.start()
        with closing(sqlite3.connect(cluster.primary.database("data.db"))) as db:
            db.execute("PRAGMA journal_mode = wal")
            db.execute("CREATE TABLE counter (name TEXT PRIMARY KEY, n)")
        cluster.wait_synced()
        for link in links:
            link.delay_ms = DELAY_MS
        yield [f"http://127.0.0.1:{port}" for port in proxies]


@pytest.mark.parametrize("writes_each", [15, pytest.param(100, marks=pytest.mark.full)])
def test_who_writes_reads_its_own_writes_on_any_node(urls: list[str], writes_each: int) -> None:
    """Ten clients write through any node, and each reads at once through a random replica: never stale."""

    def client(number: int) -> int:
        choose = random.Random(number)
        with httpx.Client(trust_env=False, timeout=20) as http:
            stale = 0
            for written in range(1, writes_each + 1):
                answer = http.post(f"{choose.choice(urls)}/{number}")
                assert answer.text == str(written)
                # Cookies are kept by host, and all nodes are 127.0.0.1: as behind one load balancer.
                assert "__txid" in http.cookies
                stale += http.get(f"{choose.choice(urls[1:])}/{number}").text != str(written)
        return stale

    with ThreadPoolExecutor(CLIENTS) as pool:
        assert sum(pool.map(client, range(CLIENTS))) == 0


def test_without_the_cookie_a_read_is_stale(urls: list[str], links: list[Link]) -> None:
    """So it is the cookie that makes the difference: the replica is behind for longer than a read takes."""
    for link in links:
        link.delay_ms = 5000
    with httpx.Client(trust_env=False, timeout=20) as http:
        http.get(f"{urls[1]}/x")
        assert http.post(f"{urls[0]}/x").text == "1"
        http.cookies.clear()
        assert http.get(f"{urls[1]}/x").text == "0"
