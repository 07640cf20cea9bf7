"""The demo in containers, as a class starts it: nodes, their applications and NGINX in a Docker engine.

One story, told once: every test goes on where the one before it ended.
"""

import itertools
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from pylitefs.cluster.ports import free_ports
from tests.demo import course
from tests.demo.docker_engine import Done, Engine, need_compose
from tests.test_docs import DOCKER, commands

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
def base(docker: Engine, release: Callable[[str], str]) -> str:
    """The image that everything is made from; BASE may name another."""
    need_compose(docker)
    return os.environ.get("BASE") or release("bookworm")


def with_settings(engine: Engine, base: str, port: int = 8080) -> Engine:
    """With what the compose file asks of the environment."""
    settings = {"BASE": base, "PORT": str(port)}
    if engine.own:
        settings["BUILD_NETWORK"] = "host"
    return Engine({**engine.environment, **settings}, engine.own)


@pytest.fixture(scope="module")
def compose(docker: Engine, base: str) -> Iterator[Compose]:
    (port,) = free_ports(1, 8080)
    project = Compose(with_settings(docker, base, port), port)
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


def test_every_docker_command_of_the_page_works_as_written(docker: Engine, base: str) -> None:
    """docs/demo.md from top to bottom; only the project's name and the port are this test's."""
    (port,) = free_ports(1, 8080)
    settings = with_settings(docker, base, port).environment
    here = {"COMPOSE_FILE": "demo/docker-compose.yml", "COMPOSE_PROJECT_NAME": PROJECT}
    written = [line for line in commands(ROOT / "docs" / "demo.md") if line.startswith(DOCKER)]
    assert len(written) > 8
    had = docker.works("image", "inspect", "pylitefs")
    said = ""
    try:
        for command in written:
            # There is no terminal here.
            line = command.replace(" exec ", " exec -T ")
            done = subprocess.run(
                ["bash", "-c", line], cwd=ROOT, env={**settings, **here}, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
            said += done.stdout + done.stderr
        assert "|Oslo\n" in said
        assert "readonly" in said
        assert f"\n+{course.OURS}\n" in (ROOT / "docs" / "demo.md").read_text()
    finally:
        Compose(Engine(settings, docker.own), port)(
            "--profile", "more", "down", "--volumes", "--rmi", "local"
        )
        if not had:
            docker.docker("rmi", "pylitefs", check=False)


@pytest.mark.skipif("PYLITEFS_COURSE" not in os.environ, reason="PYLITEFS_COURSE names no checkout")
def test_the_course_s_own_project(
    docker: Engine, base: str, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """One line of its Dockerfile is another; its own compose file, NGINX, import and application then run."""
    course.changed_copy(Path(os.environ["PYLITEFS_COURSE"]), tmp_path / "course")
    made = course.stand_ins(docker, base, tmp_path)
    had = docker.works("image", "inspect", "pylitefs")
    course.overrides(docker, base, tmp_path / "here.yml")
    ours = ["compose", "-f", str(ROOT / "demo" / "docker-compose.yml")]
    with_settings(docker, base).docker(*ours, "build", "pylitefs")
    files = ["-f", str(tmp_path / "course" / "docker-compose.yml"), "-f", str(tmp_path / "here.yml")]

    def theirs(*arguments: str, check: bool = True) -> Done:
        return docker.docker("compose", "-p", course.PROJECT, *files, *arguments, check=check)

    def sqlite3(service: str, sql: str) -> str:
        done = theirs("exec", "-T", service, "sqlite3", "/litefs/data.db", sql, check=False)
        return (done.stdout + done.stderr).strip()

    try:
        theirs("up", "--build", "--detach", "primary", "replica1")
        newest = "SELECT max(InvoiceId) FROM Invoice"
        for service in ("primary", "replica1"):
            eventually(lambda service=service: sqlite3(service, newest) == "412", f"data on {service}", 30)
        theirs("up", "--build", "--detach", "nginx")
        url = f"http://{theirs('port', 'nginx', '80').stdout.strip()}/invoice?id=1"

        def answers() -> list[str]:
            return [httpx.get(url, trust_env=False).text for _ in range(4)]

        eventually(lambda: all('"invoice":{"id":1' in text for text in answers()), "the invoice, of both", 30)
        sqlite3("primary", "UPDATE Invoice SET BillingCity = 'Bergen' WHERE InvoiceId = 1")
        eventually(lambda: all("Bergen" in text for text in answers()), "the new city, of both", 10)
        assert "readonly" in sqlite3("replica1", "DELETE FROM Invoice")
    finally:
        theirs("down", "--volumes", "--rmi", "local")
        docker.docker("rmi", *made, *([] if had else ["pylitefs"]), check=False)
