"""What the command line asks of nodes, and what it says when they do not answer."""

import io
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from pylitefs.errors import RemoteError
from pylitefs.http import client
from pylitefs.http.server import HttpServer
from pylitefs.ltx.position import Pos
from pylitefs.store.store import Store
from tests.golden.recordings import DATA
from tests.replication.stores import CLUSTER, Writer, opened, serving


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "primary", primary=True) as store:
        yield store


@pytest.fixture
def url(primary: Store) -> Iterator[str]:
    with serving(primary) as info:
        yield info.advertise_url


def test_info(primary: Store, url: str) -> None:
    """`GET /info`, and the id from the header."""
    info = client.info(url)
    assert info == client.NodeInfo(
        primary.node_id_text, CLUSTER, True, True, str(primary.data_dir), "primary-host"
    )


def test_a_database_goes_in_and_comes_out(primary: Store, url: str, tmp_path: Path) -> None:
    """With progress, in bytes done and in all."""
    with closing(sqlite3.connect(tmp_path / "source.db")) as connection:
        connection.execute("CREATE TABLE t(a)")
        connection.executemany("INSERT INTO t VALUES(?)", ((f"row {row}" * 50,) for row in range(5000)))
        connection.commit()
    data = (tmp_path / "source.db").read_bytes()
    sent: list[tuple[int, int | None]] = []
    client.import_(url, "new.db", io.BytesIO(data), lambda *one: sent.append(one), size=len(data))
    assert sent[-1] == (len(data), len(data))
    assert sorted(sent) == sent
    got: list[tuple[int, int | None]] = []
    out = io.BytesIO()
    assert client.export(url, "new.db", out, lambda *one: got.append(one)) == len(data)
    assert got[-1] == (len(data), len(data))
    assert out.getvalue()[100:] == data[100:]


def test_events(primary: Store, url: str) -> None:
    """One dictionary an event."""
    events = client.events(url)
    assert next(events) == {"type": "init", "data": {"isPrimary": True}}
    Writer(primary).commit({1: 1})
    assert next(events)["db"] == "made.db"


def test_the_databases_of_a_node(primary: Store, url: str) -> None:
    """Position, page size, pages."""
    pos = Writer(primary).commit({1: 1, 2: 2})
    facts = client.databases(url)["made.db"]
    assert (facts.pos, facts.page_size, facts.pages, facts.ltx_files) == (pos, 512, 2, 1)


class RealLiteFS:
    """Answers as the recording does: /metrics, and nothing of ours."""

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = scope.get("path") == "/metrics"
        body = (DATA / "lz4" / "metrics.txt").read_bytes() if found else b"{}"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    def end_streams(self) -> None:
        """Nothing to end."""


def test_the_databases_of_a_real_litefs_node() -> None:
    """TXIDs alone, from its metrics."""
    server = HttpServer(RealLiteFS(), ("127.0.0.1", 0))
    server.start()
    facts = client.databases(f"http://127.0.0.1:{server.port}")
    assert server.stop()
    assert facts["wal.db"].pos == Pos(10)
    assert len(facts) == 9


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://127.0.0.1:1", "cannot reach http://127.0.0.1:1: .*is a node running there"),
        ("127.0.0.1:20202", "write http://HOST:20202"),
        ("ftp://127.0.0.1", "write http://HOST:20202"),
    ],
)
def test_a_node_that_is_not_there_is_an_error_with_a_remedy(url: str, text: str) -> None:
    """Not a traceback."""
    with pytest.raises(RemoteError, match=text):
        client.info(url)


def test_what_a_node_refuses_is_said_in_its_words(url: str) -> None:
    """With the status behind it."""
    with pytest.raises(RemoteError, match=r"database not found \(404\)"):
        client.export(url, "none.db", io.BytesIO())
    with pytest.raises(RemoteError, match=r"cannot import none\.db"):
        client.import_(url, "none.db", io.BytesIO(b"rubbish"))


def test_a_replica_sends_one_to_the_primary(tmp_path: Path) -> None:
    """Before a byte of the database is sent."""
    with opened(tmp_path / "replica") as store, serving(store) as info:
        store.status.primary_hostname = "node-1"
        with pytest.raises(RemoteError, match="is a replica of node-1"):
            client.import_(info.advertise_url, "a.db", io.BytesIO(b"x"))


def test_an_answer_that_is_not_litefs_is_an_error() -> None:
    """Another server on that port."""

    class Other(RealLiteFS):
        async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"<html>"})

    server = HttpServer(Other(), ("127.0.0.1", 0))
    server.start()
    with pytest.raises(RemoteError, match="is it a LiteFS node"):
        client.info(f"http://127.0.0.1:{server.port}")
    assert server.stop()
