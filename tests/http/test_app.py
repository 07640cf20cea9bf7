"""The API: statuses, words and headers are LiteFS's."""

import json
import logging
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from pylitefs.cluster.cluster import wait_until
from pylitefs.http import push
from pylitefs.replication.frames import encode_positions
from pylitefs.replication.primary import BLOCK
from pylitefs.store import retention
from pylitefs.store.store import Store
from pylitefs.trace import Gate
from tests.golden.recordings import DATA
from tests.http import test_back_pressure
from tests.http.hostile import errors, outcomes, requests
from tests.replication.stores import CLUSTER, PAGE, Writer, database_bytes, opened, serving


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "primary", primary=True) as store:
        yield store


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "replica") as store:
        yield store


@pytest.fixture
def client(primary: Store) -> Iterator[httpx.Client]:
    """A client of the primary, over HTTP/1.1."""
    with serving(primary) as info, httpx.Client(base_url=info.advertise_url, trust_env=False) as client:
        yield client


@pytest.fixture
def replica_client(replica: Store) -> Iterator[httpx.Client]:
    with serving(replica) as info, httpx.Client(base_url=info.advertise_url, trust_env=False) as client:
        yield client


def sqlite_bytes(path: Path, rows: int) -> bytes:
    """A database that SQLite made."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t(a)")
        connection.executemany("INSERT INTO t VALUES(?)", ((f"row {row}" * 20,) for row in range(rows)))
        connection.commit()
    return path.read_bytes()


def test_an_import_whose_client_falls_silent_is_given_up(
    primary: Store, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for ever for the rest, and nothing is imported."""
    monkeypatch.setattr(push, "SILENCE_S", 0.2)
    host, port = client.base_url.host, client.base_url.port
    with socket.create_connection((host, port or 80), timeout=10) as connection:
        head = "POST /import?name=a.db HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4096\r\n\r\n"
        connection.sendall(head.encode() + b"SQLite")
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert list((primary.data_dir / "tmp").iterdir()) == []
    assert primary.get("a.db") is None


def test_info_is_written_as_real_litefs_writes_it(primary: Store, client: httpx.Client) -> None:
    """Keys, order, indentation and the newline at the end."""
    recorded = (DATA / "lz4" / "info.json").read_text()
    expected = recorded.replace("/var/lib/litefs", str(primary.data_dir))
    assert client.get("/info").text.replace(CLUSTER, "LFSC4A0DD73B3CA6F0DE") == expected


def test_info_of_a_replica_names_its_primary_while_connected(
    replica: Store, replica_client: httpx.Client
) -> None:
    """And says nothing of one it does not hear."""
    assert "primary" not in replica_client.get("/info").json()
    replica.status.primary_hostname = "node-1"
    facts = replica_client.get("/info").json()
    assert facts["primary"] == {"hostname": "node-1"}
    assert facts["isPrimary"] is False


@pytest.mark.parametrize("path", ["/info", "/export", "/export?name=none.db", "/nothing"])
def test_every_answer_says_which_node_gave_it(primary: Store, client: httpx.Client, path: str) -> None:
    """Errors too."""
    headers = client.get(path).headers
    assert headers["Litefs-Id"] == primary.node_id_text
    assert headers["Litefs-Cluster-Id"] == CLUSTER


@pytest.mark.parametrize("path", ["/metrics", "/debug/vars", "/debug/pprof/", "/debug/pprof/goroutine"])
def test_metrics_and_debug_do_not(client: httpx.Client, path: str) -> None:
    """As in real LiteFS."""
    response = client.get(path)
    assert response.status_code == 200
    assert "Litefs-Id" not in response.headers


