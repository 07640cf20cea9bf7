"""Who may ask: no page of another site, no foreign name for a loopback node, nobody without the token."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from pylitefs.cluster.cluster import wait_until
from pylitefs.config.token import VARIABLE
from pylitefs.errors import RemoteError
from pylitefs.http import client
from pylitefs.http.door import _logged, names_loopback
from pylitefs.replication.frames import encode_positions
from pylitefs.store.store import Store
from tests.replication.stores import Writer, opened, serving

TOKEN = "a-token-of-the-test"
SHOWN = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "primary", primary=True) as store:
        Writer(store).commit({1: 1})
        yield store


def ask(url: str, method: str, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.request(method, url + path, headers=headers, content=b"", trust_env=False, verify=False)


def sqlite_file(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE t AS SELECT 1 AS x")
    return path


# -- web pages ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_another_site_is_refused_in_a_line(
    primary: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture, headers: dict[str, str]
) -> None:
    """Whatever it asks for, and whatever port of this machine it comes from; the log says who."""
    before = primary.positions()
    body = sqlite_file(tmp_path / "evil.db").read_bytes()
    with serving(primary) as node, httpx.Client(base_url=node.advertise_url, trust_env=False) as http:
        answers = [
            http.post("/import?name=made.db", content=body, headers=headers),
            http.get("/export?name=made.db", headers=headers),
            http.get("/info", headers=headers),
            http.post("/halt?name=made.db", headers=headers),
        ]
    assert [answer.status_code for answer in answers] == [403] * 4
    assert answers[0].text.startswith("the request comes from a web page of ")
    assert answers[0].text.count("\n") == 1
    assert primary.positions() == before
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1, "once for each peer, and not for each request"
    assert said[0].startswith("POST '/import' from 127.0.0.1:") and "is refused" in said[0]


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin"}, {}])
def test_what_a_person_types_is_answered(primary: Store, headers: dict[str, str]) -> None:
    """Into the address bar, or on a command line; and a page of the node's own origin is no stranger."""
    with serving(primary) as node:
        own = {"Origin": node.advertise_url} if "same-origin" in headers.values() else {}
        assert ask(node.advertise_url, "GET", "/info", {**headers, **own}).status_code == 200


# -- names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.test", "evil.test:20202", "localhost.evil.test", "10.0.0.1", "[::1", "n"]
)
def test_a_loopback_node_answers_to_loopback_names_only(primary: Store, host: str) -> None:
    """So a name that was rebound to 127.0.0.1 reads nothing."""
    with serving(primary) as node:
        answer = ask(node.advertise_url, "GET", "/export?name=made.db", {"Host": host})
    assert answer.status_code == 421
    assert answer.text.count("\n") == 1 and "http.addr" in answer.text


@pytest.mark.parametrize(
    "host", ["localhost:1", "LOCALHOST.", "127.0.0.1", "127.9.9.9:80", "[::1]:20202", "[::1]"]
)
def test_loopback_names_are_this_machine_s(primary: Store, host: str) -> None:
    """With any port, as behind an SSH tunnel."""
    assert names_loopback(host)
    with serving(primary) as node:
        assert ask(node.advertise_url, "GET", "/export?name=made.db", {"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", ""])
def test_a_node_that_others_reach_answers_to_any_name(primary: Store, host: str) -> None:
    """They know it by the host of its advertise-url, whatever that is."""
    with serving(primary, host=host) as node:
        for name in ("db1", "db1.internal:20202", "10.0.0.1"):
            assert ask(node.advertise_url, "GET", "/export?name=made.db", {"Host": name}).status_code == 200


# -- the token ------------------------------------------------------------------------------------------


