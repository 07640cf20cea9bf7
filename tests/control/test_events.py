"""Events on their way to a lecture: which are held, in what order they are sent, and who waits for whom."""

import base64
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pylitefs.cluster.cluster import wait_until
from pylitefs.control import events as control_events
from pylitefs.control.channel import Message
from pylitefs.control.events import Outbox, Recorder, Rule, event_to_json
from pylitefs.trace import Event, Piece, no_evidence

PIECE = Piece("wal", "/d/wal", 32, b"\x00\xff", 99)


def event(name: str = "ltx.commit", database: str = "a.db", pid: int = 7, **payload: object) -> Event:
    return Event(name, "n1", database, 3, 10, 20, pid, payload)


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


# Which events are held.


@pytest.mark.parametrize(
    ("rule", "matching"),
    [
        ({}, {"commit", "advance", "other", "applier's lock"}),
        ({"names": ["ltx.commit"]}, {"commit", "other"}),
        ({"names": ["ltx.commit", "pos.advance"], "except": ["pos.advance"]}, {"commit", "other"}),
        ({"except": ["ltx.commit"]}, {"advance", "applier's lock"}),
        ({"database": "a.db"}, {"commit", "advance", "applier's lock"}),
        ({"pids": [5]}, {"commit", "advance", "other", "lock", "applier's lock"}),
        ({"pids": ["5"]}, {"commit", "advance", "other", "applier's lock"}),
    ],
)
def test_a_rule_matches_by_name_and_database_and_locks_by_whose_they_are(
    rule: dict[str, Any], matching: set[str]
) -> None:
    """Or the class's own SELECTs would be held."""
    events = {
        "commit": event(),
        "advance": event("pos.advance"),
        "other": event(database="b.db"),
        "lock": event("lock.acquire", pid=5),
        "applier's lock": event("lock.acquire", pid=6, applier=True),
    }
    found = Rule.from_json(rule)
    assert {name for name, one in events.items() if found.matches(one)} == matching


@pytest.mark.parametrize("key", ["names", "except"])
def test_a_tracepoint_that_does_not_exist_is_an_error(key: str) -> None:
    """A rule with a misspelt name would hold nothing, and nobody would know why."""
    with pytest.raises(ValueError, match=r"no such tracepoint: ltx\.comit, pos\.x"):
        Rule.from_json({key: ["pos.x", "ltx.commit", "ltx.comit"]})


# What an event is in JSON.


def test_an_event_is_told_with_all_that_it_has_as_json_has_it() -> None:
    payload: dict[str, Any] = {
        "none": None,
        "yes": True,
        "text": "é",
        "many": (1, [Path("/x")]),
        "path": Path("/x"),
    }
    found = json.loads(json.dumps(event_to_json(event(**payload), 4)))
    assert found == {
        "seq": 4, "name": "ltx.commit", "node": "n1", "database": "a.db", "txid": 3, "pid": 7,
        "thread": threading.current_thread().name, "monotonic_ns": 10, "wall_ns": 20,
        "payload": {"none": None, "yes": True, "text": "é", "many": [1, ["/x"]], "path": "/x"},
    }  # fmt: skip


# The outbox.


