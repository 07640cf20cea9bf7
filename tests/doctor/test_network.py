"""Ports, peers, versions, clocks and the lease service: one question each, and nothing waited for long."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pylitefs import __version__
from pylitefs.config.token import VARIABLE
from pylitefs.doctor import network
from pylitefs.doctor.finding import Verdict
from pylitefs.doctor.network import Answer
from tests.doctor.found import fine, noted, wrong
from tests.replication.stores import CLUSTER, opened, serving

OTHER_CLUSTER = "LFSC0000000000000000"


@contextmanager
def http(answer: Callable[[str], tuple[int, str]]) -> Iterator[str]:
    """A server that says to each path what the test says; its URL."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("X-Consul-Token", ""))
            status, text = answer(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def silent_port() -> int:
    """One on which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


def peer(answer: Answer, *, cluster_id: str = CLUSTER, must_be_primary: bool = False) -> dict[str, Verdict]:
    return {
        one.text: one.verdict
        for one in network.peer("peer", answer, cluster_id=cluster_id, must_be_primary=must_be_primary)
    }


def test_a_node_says_who_it_is(tmp_path: Path) -> None:
    with opened(tmp_path / "p", primary=True) as store, serving(store) as info:
        answer = network.ask(info.advertise_url)
        assert (answer.node_id, answer.cluster_id, answer.is_primary) == (store.node_id_text, CLUSTER, True)
        assert answer.path == str(store.data_dir) and answer.version == __version__
        assert abs(answer.ahead_s) < 2
        found = peer(answer, must_be_primary=True)
        assert set(found.values()) == {Verdict.OK} and len(found) == 3


def test_a_node_with_a_token_is_asked_for_it(tmp_path: Path) -> None:
    token = "0123456789abcdef"
    with opened(tmp_path / "p", primary=True) as store, serving(store, token=token) as info:
        assert network.ask(info.advertise_url).facts is None
        assert network.ask(info.advertise_url, token).version == __version__


def test_peers_that_are_not_what_they_should_be() -> None:
    def told(**changed: object) -> str:
        answer = Answer("http://h:1", **{"status": 200, "node_id": "AB", "cluster_id": CLUSTER, **changed})  # type: ignore[arg-type]
        found = [
            text for text, verdict in peer(answer, must_be_primary=True).items() if verdict is Verdict.WRONG
        ]
        return found[0] if found else ""

    assert "does not answer: refused" in told(error="refused")
    assert f"wants a token. Mend it: write the cluster's as http.token, or set {VARIABLE}" in told(status=401)
    assert "is no LiteFS node" in told(node_id="")
    assert f"belongs to cluster {OTHER_CLUSTER}" in told(cluster_id=OTHER_CLUSTER)
    assert "is not the primary" in told()
    assert told(is_primary=True) == ""
    assert "5 s ahead of this machine's" in told(is_primary=True, ahead_s=5.0)
    assert "5 s behind this machine's" in told(is_primary=True, ahead_s=-5.0, exactness_s=0.5)
    assert told(is_primary=True, ahead_s=-2.2, exactness_s=0.5) == ""


def test_versions_are_compared() -> None:
    def told(facts: dict[str, object] | None) -> str:
        (line,) = [
            text
            for text in peer(Answer("u", node_id="AB", facts=facts))
            if "pylitefs" in text or "version" in text
        ]
        return line

    assert "does not tell its version" in told(None)
    assert "update the older" in told({"version": "0.0.1"})


def test_a_name_that_nobody_knows_is_told_so() -> None:
    answer = network.ask("http://no-such-host.invalid:20202")
    assert "cannot be resolved" in wrong(network.peer("peer", answer, cluster_id="", must_be_primary=False))
    assert "cannot be resolved" in wrong(network.own_url("http://no-such-host.invalid:1", None, ""))


def test_what_is_no_node_is_told_so() -> None:
    with http(lambda path: (200, "hello")) as url:
        assert network.ask(url).error
    with http(lambda path: (200, "[]")) as url:
        assert "is no LiteFS node" in next(iter(peer(network.ask(url))))
    with http(lambda path: (200, json.dumps({"cmdline": []}))) as url:
        assert network.ask(url).facts is None, "LiteFS's own /debug/vars"


def test_a_clock_is_told_by_whole_seconds_where_no_better_is_known() -> None:
    with http(lambda path: (200, "{}")) as url:
        answer = network.ask(url)
        assert abs(answer.ahead_s) <= 1 + answer.exactness_s and answer.exactness_s >= 0.5
    with http(lambda path: (200, json.dumps({"nodeID": "A", "nowMs": (time.time() - 60) * 1000}))) as url:
        assert -61 < network.ask(url).ahead_s < -59


def test_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        text = wrong(network.port("port", "http.addr", ("", number), ours=False))
        assert f"process {os.getpid()} (" in text and "choose another port with http.addr" in text
        assert "this node listens" in fine(network.port("port", "http.addr", ("", number), ours=True))
    free = silent_port()
    assert "is free" in fine(network.port("port", "http.addr", ("127.0.0.1", free), ours=False))
    assert "no address of this machine" in wrong(
        network.port("port", "http.addr", ("192.0.2.1", free), ours=False)
    )
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(network, "_first_unprivileged", lambda: 1024)
    monkeypatch.setattr(network, "listening", dict)
    assert "only root may" in wrong(network.port("port", "http.addr", ("", 80), ours=False))


def test_the_own_url(tmp_path: Path) -> None:
    """What the others are told has to lead here."""
    with opened(tmp_path / "p", primary=True) as store, serving(store) as info:
        own = network.ask(info.advertise_url)
        assert "leads to this node" in fine(network.own_url(info.advertise_url, own, ""))
        assert "asked only while" in noted(network.own_url(info.advertise_url, None, ""))
        other = Answer("u", node_id="OTHER")
        assert "leads to another node" in wrong(network.own_url(info.advertise_url, other, ""))
        nobody = f"http://127.0.0.1:{silent_port()}"
        assert "does not answer" in wrong(network.own_url(nobody, own, ""))


def test_the_lease_service() -> None:
    def service(status: int, text: str) -> Callable[[str], tuple[int, str]]:
        return lambda path: (status, text) if path == "/v1/status/leader" else (404, "")

    with http(service(200, '"10.0.0.1:8300"')) as url:
        assert f"{url} answers" in fine(network.lease_service(f"{url}/prefix"))
    with http(service(200, '""')) as url:
        assert "no leader" in wrong(network.lease_service(url))
    with http(service(403, "ACL")) as url:
        text = wrong(network.lease_service(url.replace("//", "//any:secret@")))
        assert "refuses this token" in text and "secret" not in text
    with http(service(500, "")) as url:
        assert "answers 500" in wrong(network.lease_service(url))
    assert "does not answer" in wrong(network.lease_service(f"http://127.0.0.1:{silent_port()}"))
    assert "is no URL" in wrong(network.lease_service("consul:8500"))