def test_with_a_token_nobody_else_is_let_in(primary: Store, caplog: pytest.LogCaptureFixture) -> None:
    """But to what says who the node is and how it does; the token is in no line of the log."""
    closed = [("GET", "/export?name=made.db"), ("POST", "/import?name=a.db"), ("POST", "/promote")]
    closed += [("POST", "/halt?name=a.db"), ("GET", "/events"), ("GET", "/debug/vars"), ("GET", "/no")]
    with serving(primary, token=TOKEN) as node:
        for method, path in closed:
            for headers in ({}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": TOKEN}):
                answer = ask(node.advertise_url, method, path, headers)
                assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer"), path
                assert VARIABLE in answer.text and answer.text.count("\n") == 1
        assert ask(node.advertise_url, "GET", "/info").status_code == 200
        assert ask(node.advertise_url, "GET", "/metrics").status_code == 200
        assert ask(node.advertise_url, "GET", "/export?name=made.db", SHOWN).status_code == 200
        assert ask(node.advertise_url, "GET", "/debug/vars", SHOWN).status_code == 200
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(("open_stream", "status"), [(False, 401), (True, 200)])
def test_a_replica_without_the_token_follows_only_where_a_key_says_so(
    primary: Store, *, open_stream: bool, status: int
) -> None:
    """`http.open-stream`: real LiteFS cannot show one."""
    with (
        serving(primary, token=TOKEN, open_stream=open_stream) as node,
        httpx.Client(http1=False, http2=True, trust_env=False) as http,
    ):
        for headers, wanted in (({}, status), (SHOWN, 200)):
            url, content = f"{node.advertise_url}/stream", encode_positions({})
            with http.stream("POST", url, content=content, headers=headers) as answer:
                assert answer.status_code == wanted
        assert ask(node.advertise_url, "GET", "/export?name=made.db").status_code == 401


def test_the_client_shows_the_environment_s_token(
    primary: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And without it says what to set."""
    with serving(primary, token=TOKEN) as node:
        monkeypatch.delenv(VARIABLE, raising=False)
        for call in (
            client.databases,
            lambda url: client.export(url, "made.db", (tmp_path / "x").open("wb")),
        ):
            with pytest.raises(RemoteError, match=f"set {VARIABLE}"):
                call(node.advertise_url)
        monkeypatch.setenv(VARIABLE, TOKEN)
        assert client.databases(node.advertise_url)["made.db"].pos.txid == 1
        with (tmp_path / "copy").open("wb") as out:
            assert client.export(node.advertise_url, "made.db", out) == 512


# -- the log --------------------------------------------------------------------------------------------


def test_each_import_export_promotion_and_halt_is_a_line(
    primary: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One, with what came of it and the peer's address; a stranger's control characters are shown as such."""
    caplog.set_level(logging.INFO, "pylitefs")
    body = sqlite_file(tmp_path / "new.db").read_bytes()
    with serving(primary) as node, httpx.Client(base_url=node.advertise_url, trust_env=False) as http:
        asked: tuple[Callable[[], httpx.Response], ...] = (
            lambda: http.post("/import?name=new.db", content=body),
            lambda: http.post("/import?name=new.db", content=b"no database"),
            lambda: http.get("/export?name=made.db"),
            lambda: http.get("/export?name=none%1b%5b31m%0a"),
            lambda: http.post("/promote"),
            lambda: http.post("/halt?name=made.db&id=1000000000000000007"),
            lambda: http.delete("/halt?name=made.db&id=1000000000000000007"),
        )
        answers = [call() for call in asked]
        halted = [one.content for one in answers if "expires" in one.text]

    def told() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for record in caplog.records:
            what, _, rest = record.getMessage().partition(" from 127.0.0.1:")
            found.setdefault(what, []).append(rest.partition(": ")[2])
        return found

    # A line comes after the answer.
    assert wait_until(lambda: sum(map(len, told().values())) >= len(asked), 10)
    assert {what: sorted(lines) for what, lines in told().items()} == {
        "POST /import 'new.db'": [
            "400: cannot import new.db: not a SQLite database: 11 bytes, and its header alone takes 100",
            "done",
        ],
        "GET /export 'made.db'": ["done, 512 bytes sent"],
        r"GET /export 'none\x1b[31m\n'": [
            r"400: 'none\x1b[31m\n' cannot be a database name: it has a control character; use another name"
        ],
        "POST /promote": ["done"],
        "POST /halt 'made.db'": [f"done, {len(halted[0])} bytes sent"],
        "DELETE /halt 'made.db'": ["done"],
    }


def test_a_client_that_has_all_that_was_promised_may_go(caplog: pytest.LogCaptureFixture) -> None:
    """It knows the size, and closes before it is told that this was all: nothing was broken off."""

    async def export(scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"512")]})
        await send({"type": "http.response.body", "body": bytes(256), "more_body": True})
        await send({"type": "http.response.body", "body": bytes(scope["size"] - 256), "more_body": True})
        raise OSError("the client is gone")

    async def ignore(message: object) -> None:
        del message

    caplog.set_level(logging.INFO, "pylitefs")
    asked = {"type": "http", "method": "GET", "path": "/export", "query_string": b"name=a.db", "client": None}
    for size in (512, 511):
        with pytest.raises(OSError, match="gone"):
            asyncio.run(_logged(export, {**asked, "size": size}, ignore, ignore))  # type: ignore[arg-type]
    assert [record.getMessage().split(": ")[1] for record in caplog.records] == [
        "done, 512 bytes sent",
        "broken off after 511 bytes",
    ]
