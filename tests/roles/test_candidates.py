"""Who goes first of several candidates."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pylitefs.http.app import Api
from pylitefs.http.server import HttpServer
from pylitefs.lease.static import StaticLease
from pylitefs.roles.candidates import MOST, NAME, Candidates, Standing, read_answer
from pylitefs.store.store import Store
from tests.http.test_turnover import Asked
from tests.replication.stores import Writer, opened


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "own") as store:
        yield store


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "other") as store:
        yield store


@pytest.fixture
def turnover(other: Store) -> Asked:
    return Asked(other)


@pytest.fixture
def url(other: Store, turnover: Asked) -> Iterator[str]:
    server = HttpServer(Api(other, StaticLease(True, "o", "http://o:1"), turnover=turnover), ("127.0.0.1", 0))
    server.start()
    yield f"http://127.0.0.1:{server.port}"
    server.stop()


@pytest.mark.parametrize(
    ("one", "two", "older"),
    [
        (Standing(1, 5), Standing(1, 6), True),
        (Standing(1, 5), Standing(1, 5), False),
        (Standing(2, 1), Standing(1, 100), False),
        (Standing(1, 100), Standing(2, 1), True),
    ],
)
def test_newer_is_the_newer_primary_s_then_who_has_more(one: Standing, two: Standing, older: bool) -> None:
    """A node that was cut off with transactions of its own has an older primary's number."""
    assert one.is_older_than(two) is older


def test_a_node_with_newer_data_goes_first(own: Store, other: Store, turnover: Asked, url: str) -> None:
    """If it can be reached, may become the primary, and is of this cluster."""
    candidates = Candidates(own, "http://me:1")
    candidates.note({"AA": url, "BB": "http://127.0.0.1:1", "ME": "http://me:1/"})
    assert set(candidates.known()) == {url, "http://127.0.0.1:1"}
    assert candidates.newer() == "", "as new as this node"
    Writer(other).commit({1: 1})
    assert candidates.newer() == url
    turnover.eligible = False
    assert candidates.newer() == ""
    turnover.eligible = True
    own.terms.follow(9)
    assert candidates.newer() == "", "of an older primary"
    own.terms.follow(0)
    other.set_cluster_id("LFSCFFFFFFFFFFFFFFFF")
    assert candidates.newer() == "", "another cluster's"


def test_the_others_are_learned_from_the_primary_and_remembered(own: Store, other: Store, url: str) -> None:
    """Also by the next life of this node; a replica teaches nobody."""
    candidates = Candidates(own, "http://me:1")
    assert candidates.learn(url) and candidates.known() == {}
    other.status.is_primary = True
    assert candidates.learn(url)
    assert candidates.known() == {url: other.node_id_text, "http://a:1": "AA"}
    again = Candidates(own, "http://me:1")
    again.load()
    assert again.known() == candidates.known()
    for number in range(2 * MOST):
        again.note({str(number): f"http://x:{number + 1}"})
    assert len(again.known()) == MOST
    (own.data_dir / NAME).write_text("7")
    last = Candidates(own, "http://me:1")
    last.load()
    assert last.known() == {}


@pytest.mark.parametrize("status", [401, 404, 503])
def test_a_primary_is_another_program_only_where_it_says_so(own: Store, status: int) -> None:
    """One that is not reached, or refuses, or is busy, may be one of ours: its number is not guessed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert Candidates(own, "http://me:1").learn(url) is (status != 404)
        thread.join(20)
    assert Candidates(own, "http://me:1").learn(url), "nobody answers"


def test_a_history_is_asked_of_the_primary(own: Store, other: Store, url: str) -> None:
    """Checksums by TXID; nothing where nobody says any."""
    pos = Writer(other).commit({1: 1})
    candidates = Candidates(own, "http://me:1")
    assert candidates.history(url, "made.db")[pos.txid] == pos.checksum
    assert candidates.history("http://127.0.0.1:1", "made.db") == {}


@pytest.mark.parametrize("text", ["", "7", "{}", json.dumps({"id": "A", "clusterID": None})])
def test_another_program_s_answer_is_none(text: str) -> None:
    """Real LiteFS answers 404."""
    with pytest.raises(ValueError):
        read_answer(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"id": 1, "clusterID": "", "eligible": true, "isPrimary": false, "term": Infinity, "positions": {},'
        ' "candidates": {}}',
        "[" * 100_000,
        '{"id": 1, "clusterID": "", "eligible": true, "isPrimary": false, "term": ' + "9" * 5000 + "}",
        '{"id": 1, "clusterID": "", "eligible": true, "isPrimary": false, "term": 1, "candidates": {},'
        ' "positions": {"a.db": "no"}}',
    ],
)
def test_whatever_a_candidate_says_the_lease_s_thread_goes_on(text: str) -> None:
    """Numbers without an end, brackets without an end, a position that is none: no candidate of ours."""
    with pytest.raises(ValueError, match=r"candidate|digits"):
        read_answer(text)


@pytest.mark.parametrize("text", ['{"history": ["no"]}', '{"history": [7]}', "[]", "[" * 100_000])
def test_a_history_that_is_none_is_none(own: Store, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    candidates = Candidates(own, "http://me:1")
    monkeypatch.setattr(candidates, "_get", lambda url, history: (200, text))
    assert candidates.history("http://o:1", "a.db") == {}


def test_an_answer_without_an_end_holds_up_no_election(own: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes soon after the one before it."""
    monkeypatch.setattr("pylitefs.roles.candidates.WHOLE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while True:
                    connection.sendall(b"{")
                    connection.settimeout(0.01)
                    with suppress(TimeoutError):
                        if not connection.recv(1):
                            return

        thread = threading.Thread(target=drip)
        thread.start()
        assert Candidates(own, "http://me:1").ask(f"http://127.0.0.1:{listener.getsockname()[1]}") is None
        thread.join(20)
        assert not thread.is_alive()
