"""The control channel: gates of a node, set and opened from another process, never left shut."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pylitefs.cluster.cluster import wait_until
from pylitefs.control import CONTROL_FD
from pylitefs.control import events as control_events
from pylitefs.control import node_end as control_node
from pylitefs.control.channel import Control, Message
from pylitefs.control.events import Rule
from pylitefs.control.node_end import NodeEnd
from pylitefs.trace import Event, Evidence, Piece, Tracer, no_evidence

NAME = "ltx.commit"


@pytest.fixture
def tracer() -> Tracer:
    return Tracer("n1")


@contextmanager
def served(tracer: Tracer, evidence: Evidence = no_evidence) -> Iterator[Control]:
    """A channel whose other end is served in a thread of this process."""
    one = Control()
    theirs = socket.socket(fileno=os.dup(one.fd_for_node))
    one.close_child()
    thread = threading.Thread(target=control_node.serve, args=(tracer, theirs, evidence))
    thread.start()
    try:
        yield one
    finally:
        one.close()
        thread.join(5)
        assert not thread.is_alive()


@pytest.fixture
def channel(tracer: Tracer) -> Iterator[Control]:
    with served(tracer) as one:
        yield one


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    assert wait_until(condition, seconds, 0.002)


def emit(tracer: Tracer, name: str = NAME, database: str = "a.db") -> threading.Thread:
    thread = threading.Thread(target=lambda: tracer.emit(name, database, 7, offset=4096), daemon=True)
    thread.start()
    return thread


def test_a_gate_is_set_waited_for_released_and_closed(tracer: Tracer, channel: Control) -> None:
    gate = channel.gate(NAME, database="a.db")
    assert tracer.active
    assert gate.wait(0.01) is None
    emit(tracer, database="b.db").join(5)
    held = emit(tracer)
    event = gate.wait(5)
    assert event == {
        "name": NAME, "node": "n1", "database": "a.db", "txid": 7, "pid": 0, "payload": {"offset": "4096"}
    }  # fmt: skip
    assert held.is_alive()
    assert gate.release() == event
    held.join(5)
    assert not held.is_alive()
    assert gate.release() is None
    gate.close()
    assert not tracer.active


def test_several_gates_hold_each_its_own(tracer: Tracer, channel: Control) -> None:
    first, second = channel.gate(NAME), channel.gate("pos.advance", "page.write")
    one, two = emit(tracer), emit(tracer, "pos.advance")
    assert (first.wait(5) or {})["name"] == NAME
    assert (second.wait(5) or {})["name"] == "pos.advance"
    second.close()
    two.join(5)
    assert one.is_alive() and not two.is_alive()
    first.close()
    one.join(5)


def test_a_gate_may_name_the_writer_s_process(tracer: Tracer, channel: Control) -> None:
    gate = channel.gate(NAME, pids=[4711])
    emit(tracer).join(5)

    def write() -> None:
        tracer.set_caller(4711)
        tracer.emit(NAME, "a.db")

    writer = threading.Thread(target=write)
    writer.start()
    assert (gate.wait(5) or {})["pid"] == 4711
    gate.close()
    writer.join(5)


@pytest.mark.parametrize(
    "request_",
    [
        {"do": "gate", "names": ["no.such"]},
        {"do": "wait", "gate": 9},
        {"do": "nothing", "gate": 1},
        {"gate": 1},
        {},
    ],
)
def test_a_wrong_request_gets_an_error_and_the_channel_goes_on(
    channel: Control, request_: dict[str, object]
) -> None:
    channel.gate(NAME)
    with pytest.raises(ValueError):
        channel.ask(request_)
    assert channel.gate("pos.advance").wait(0) is None


@pytest.mark.parametrize("line", ["not json", "[]", "7", "null", '"text"', ""])
def test_a_line_that_is_no_request_gets_an_error_too(tracer: Tracer, line: str) -> None:
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=control_node.serve, args=(tracer, theirs))
    thread.start()
    with ours, ours.makefile("rw") as lines:
        for text in (line, json.dumps({"do": "gate", "names": [NAME]})):
            lines.write(text + "\n")
            lines.flush()
        assert "error" in json.loads(lines.readline())
        assert json.loads(lines.readline()) == {"gate": 1}
    thread.join(5)
    assert not thread.is_alive() and not tracer.active


def test_the_channel_s_end_releases_everything(tracer: Tracer) -> None:
    one = Control()
    theirs = socket.socket(fileno=os.dup(one.fd_for_node))
    one.close_child()
    thread = threading.Thread(target=control_node.serve, args=(tracer, theirs))
    thread.start()
    gate = one.gate(NAME)
    one.gate("pos.advance")
    held = [emit(tracer) for _ in range(3)]
    assert gate.wait(5)
    one.close()
    for each in [*held, thread]:
        each.join(5)
        assert not each.is_alive()
    assert not tracer.active
    with pytest.raises(EOFError):
        gate.wait(0)


def test_a_killed_lecture_s_end_releases_everything(tracer: Tracer) -> None:
    """The other end is another process, and it dies with `kill -9`."""
    ours, theirs = socket.socketpair()
    lecture = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, sys, json, socket\n"
            "with socket.socket(fileno=int(sys.argv[1])).makefile('rw') as lines:\n"
            f"    lines.write(json.dumps({{'do': 'gate', 'names': ['{NAME}']}}) + '\\n'); lines.flush()\n"
            "    print(lines.readline(), flush=True); sys.stdin.read()",
            str(ours.fileno()),
        ],
        pass_fds=[ours.fileno()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    ours.close()
    thread = threading.Thread(target=control_node.serve, args=(tracer, theirs))
    thread.start()
    assert lecture.stdout is not None and lecture.stdin is not None
    assert json.loads(lecture.stdout.readline()) == {"gate": 1}
    held = emit(tracer)
    lecture.kill()
    lecture.wait(10)
    held.join(10)
    thread.join(10)
    assert not held.is_alive() and not thread.is_alive()
    lecture.stdin.close()
    lecture.stdout.close()


def test_without_a_descriptor_in_the_environment_there_is_no_channel(
    tracer: Tracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CONTROL_FD, raising=False)
    assert control_node.serve_from_environment(tracer) is None


def test_the_descriptor_of_the_environment_is_served_and_handed_to_no_child(
    tracer: Tracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Control()
    number = os.dup(one.fd_for_node)
    one.close_child()
    os.set_inheritable(number, True)
    monkeypatch.setenv(CONTROL_FD, str(number))
    end = control_node.serve_from_environment(tracer)
    assert end is not None and CONTROL_FD not in os.environ
    assert not os.get_inheritable(number)
    assert one.gate(NAME).wait(0) is None
    one.close()
    wait_for(lambda: not tracer.active)


def test_a_node_that_is_gone_is_told_from_one_that_says_no(channel: Control, tracer: Tracer) -> None:
    lonely = Control()
    lonely.close_child()
    with pytest.raises(EOFError):
        lonely.gate(NAME)
    lonely.close()


# -- a lecture's channel: every event, with its bytes, and a rule that holds --------------------------


class Heard:
    """What `record` pushed so far."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def __call__(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def names(self) -> list[str]:
        return [message["event"]["name"] for message in self.messages]

    @property
    def held(self) -> list[int]:
        return [message["event"]["seq"] for message in self.messages if message["held"]]


