"""The lease service over HTTP: Consul's words, and what is durable."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from pylitefs.doctor import network
from pylitefs.doctor.finding import Verdict
from pylitefs.errors import DataDirectoryError
from pylitefs.http.lease_server import STATE, LeaseServer
from tests.golden import consul

SESSION = {"Behavior": "delete", "LockDelay": "1000ms", "Name": "litefs", "NodeChecks": [], "TTL": "4s"}


@contextmanager
def running(directory: Path, token: str = "") -> Iterator[httpx.Client]:
    server = LeaseServer(directory, ("127.0.0.1", 0), token=token)
    server.start()
    try:
        with httpx.Client(base_url=server.url, trust_env=False) as http:
            yield http
    finally:
        server.stop()


def test_each_recorded_request_of_real_litefs_is_answered_with_the_same_status(tmp_path: Path) -> None:
    """In their order, with our sessions in place of theirs; what LiteFS goes by in them is the same."""
    renamed: dict[str, str] = {}
    with running(tmp_path / "leases", "tok3n") as http:
        for one in consul.requests():
            path = one.path
            for theirs, ours in renamed.items():
                path = path.replace(theirs, ours)
            got = http.request(one.method, path, content=one.body, headers=one.headers)
            assert got.status_code == one.status, one
            answer = httpx.Response(200, content=one.answer)
            if path.endswith("/session/create"):
                renamed[answer.json()["ID"]] = got.json()["ID"]
            elif one.method == "GET" and one.status == 200:
                assert got.json()[0]["Value"] == answer.json()[0]["Value"]
            elif one.answer == b"true":
                assert got.json() is True, one


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    """Keys, who holds them, and sessions are there again; the directory is one server's at a time."""
    with running(tmp_path / "leases") as http:
        session = http.put("/v1/session/create", json=SESSION).json()["ID"]
        assert http.put(f"/v1/kv/a/b?acquire={session}", content=b"me").json() is True
        with pytest.raises(DataDirectoryError, match="in use"):
            LeaseServer(tmp_path / "leases", ("127.0.0.1", 0))
    with running(tmp_path / "leases") as http:
        entry = http.get("/v1/kv/a/b").json()[0]
        assert entry["Session"] == session and base64.b64decode(entry["Value"]) == b"me"
        shown = http.put(f"/v1/session/renew/{session}").json()
        assert [one["ID"] for one in shown] == [session] and shown[0]["LockDelay"] == 1_000_000_000
        assert http.get("/v1/session/list").json() == http.get(f"/v1/session/info/{session}").json() == shown
        assert http.delete("/v1/kv/a/b").json() is True and http.get("/v1/kv/a/b").status_code == 404


def test_the_doctor_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    """It answers who leads: itself."""
    with running(tmp_path / "leases") as http:
        assert http.get("/v1/status/leader").json() == str(http.base_url).removeprefix("http://").rstrip("/")
        assert [one.verdict for one in network.lease_service(str(http.base_url))] == [Verdict.OK]


def test_errors_are_consul_s(tmp_path: Path) -> None:
    """LiteFS tells an expired session (404) from another trouble (500); nonsense is 400."""
    with running(tmp_path / "leases") as http:
        assert http.put("/v1/session/renew/nobody").status_code == 404
        got = http.put("/v1/kv/k?acquire=nobody", content=b"x")
        assert got.status_code == 500 and "invalid session" in got.text
        assert http.put("/v1/session/create", content=b"{").status_code == 400
        assert http.put("/v1/session/create", content=b"[" * 100_000).status_code == 400
        assert http.put("/v1/session/create", json={"TTL": "x"}).status_code == 400
        assert http.put("/v1/kv/k", content=b"x" * (513 * 1024)).status_code == 413


def test_with_a_token_nobody_else_is_answered(tmp_path: Path) -> None:
    """Consul's header and status."""
    with running(tmp_path / "leases", "s3cret") as http:
        assert http.get("/v1/kv/k").status_code == 403
        assert http.get("/v1/kv/k", headers={"X-Consul-Token": "s3cret"}).status_code == 404


def test_a_file_that_is_none_of_its_own_is_refused_by_name(tmp_path: Path) -> None:
    """It is never taken for "no leases": that would make a second primary."""
    directory = tmp_path / "leases"
    with running(directory):
        pass
    (directory / STATE).write_text("{}")
    with pytest.raises(DataDirectoryError, match="move it away"):
        LeaseServer(directory, ("127.0.0.1", 0))
    (directory / STATE).unlink()
    with running(directory) as http:
        assert http.get("/v1/session/list").json() == []
