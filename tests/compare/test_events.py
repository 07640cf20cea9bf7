"""What nodes tell is kept in order, with the listener's clock, and across the node's restarts."""

from collections.abc import Callable, Iterator, Mapping

import pytest

from pylitefs.compare.events import Ear, Heard
from pylitefs.errors import RemoteError

INIT = {"type": "init", "data": {"isPrimary": True}}


def tx(txid: int, database: str = "a.db") -> dict[str, object]:
    return {"type": "tx", "db": database, "data": {"txID": f"{txid:016x}", "commit": 2}}


def test_an_ear_listens_on_after_a_restart_and_sorts_by_database(
    monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., None]
) -> None:
    streams: list[list[Mapping[str, object]]] = [[INIT, tx(1), tx(1, "b.db")], [], [INIT, tx(2)]]

    def events(url: str) -> Iterator[Mapping[str, object]]:
        assert url == "http://node"
        if not streams:
            raise RemoteError("gone")
        stream = streams.pop(0)
        if not stream:
            raise RemoteError("away for a moment")
        return iter(stream)

    monkeypatch.setattr("pylitefs.compare.events.client.events", events)
    ear = Ear("http://node")
    eventually(lambda: len(ear.heard("a.db")) == 2, "both transactions of a.db")
    ear.close()
    assert [one.txid for one in ear.heard("a.db")] == [1, 2]
    assert [one.txid for one in ear.heard("b.db")] == [1]
    assert ear.first() == {"isPrimary": True}
    first, second = ear.heard("a.db")
    assert first.at <= second.at, "one clock"


def test_what_a_node_caught_up_with_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., None]
) -> None:
    """Whether it was heard depends on who was there first after the node's start."""
    streams: list[list[Mapping[str, object]]] = [[INIT, tx(1), tx(2), tx(1, "b.db"), tx(3)]]

    def events(url: str) -> Iterator[Mapping[str, object]]:
        if not streams:
            raise RemoteError("gone")
        return iter(streams.pop())

    monkeypatch.setattr("pylitefs.compare.events.client.events", events)
    ear = Ear("http://node")
    eventually(lambda: len(ear.heard("a.db")) == 3, "all of a.db")
    ear.close()
    ear.pass_over({"a.db": 2})
    assert [one.txid for one in ear.heard("a.db")] == [3] and len(ear.heard("b.db")) == 1
    assert (ear.passed("a.db"), ear.passed("b.db")) == (2, 0)


def test_what_is_compared_of_an_event_is_not_its_time() -> None:
    facts = {"postApplyChecksum": "ab", "pageSize": 4096, "commit": 2, "txID": "1f"}
    one, other = Heard("tx", "a.db", {**facts, "timestamp": "early"}, 1.0), Heard("tx", "a.db", facts, 9.0)
    assert one.summary() == other.summary() == "ab 4096 2"
    assert one.txid == 0x1F
