"""The event streams of several nodes in one queue: opened again when they end, and timed by one clock."""

import threading
import time
from collections.abc import Iterator

import pytest

from pylitefs.cli.feed import EventFeed, NodeEvent
from pylitefs.errors import RemoteError


class Streams:
    """Nodes that say in each stream what is left to say, and then end it or wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: dict[str, list[list[dict[str, object]]]] = {}
        self.opened: list[str] = []
        self.over = threading.Event()
        monkeypatch.setattr("pylitefs.cli.feed.client.events", self.events)
        monkeypatch.setattr("pylitefs.cli.feed._RETRY_S", 0.001)

    def events(self, url: str) -> Iterator[dict[str, object]]:
        self.opened.append(url)
        streams = self.said.get(url)
        if not streams:
            self.over.wait(10)
            raise RemoteError("gone")
        yield from streams.pop(0)
        raise RemoteError("the node was killed")


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Iterator[Streams]:
    one = Streams(monkeypatch)
    yield one
    one.over.set()


def tx(number: int) -> dict[str, object]:
    return {"type": "tx", "db": "a.db", "data": {"txID": f"{number:016x}"}}


def take(feed: EventFeed, count: int) -> list[NodeEvent]:
    found = [feed.get(10) for _ in range(count)]
    return [event for event in found if event is not None]


def test_every_node_s_events_come_in_with_its_name_and_time(streams: Streams) -> None:
    streams.said = {"http://1": [[tx(1), tx(2)]], "http://2": [[tx(1)]]}
    before = time.monotonic()
    feed = EventFeed({"n1": "http://1", "n2": "http://2"})
    events = take(feed, 3)
    feed.close()
    assert sorted((one.node, one.type, one.database, one.data["txID"]) for one in events) == [
        ("n1", "tx", "a.db", "0000000000000001"),
        ("n1", "tx", "a.db", "0000000000000002"),
        ("n2", "tx", "a.db", "0000000000000001"),
    ]
    assert all(before <= one.at <= time.monotonic() for one in events)
    assert feed.get(0) is None


def test_a_stream_that_ends_is_opened_again(streams: Streams) -> None:
    """A lecture kills nodes and starts them again."""
    streams.said = {"http://1": [[tx(1)], [], [tx(2)]]}
    feed = EventFeed({"n1": "http://1"})
    assert [one.data["txID"] for one in take(feed, 2)] == ["0000000000000001", "0000000000000002"]
    feed.close()
    assert streams.opened.count("http://1") >= 3


def test_a_feed_that_is_closed_opens_no_stream_again(streams: Streams) -> None:
    feed = EventFeed({"n1": "http://1"})
    while not streams.opened:
        time.sleep(0.001)
    (thread,) = [one for one in threading.enumerate() if getattr(one, "_target", None) == feed._listen]
    feed.close()
    streams.over.set()
    thread.join(10)
    assert not thread.is_alive() and streams.opened == ["http://1"]


@pytest.mark.parametrize("data", [None, "text", 7])
def test_an_event_without_data_is_one_all_the_same(streams: Streams, data: object) -> None:
    streams.said = {"http://1": [[{"type": "init", "data": data}]]}
    feed = EventFeed({"n1": "http://1"})
    (event,) = take(feed, 1)
    feed.close()
    assert (event.type, event.database, event.data) == ("init", "", {})
