"""NGINX before the nodes, with two servers in the nodes' place that say who they are."""

import runpy
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from pylitefs.cluster.ports import free_ports

DEMO = Path(__file__).resolve().parents[2] / "demo"
TEMPLATE = DEMO / "nginx"
#: No module of a package: it lies beside the application.
FRONT = runpy.run_path(str(DEMO / "app" / "front.py"))

pytestmark = pytest.mark.nginx


@contextmanager
def server(name: str) -> Iterator[str]:
    """Answers everything with its name; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(name.encode())

        do_POST = do_PUT = do_DELETE = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{found.server_port}"
    finally:
        found.shutdown()
        thread.join()
        found.server_close()


@pytest.fixture
def nginx(tmp_path: Path, eventually: Callable[..., None]) -> Iterator[Callable[..., str]]:
    """Starts NGINX before a primary and so many replicas; its URL."""
    with ExitStack() as stack:

        def start(replicas: int, **settings: str) -> str:
            primary = stack.enter_context(server("primary"))
            others = [stack.enter_context(server(f"replica{number}")) for number in range(1, replicas + 1)]
            address = f"127.0.0.1:{free_ports(1)[0]}"
            file = tmp_path / "nginx.conf"
            file.write_text(FRONT["config"](TEMPLATE, tmp_path, address, [primary], others, **settings))
            log = str(tmp_path / "error.log")
            process = subprocess.Popen(["nginx", "-e", log, "-p", str(tmp_path), "-c", str(file)])
            stack.callback(process.wait, 10)
            stack.callback(process.terminate)

            def answers() -> bool:
                try:
                    return httpx.get(f"http://{address}/", trust_env=False).status_code == 200
                except httpx.HTTPError:
                    return False

            eventually(answers, "NGINX")
            return f"http://{address}/"

        yield start


def who(url: str, method: str = "GET", pin: str = "") -> str:
    answer = httpx.request(method, url, cookies={"pin": pin} if pin else None, trust_env=False)
    return answer.text if answer.status_code == 200 else str(answer.status_code)


def test_where_no_node_passes_a_write_on_the_primary_gets_them_all(nginx: Callable[..., str]) -> None:
    """As real LiteFS needs it: everything but GET and HEAD, wherever the reader was pinned to."""
    url = nginx(1, writes=FRONT["TO_THE_PRIMARY"])
    for method in ("POST", "PUT", "DELETE"):
        assert [who(url, method, pin) for pin in ("", "", "replica")] == ["primary"] * 3
    assert who(url, pin="replica") == "replica1"
    assert {who(url), who(url)} == {"primary", "replica1"}


def test_where_nodes_pass_writes_on_they_take_their_turn_too(nginx: Callable[..., str]) -> None:
    url = nginx(2)
    assert {who(url, "POST") for _ in range(3)} == {"primary", "replica1", "replica2"}
    assert who(url, "POST", "replica").startswith("replica")


def test_who_watches_all_nodes_is_sent_to_each_whatever_is_pinned(nginx: Callable[..., str]) -> None:
    """The demo's load counted on one node only, after a pin of six minutes before."""
    url = nginx(1)
    assert {who(f"{url}nodes", pin="replica") for _ in range(2)} == {"primary", "replica1"}
    assert {who(f"{url}node", pin="replica") for _ in range(2)} == {"replica1"}


def test_without_a_replica_the_primary_answers(nginx: Callable[..., str]) -> None:
    """What is pinned to a replica gets the page that says so."""
    url = nginx(0)
    assert [who(url), who(url)] == ["primary", "primary"]
    assert who(url, pin="replica") == "502"