@pytest.fixture
def pair() -> Iterator[tuple[Outbox, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    outbox = Outbox(ours)
    yield outbox, theirs
    outbox.end()
    ours.close()
    theirs.close()


def test_messages_are_sent_in_their_order_with_their_bytes(pair: tuple[Outbox, socket.socket]) -> None:
    outbox, lecture = pair
    for number in range(100):
        outbox.put({"n": number})
    outbox.put({"n": 100, "bytes": [PIECE]}, 8)
    assert outbox.flush(10)
    outbox.end()
    outbox.put({"n": "too late"})
    with lecture.makefile("rb") as lines:
        told = [json.loads(line) for line in lines]
    assert [one["n"] for one in told] == list(range(101))
    assert base64.b64decode(told[-1]["bytes"][0]["data"]) == PIECE.data


def test_who_emits_waits_only_for_room_and_no_longer_than_the_lecture_reads_nothing(
    pair: tuple[Outbox, socket.socket], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    outbox, lecture = pair
    monkeypatch.setattr(control_events, "ROOM", 500_000)
    monkeypatch.setattr(control_events, "STALL_S", 60)
    filler = "x" * 400_000
    outbox.put({"x": filler}, len(filler))
    outbox.wait_for_room()
    outbox.put({"x": filler}, len(filler))
    waiting = in_thread(outbox.wait_for_room)
    waiting.join(0.02)
    assert waiting.is_alive(), "`put` never waits; who emits the next does"
    assert not outbox.flush(0)
    with lecture.makefile("rb") as lines:
        lines.readline()
        waiting.join(10)
        assert not waiting.is_alive()
        lines.readline()
    assert outbox.flush(10) and not caplog.records


def test_a_lecture_that_takes_nothing_is_let_go(
    pair: tuple[Outbox, socket.socket], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    outbox, _ = pair
    monkeypatch.setattr(control_events, "ROOM", 500_000)
    monkeypatch.setattr(control_events, "STALL_S", 0.01)
    filler = "x" * 2_000_000
    outbox.put({"x": filler}, len(filler))
    outbox.wait_for_room()
    assert caplog.messages == ["the lecture took nothing for 0.01 s: it is let go, with all it held"]
    outbox.wait_for_room()
    assert outbox.flush(0), "there is nothing any more that anybody could wait for"


def test_a_node_that_ends_waits_for_no_room(
    pair: tuple[Outbox, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox, _ = pair
    monkeypatch.setattr(control_events, "ROOM", 0)
    monkeypatch.setattr(control_events, "STALL_S", 60)
    filler = "x" * 2_000_000
    outbox.put({"x": filler}, len(filler))
    waiting = in_thread(outbox.wait_for_room)
    outbox.hurry()
    waiting.join(10)
    assert not waiting.is_alive()


def test_the_lecture_s_end_ends_the_outbox(
    pair: tuple[Outbox, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox, lecture = pair
    monkeypatch.setattr(control_events, "ROOM", 0)
    monkeypatch.setattr(control_events, "STALL_S", 60)
    lecture.close()
    for _ in range(3):
        outbox.put({"x": "x"})
        outbox.wait_for_room()
    assert outbox.flush(10)


# The recorder.


class Sent(Outbox):
    """An outbox that keeps what is put into it."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def put(self, message: Message, size: int = 0) -> None:
        self.messages.append({**message, "size": size})

    def wait_for_room(self) -> None:
        self.messages.append({"asked for room": True})


def told(outbox: Sent) -> list[tuple[int, bool]]:
    """What was pushed: number, and whether it is held."""
    return [(one["event"]["seq"], one["held"]) for one in outbox.messages if "event" in one]


def pieces(_: Event) -> Sequence[Piece]:
    return [PIECE]


def test_events_are_pushed_from_record_on_with_copies_of_their_bytes() -> None:
    """Numbers count all events, so nobody who comes later takes one for another."""
    outbox = Sent()
    recorder = Recorder(outbox, pieces)
    recorder(event())
    assert outbox.messages == []
    recorder.record()
    recorder(event())
    room, pushed = outbox.messages
    assert room == {"asked for room": True}
    assert pushed["event"]["seq"] == 2 and pushed["bytes"] == [PIECE] and pushed["size"] == 2
    assert pushed["held"] is False


def test_bytes_that_cannot_be_copied_keep_no_event_back(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: Event) -> Sequence[Piece]:
        raise RuntimeError("no file")

    outbox = Sent()
    recorder = Recorder(outbox, broken)
    recorder.record()
    recorder(event())
    assert told(outbox) == [(1, False)]
    assert [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR] == [
        "the bytes of ltx.commit could not be copied"
    ]


class Held:
    """A recorder, and threads that emit; each event is told before its thread waits."""

    def __init__(self) -> None:
        self.outbox = Sent()
        self.recorder = Recorder(self.outbox, no_evidence)
        self.recorder.record()
        self.threads: list[threading.Thread] = []

    def emit(self, one: Event) -> threading.Thread:
        count = len(told(self.outbox))
        thread = in_thread(lambda: self.recorder(one))
        assert wait_until(lambda: len(told(self.outbox)) > count, 10, 0.001)
        self.threads.append(thread)
        return thread

    def going_on(self, thread: threading.Thread) -> bool:
        thread.join(10)
        return not thread.is_alive()


@pytest.fixture
def held() -> Iterator[Held]:
    one = Held()
    yield one
    one.recorder.close()
    assert all(one.going_on(thread) for thread in one.threads)


def test_what_a_rule_matches_waits_until_its_number_is_let(held: Held) -> None:
    held.recorder.hold(Rule(frozenset({"ltx.commit"})))
    passing, first, second = held.emit(event("pos.advance")), held.emit(event()), held.emit(event())
    assert told(held.outbox) == [(1, False), (2, True), (3, True)] and held.going_on(passing)
    held.recorder.let(99)
    held.recorder.let(3)
    assert held.going_on(second) and first.is_alive()
    held.recorder.let(2)
    held.recorder.let(2)
    assert held.going_on(first)


def test_letting_all_go_holds_the_next_again(held: Held) -> None:
    held.recorder.hold(Rule())
    first = held.emit(event())
    held.recorder.let_all()
    assert held.going_on(first)
    second = held.emit(event())
    assert told(held.outbox)[-1] == (2, True) and second.is_alive()


def test_another_rule_lets_go_what_it_does_not_match(held: Held) -> None:
    held.recorder.hold(Rule())
    first, second = held.emit(event()), held.emit(event("pos.advance"))
    held.recorder.hold(Rule(frozenset({"ltx.commit"})))
    assert held.going_on(second) and first.is_alive()
    held.recorder.hold(None)
    assert held.going_on(first)


def test_a_recorder_that_is_closed_tells_and_holds_nothing_any_more(held: Held) -> None:
    held.recorder.hold(Rule())
    first = held.emit(event())
    held.recorder.close()
    assert held.going_on(first)
    held.recorder.hold(Rule())
    asked = held.outbox.messages.count({"asked for room": True})
    held.recorder(event())
    assert told(held.outbox)[-1] == (2, False)
    assert held.outbox.messages.count({"asked for room": True}) == asked, "and nobody waits for room"