def rule(**found: object) -> dict[str, object]:
    return {"names": [], "except": [], "database": "", "pids": [], **found}


def test_a_recording_channel_gets_every_event_in_order(tracer: Tracer, channel: Control) -> None:
    heard = Heard()
    channel.record(heard)
    for number in range(100):
        tracer.emit("page.write", "a.db", number, offset=number, path=None, pages=[1, 2], peer="AA")
    channel.ping()
    assert [message["event"]["txid"] for message in heard.messages] == list(range(100))
    assert [message["event"]["seq"] for message in heard.messages] == list(range(1, 101))
    first = heard.messages[0]
    assert first["held"] is False and first["bytes"] == []
    event = first["event"]
    assert (event["node"], event["database"], event["pid"]) == ("n1", "a.db", 0)
    assert event["payload"] == {"offset": 0, "path": None, "pages": [1, 2], "peer": "AA"}
    assert event["thread"] == threading.current_thread().name
    assert event["monotonic_ns"] < time.monotonic_ns() and event["wall_ns"] < time.time_ns()


def test_bytes_are_copied_in_the_thread_that_emits(tracer: Tracer) -> None:
    """A moment later they are gone: the journal is unlinked, the page written over."""
    where: list[str] = []

    def copy(event: Event) -> list[Piece]:
        where.append(threading.current_thread().name)
        if event.txid == 2:
            raise OSError("gone")
        return [Piece("journal", "/j", 512, b"\xd9\xd5", 1024, cut=True)]

    with served(tracer, copy) as channel:
        heard = Heard()
        channel.record(heard)
        tracer.emit("journal.write", "a.db", 1)
        tracer.emit("journal.write", "a.db", 2)
        channel.ping()
    assert where == [threading.current_thread().name] * 2
    expected = {"file": "journal", "path": "/j", "offset": 512, "data": "2dU=", "size": 1024, "cut": True}
    assert [message["bytes"] for message in heard.messages] == [[expected], []]