def test_a_cluster_id_that_is_not_known_is_not_shown(tmp_path: Path) -> None:
    """Neither in the header nor in /info."""
    with opened(tmp_path / "new", cluster=None) as store, serving(store) as info:
        response = httpx.get(f"{info.advertise_url}/info", trust_env=False)
        assert "Litefs-Cluster-Id" not in response.headers
        assert "clusterID" not in response.json()


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("POST", "/stream", 426, "Upgrade to HTTP/2 required"),
        ("GET", "/stream", 405, "method not allowed"),
        ("GET", "/import?name=a.db", 405, "method not allowed"),
        ("POST", "/info", 405, "method not allowed"),
        ("GET", "/nothing", 404, "404 page not found"),
        ("GET", "/export", 400, "name required"),
        ("POST", "/import", 400, "name required"),
        ("GET", "/export?name=none.db", 404, "database not found"),
        ("POST", "/promote", 200, ""),
        ("POST", "/handoff", 400, "invalid node id"),
        ("POST", "/handoff?nodeID=12345678901234567", 400, "invalid node id"),
        ("POST", "/handoff?nodeID=0x1", 400, "invalid node id"),
        ("POST", "/handoff?nodeID=1_0", 400, "invalid node id"),
        ("POST", "/handoff?nodeID=AA", 500, "cannot handoff: target node is not currently connected"),
        ("POST", "/tx", 400, "name required"),
    ],
)
def test_answers_of_a_primary(client: httpx.Client, method: str, path: str, status: int, text: str) -> None:
    """Errors are the message and a newline, as text/plain."""
    response = client.request(method, path)
    assert (response.status_code, response.text) == (status, f"{text}\n" if text else "")
    if status >= 400:
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/import?name=a.db", 503, "lease expired"),
        ("/promote", 409, "not eligible to become primary"),
        ("/handoff?nodeID=AA", 500, "cannot handoff: node is not currently primary"),
    ],
)
def test_answers_of_a_replica(replica_client: httpx.Client, path: str, status: int, text: str) -> None:
    """What only a primary can do."""
    response = replica_client.post(path, content=b"x")
    assert (response.status_code, response.text) == (status, f"{text}\n")


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "a%00b", "x" * 300])
def test_a_name_never_leaves_the_data_directory(client: httpx.Client, primary: Store, name: str) -> None:
    """Whatever the network asks for."""
    for method, path in (("GET", "/export"), ("POST", "/import"), ("POST", "/tx")):
        assert client.request(method, f"{path}?name={name}", content=b"x").status_code == 400
    assert list((primary.data_dir / "dbs").iterdir()) == []


def stream(
    info_url: str, *, node_id: str = "AA", content: bytes | None = None, query: str = ""
) -> httpx.Response:
    """The answer to a `POST /stream` that is refused."""
    with httpx.Client(http1=False, http2=True, trust_env=False) as client:
        return client.post(
            f"{info_url}/stream{query}",
            headers={"Litefs-Id": node_id},
            content=encode_positions({}) if content is None else content,
        )


def test_streams_that_are_refused(primary: Store, replica: Store) -> None:
    """A replica, oneself, garbage, and a filter that is no name."""
    with serving(primary) as info, serving(replica) as other:
        url = info.advertise_url
        cases = [
            (stream(other.advertise_url), 503, "lease expired"),
            (stream(url, node_id=primary.node_id_text), 400, "cannot connect to self"),
            (stream(url, node_id=primary.node_id_text.lower()), 400, "cannot connect to self"),
            (stream(url, content=b"abc"), 400, "position map: it ends early, after 3 bytes"),
            (stream(url, query="?filter=../a"), 400, "'../a' cannot be a database name"),
            (stream(url, query="?filter=a%1Bb"), 400, r"'a\x1bb' cannot be a database name: it has"),
            (stream(url, content=bytes(17 << 20)), 413, "a position map is no longer than"),
        ]
    for response, status, text in cases:
        assert response.status_code == status
        assert response.text.startswith(text)


def test_export_gives_the_databases_bytes(primary: Store, client: httpx.Client) -> None:
    """With their number in advance; no temporary file stays."""
    writer = Writer(primary)
    writer.commit_pages({pgno: bytes([pgno % 251]) * 512 for pgno in range(1, 3000)})
    response = client.get("/export?name=made.db")
    assert response.content == writer.whole()
    assert response.headers["Content-Length"] == str(len(writer.whole()))
    assert list((primary.data_dir / "tmp").iterdir()) == []


