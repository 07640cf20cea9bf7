"""The demo in containers, as a class starts it: nodes, their applications and NGINX in a Docker engine.

One story, told once: every test goes on where the one before it ended.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from pylitefs.cluster import free_ports
from tests.demo.docker_engine import Done, Engine, base_image, engine

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "pylitefs-test"

pytestmark = [pytest.mark.docker, pytest.mark.timeout(2400)]


@dataclass
class Compose:
    """The compose project, under a name of its own beside one that a class may be running."""

    engine: Engine
    port: int

    def __call__(self, *arguments: str, check: bool = True) -> Done:
        file = str(ROOT / "demo" / "docker-compose.yml")
        return self.engine.docker("compose", "-p", PROJECT, "-f", file, *arguments, check=check)

    def sqlite3(self, service: str, sql: str, *, check: bool = True) -> Done:
        return self("exec", "-T", service, "sqlite3", "/litefs/data.db", sql, check=check)

    def get(self, path: str = "/", *, pin: str = "", txid: str = "") -> httpx.Response:
        cookies = {name: value for name, value in (("pin", pin), ("__txid", txid)) if value}
        url = f"http://127.0.0.1:{self.port}{path}"
        return httpx.get(url, cookies=cookies, trust_env=False, timeout=20)

    def answering(self, times: int) -> list[str]:
        """The names of the nodes that answer; empty where none did."""
        answers = [self.get("/node") for _ in range(times)]
        return [answer.json()["name"] if answer.status_code == 200 else "" for answer in answers]

    def add_invoice(self, pin: str) -> httpx.Response:
        customer = re.findall(r"<option>([^<]+)", self.get("/invoices/new", pin="replica").text)[0]
        return httpx.post(
            f"http://127.0.0.1:{self.port}/invoices",
            data={"customer": customer, "item": "stapler", "quantity": "3"},
            cookies={"pin": pin},
            trust_env=False,
            timeout=20,
        )


@pytest.fixture(scope="module")
def docker() -> Iterator[Engine]:
    with engine() as found:
        yield found


@pytest.fixture(scope="module")
def base(docker: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    return base_image(docker, tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def compose(docker: Engine, base: str) -> Iterator[Compose]:
    (port,) = free_ports(1, 8080)
    settings = {"BASE": base, "PORT": str(port)}
    if docker.own:
        settings["BUILD_NETWORK"] = "host"
    project = Compose(Engine({**docker.environment, **settings}, docker.own), port)
    try:
        project("up", "--build", "--detach", "--wait", "nginx", "primary", "replica")
        yield project
    finally:
        project("--profile", "more", "down", "--volumes", "--rmi", "local", "--remove-orphans")


def test_the_page_is_served_by_both_nodes_in_turn(compose: Compose) -> None:
    """`up --build` is all it takes: requests alternate, and the page says who answered."""
    seen = compose.answering(8)
    assert set(seen) == {"primary", "replica"}
    assert all(one != other for one, other in itertools.pairwise(seen))
    assert "Answered by <strong>replica</strong>, replica" in compose.get(pin="replica").text


def test_an_invoice_added_through_the_replica_is_in_both_containers(compose: Compose) -> None:
    """The replica passes the write on; `sqlite3` in either container reads it."""
    added = compose.add_invoice("replica")
    assert added.status_code == 303, added.text
    number = added.headers["location"].rpartition("/")[2]
    txid = added.cookies["__txid"]
    assert f"Invoice {number}" in compose.get(f"/invoices/{number}", pin="replica", txid=txid).text
    for service in ("primary", "replica"):
        assert compose.sqlite3(service, "SELECT max(id) FROM invoices").stdout.strip() == number


def test_a_write_in_the_replica_s_container_is_refused(compose: Compose) -> None:
    refused = compose.sqlite3("replica", "DELETE FROM customers", check=False)
    assert refused.returncode != 0
    assert "readonly" in refused.stderr
    assert compose("exec", "-T", "replica", "cat", "/litefs/.primary").stdout.strip() == "primary"


def test_a_stopped_primary_comes_back_with_its_data(
    compose: Compose, eventually: Callable[..., None]
) -> None:
    """Reads go on meanwhile, and a write gets a page that says why not; the volume holds the data."""
    [before] = compose.sqlite3("primary", "SELECT count(*) FROM invoices").stdout.split()
    compose("stop", "primary")
    eventually(lambda: compose.answering(4) == ["replica"] * 4, "the replica alone", 20)
    refused = compose.add_invoice("replica")
    assert refused.status_code == 503
    assert "The primary cannot be reached" in refused.text
    compose("start", "primary")
    eventually(lambda: set(compose.answering(4)) == {"primary", "replica"}, "both nodes", 30)
    assert compose.sqlite3("primary", "SELECT count(*) FROM invoices").stdout.split() == [before]
    added = compose.add_invoice("primary")
    assert added.status_code == 303, added.text
    number = added.headers["location"].rpartition("/")[2]
    newest = "SELECT max(id) FROM invoices"
    eventually(lambda: compose.sqlite3("replica", newest).stdout.strip() == number, "on the replica")


def test_a_second_replica_joins_while_it_runs(compose: Compose, eventually: Callable[..., None]) -> None:
    """It gets all the data, and its turn in NGINX, which was started before it."""
    compose("up", "--detach", "--wait", "--no-recreate", "--build", "replica2")
    eventually(lambda: set(compose.answering(6)) == {"primary", "replica", "replica2"}, "three nodes", 20)
    seen = compose.answering(9)
    assert all(seen.count(name) == 3 for name in set(seen)), seen
    count = "SELECT count(*) FROM invoices"
    assert compose.sqlite3("replica2", count).stdout == compose.sqlite3("primary", count).stdout


def test_down_leaves_nothing(compose: Compose) -> None:
    compose("--profile", "more", "down", "--volumes", "--rmi", "local")
    for listing in (("ps", "--all"), ("volume", "ls"), ("network", "ls"), ("images",)):
        assert PROJECT not in compose.engine.docker(*listing).stdout.replace(f"{PROJECT}/debian", "")