def test_a_rule_holds_what_it_matches_until_it_is_let_go(tracer: Tracer, channel: Control) -> None:
    heard = Heard()
    channel.record(heard)
    channel.hold(rule(database="a.db", **{"except": ["page.write"]}))
    tracer.emit("page.write", "a.db")
    tracer.emit(NAME, "b.db")
    first = emit(tracer)
    wait_for(lambda: len(heard.held) == 1)
    second = emit(tracer)
    wait_for(lambda: len(heard.held) == 2)
    assert heard.names == ["page.write", NAME, NAME, NAME]
    channel.let(heard.held[1])
    second.join(5)
    assert first.is_alive() and not second.is_alive()
    channel.let(heard.held[1])
    channel.let(4711)
    channel.let(heard.held[0])
    first.join(5)
    assert not first.is_alive()


def test_let_all_lets_go_and_goes_on_holding(tracer: Tracer, channel: Control) -> None:
    heard = Heard()
    channel.record(heard)
    channel.hold(rule(names=[NAME]))
    threads = [emit(tracer) for _ in range(3)]
    wait_for(lambda: len(heard.held) == 3)
    channel.let_all()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
    later = emit(tracer)
    wait_for(lambda: len(heard.held) == 4)
    assert later.is_alive()
    channel.hold(None)
    later.join(5)
    assert not later.is_alive()
    emit(tracer).join(5)
    channel.ping()
    assert len(heard.messages) == 5 and len(heard.held) == 4


def test_another_rule_lets_go_what_it_does_not_match(tracer: Tracer, channel: Control) -> None:
    heard = Heard()
    channel.record(heard)
    channel.hold(rule())
    one, two = emit(tracer), emit(tracer, "pos.advance")
    wait_for(lambda: len(heard.held) == 2)
    channel.hold(rule(names=["pos.advance"]))
    one.join(5)
    assert not one.is_alive() and two.is_alive()
    channel.hold(rule(names=["pos.advance"], database="b.db"))
    two.join(5)
    assert not two.is_alive()


def test_of_locks_only_the_writer_s_and_the_applier_s_are_held() -> None:
    """Or a step would stop at each SELECT of the class."""
    of = Rule.from_json(rule(pids=[7]))
    locks = {
        "writer": Event("lock.acquire", "n1", "a.db", 0, 0, 0, 7),
        "reader": Event("lock.acquire", "n1", "a.db", 0, 0, 0, 8),
        "applier": Event("lock.acquire", "n1", "a.db", 0, 0, 0, 9, {"applier": True}),
        "other": Event("page.write", "n1", "a.db", 0, 0, 0, 8),
    }
    assert {name for name, event in locks.items() if of.matches(event)} == {"writer", "applier", "other"}