def test_a_dropped_database_is_not_found(primary: Store, client: httpx.Client) -> None:
    """Although it still has a position."""
    writer = Writer(primary)
    writer.commit({1: 1})
    writer.drop()
    response = client.get("/export?name=made.db")
    assert (response.status_code, response.text) == (404, "database not found\n")


def test_import_makes_one_transaction_that_export_gives_back(
    primary: Store, client: httpx.Client, tmp_path: Path
) -> None:
    """Less the change counter and the schema cookie, which are zeroed."""
    data = sqlite_bytes(tmp_path / "source.db", 5000)
    assert client.post("/import?name=new.db", content=data).status_code == 200
    assert primary.positions()["new.db"].txid == 1
    expected = bytearray(data)
    expected[24:28] = expected[40:44] = bytes(4)
    assert client.get("/export?name=new.db").content == expected
    assert list((primary.data_dir / "tmp").iterdir()) == []


def test_an_import_that_is_no_database_changes_nothing(primary: Store, client: httpx.Client) -> None:
    """400, and why."""
    response = client.post("/import?name=new.db", content=b"not a database")
    assert response.status_code == 400
    assert "new.db" in response.text
    assert primary.positions() == {}
    assert list((primary.data_dir / "tmp").iterdir()) == []


def test_an_import_whose_client_leaves_changes_nothing(primary: Store, tmp_path: Path) -> None:
    """In the middle of the body."""
    data = sqlite_bytes(tmp_path / "source.db", 5000)

    def half() -> Iterator[bytes]:
        yield data[: len(data) // 2]
        raise RuntimeError("gone")

    with serving(primary) as info:
        with pytest.raises(RuntimeError, match="gone"), httpx.Client(trust_env=False) as client:
            client.post(
                f"{info.advertise_url}/import?name=new.db",
                content=half(),
                headers={"Content-Length": str(len(data))},
            )
        response = httpx.get(f"{info.advertise_url}/export?name=new.db", trust_env=False)
        assert response.status_code == 404
    assert primary.positions() == {}


def test_debug_vars_tell_each_databases_position(primary: Store, client: httpx.Client) -> None:
    """What `pylitefs status` shows of a remote node."""
    pos = Writer(primary).commit({1: 1, 2: 2})
    facts = json.loads(client.get("/debug/vars").text)
    assert facts["nodeID"] == primary.node_id_text
    database = facts["databases"]["made.db"]
    assert (database["pos"], database["pageSize"], database["pages"]) == (str(pos), 512, 2)


def test_the_thread_dump_shows_where_a_thread_is(client: httpx.Client) -> None:
    """The one that answers is among them."""
    assert "thread_dump" in client.get("/debug/pprof/goroutine").text


def test_a_held_tracepoint_does_not_hold_the_api(primary: Store, client: httpx.Client) -> None:
    """The event loop never waits for a gate."""
    Writer(primary).commit({1: 1})
    gate = Gate(["stream.connect"])
    stop = primary.tracer.listen(gate)
    url = str(client.base_url).rstrip("/")
    with (
        httpx.Client(http1=False, http2=True, trust_env=False) as other,
        other.stream("POST", f"{url}/stream", content=encode_positions({})),
    ):
        assert gate.wait_held(10) is not None
        assert client.get("/info", timeout=5).status_code == 200
    gate.close()
    stop()


def test_what_was_imported_is_what_lies_in_the_data_directory(
    primary: Store, client: httpx.Client, tmp_path: Path
) -> None:
    """And SQLite reads it."""
    client.post("/import?name=new.db", content=sqlite_bytes(tmp_path / "source.db", 10))
    copy = tmp_path / "copy.db"
    copy.write_bytes(database_bytes(primary, "new.db"))
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (10,)


@pytest.mark.parametrize("name", ["a%0Ab", "%1B[31m", "gp.%E2%80%AEexe"])
def test_a_name_that_steers_a_terminal_is_refused(client: httpx.Client, primary: Store, name: str) -> None:
    """Nothing is made of it, and the answer has it escaped."""
    for method, path in (("POST", "/import"), ("GET", "/export")):
        answer = client.request(method, f"{path}?name={name}", content=b"x" if method == "POST" else None)
        assert answer.status_code == 400 and "it has a control character" in answer.text
        assert answer.text.rstrip("\n").isprintable()
    assert primary.databases() == []


ROUTES = {
    "/stream": "POST",
    "/events": "GET",
    "/info": "GET",
    "/export": "GET",
    "/import": "POST",
    "/promote": "POST",
    "/handoff": "POST",
    "/halt": "POST",
    "/tx": "POST",
    "/metrics": "GET",
    "/debug/vars": "GET",
    "/debug/pprof/": "GET",
    "/debug/pprof/goroutine": "GET",
    "/{}": "GET",
}
LITEFS_S_OWN = ("cannot handoff", "not supported yet", "cannot be promoted", "lease expired", "busy")
"""What a well-formed request is answered with, by a status that is LiteFS's."""


def test_no_request_is_an_error_of_the_node_s(primary: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Every route with odd hosts, headers, queries and bodies: never a 500 of ours, never a traceback."""
    Writer(primary, "1").commit({1: 7})
    with caplog.at_level(logging.ERROR), serving(primary) as info:
        port = int(info.advertise_url.rpartition(":")[2])
        seen = list(outcomes(port, requests(ROUTES, ("name", "nodeID", "filter"))))
        assert httpx.get(f"{info.advertise_url}/info", trust_env=False).status_code == 200
    assert errors(seen, *LITEFS_S_OWN) == []
    assert len(seen) > 1500 and {200, 400, 403, 404, 405, 421, 426} <= {status for _, status, _ in seen}
    assert [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR] == []


def test_a_replica_that_does_not_read_is_seen_and_keeps_its_files(
    primary: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over HTTP/2, whose window is all that a replica acknowledges: `/debug/vars`, `/metrics`, retention."""
    monkeypatch.setattr(retention, "ON_THE_WAY_S", 0.0)
    writer = Writer(primary)
    first = writer.commit({1: 1})
    for _ in range(4):
        writer.commit_pages({pgno: os.urandom(PAGE) for pgno in range(1, BLOCK // PAGE + 2)})
    database, later = primary.require("made.db"), time.time() + 10_000

    def behind() -> object:
        (stream,) = httpx.get(f"{url}/debug/vars", trust_env=False).json()["streams"]
        return {name: (one["transactions"], one["bytes"]) for name, one in stream["behind"].items()}

    with serving(primary) as info:
        url = info.advertise_url
        port, body = int(url.rpartition(":")[2]), encode_positions({"made.db": first})
        client = test_back_pressure.Client(port, 1000, "/stream", body)
        with client.socket:
            size = sum(database.ltx_path(txid, txid).stat().st_size for txid in range(2, 6))
            assert wait_until(
                lambda: bool(primary.retention._followers) and behind() == {"made.db": (4, size)}, 10
            )
            metrics = httpx.get(f"{url}/metrics", trust_env=False).text
            assert 'pylitefs_replica_behind_txids{db="made.db",node="AA"} 4\n' in metrics
            assert primary.reap(later) == 1
            assert database.ltx_files() == [(txid, txid) for txid in range(2, 6)]
            reading = threading.Thread(target=client.read_all)
            reading.start()
            try:
                assert wait_until(lambda: behind() == {}, 10)
                assert sum(primary.reap(later) for _ in range(3)) == 3
            finally:
                client.socket.shutdown(socket.SHUT_RDWR)
                reading.join(10)
        assert wait_until(lambda: not primary.retention._followers, 10)