@pytest.mark.parametrize(
    "request_",
    [
        {"do": "hold"},
        {"do": "hold", "rule": {"names": ["no.such"]}},
        {"do": "hold", "rule": {"except": ["no.such"]}},
        {"do": "hold", "rule": 7},
        {"do": "hold", "rule": {"pids": 7}},
        {"do": "let"},
        {"do": "let", "seq": "x"},
    ],
)
def test_a_wrong_rule_holds_nothing(tracer: Tracer, channel: Control, request_: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        channel.ask(request_)
    emit(tracer).join(5)
    channel.ping()


def test_the_end_of_a_lecture_s_channel_lets_everything_go(tracer: Tracer) -> None:
    with served(tracer) as channel:
        heard = Heard()
        channel.record(heard)
        channel.hold(rule())
        threads = [emit(tracer) for _ in range(3)]
        wait_for(lambda: len(heard.held) == 3)
        channel.close()
        for thread in threads:
            thread.join(5)
            assert not thread.is_alive()
        wait_for(lambda: not tracer.active)
        assert channel.ended.is_set()
        with pytest.raises(EOFError):
            channel.hold(None)


def test_a_request_that_waits_keeps_no_other_waiting(tracer: Tracer, channel: Control) -> None:
    gate = channel.gate(NAME)
    found: list[Message | None] = []
    waiting = threading.Thread(target=lambda: found.append(gate.wait(10)))
    waiting.start()
    channel.ping()
    assert waiting.is_alive()
    held = emit(tracer)
    waiting.join(5)
    assert found and found[0] and found[0]["name"] == NAME
    channel.gate("pos.advance").close()
    gate.close()
    held.join(5)


def test_a_node_that_is_to_end_holds_nothing_any_more(tracer: Tracer) -> None:
    """`NodeEnd.let_go`, the first thing in a node's stop. Its last events are still told."""
    ours, theirs = socket.socketpair()
    end = NodeEnd(tracer, theirs)
    thread = threading.Thread(target=end.run)
    thread.start()
    with ours, ours.makefile("rw") as lines:
        requests = [{"do": "gate", "names": [NAME]}, {"do": "record"}, {"do": "hold", "rule": rule()}]
        for request in requests:
            lines.write(json.dumps(request) + "\n")
        lines.flush()
        for _ in requests:
            lines.readline()
        held = [emit(tracer), emit(tracer, "pos.advance")]
        lines.readline()
        end.let_go()
        for each in held:
            each.join(5)
            assert not each.is_alive()
        lines.write(json.dumps({"do": "hold", "rule": rule()}) + "\n")
        lines.write(json.dumps({"do": "gate", "names": [NAME]}) + "\n")
        lines.flush()
        wait_for(lambda: "gate" in lines.readline())
        tracer.emit(NAME, "last.db")
        assert json.loads(lines.readline())["event"]["database"] == "last.db"
        end.close()
        assert lines.readline() == ""
    thread.join(5)
    assert not thread.is_alive() and not tracer.active


def test_ten_thousand_events_are_told_quickly_and_in_order(tracer: Tracer, channel: Control) -> None:
    heard = Heard()
    channel.record(heard)
    started = time.monotonic()
    for number in range(10_000):
        tracer.emit("page.write", "a.db", number, offset=number * 4096, length=4096)
    channel.ping()
    assert time.monotonic() - started < 10
    assert [message["event"]["txid"] for message in heard.messages] == list(range(10_000))


def test_a_lecture_that_takes_nothing_is_let_go(tracer: Tracer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is stopped, or hangs, stops the node for a moment, and not for good."""
    monkeypatch.setattr(control_events, "ROOM", 100_000)
    monkeypatch.setattr(control_events, "STALL_S", 0.2)
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=control_node.serve, args=(tracer, theirs))
    thread.start()
    with ours:
        ours.sendall(json.dumps({"do": "record"}).encode() + b"\n")
        ours.sendall(json.dumps({"do": "hold", "rule": rule(names=["pos.advance"])}).encode() + b"\n")
        wait_for(lambda: tracer.active)
        held = emit(tracer, "pos.advance")
        events = 0
        deadline = time.monotonic() + 30
        while tracer.active:
            tracer.emit(NAME, "a.db", events, filler="x" * 10_000)
            events += 1
            assert time.monotonic() < deadline
        held.join(5)
        thread.join(5)
        assert not held.is_alive() and not thread.is_alive()


def test_a_lecture_that_takes_its_time_loses_nothing(tracer: Tracer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_events, "ROOM", 20_000)
    with served(tracer) as channel:
        heard = Heard()

        def slowly(message: Message) -> None:
            time.sleep(0.002)
            heard(message)

        channel.record(slowly)
        for number in range(100):
            tracer.emit(NAME, "a.db", number, filler="x" * 5_000)
        channel.ping()
        assert [message["event"]["txid"] for message in heard.messages] == list(range(100))


def test_a_gate_that_is_there_before_the_node_begins_holds_its_first_tracepoint(
    tracer: Tracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = Control()
    gate = ours.gate_ahead(NAME)
    monkeypatch.setenv(CONTROL_FD, str(os.dup(ours.fd_for_node)))
    ours.close_child()
    try:
        assert control_node.serve_from_environment(tracer) is not None
        held = emit(tracer)
        event = gate.wait()
        assert event is not None and event["name"] == NAME and held.is_alive()
        assert gate.release() == event
        held.join(5)
        assert not held.is_alive()
    finally:
        ours.close()


def test_what_is_asked_before_the_node_begins_is_done_before_it_does_anything(
    tracer: Tracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lecture, events = Control(), list[Message]()
    lecture.ahead(events.append, {"names": [NAME], "except": [], "database": "", "pids": []})
    monkeypatch.setenv(CONTROL_FD, str(os.dup(lecture.fd_for_node)))
    lecture.close_child()
    try:
        end = control_node.serve_from_environment(tracer)
        assert end is not None and tracer.active
        held = emit(tracer)
        wait_for(lambda: bool(events))
        assert events[0]["held"] and held.is_alive()
    finally:
        lecture.close()
    held.join(5)
    assert not held.is_alive()
