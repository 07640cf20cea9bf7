"""The node's end of the control channel: requests have their answers, none waits, the end frees all."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pylitefs.cluster.cluster import wait_until
from pylitefs.control import CONTROL_FD
from pylitefs.control.node_end import NodeEnd, serve_from_environment
from pylitefs.trace import Tracer

NAME = "ltx.commit"
ALL = {"names": [], "except": [], "database": "", "pids": []}


class Lecture:
    """The other end: writes requests as lines, and reads lines."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self.socket, self.theirs = socket.socketpair()
        self.socket.settimeout(10)
        self.lines = self.socket.makefile("rb")
        self.end: NodeEnd | None = None
        self.threads: list[threading.Thread] = []
        self.passed: list[float] = []

    def serve(self) -> NodeEnd:
        self.end = NodeEnd(self.tracer, self.theirs, pass_lease_time=self.passed.append)
        self.in_thread(self.end.run)
        return self.end

    def in_thread(self, work: Any, *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        thread.start()
        self.threads.append(thread)
        return thread

    def say(self, **request: object) -> None:
        self.socket.sendall(json.dumps(request).encode() + b"\n")

    def hear(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.lines.readline() or b"null")
        return found

    def ask(self, **request: object) -> dict[str, Any]:
        self.say(**request)
        return self.hear()

    def emit(self, name: str = NAME) -> threading.Thread:
        return self.in_thread(lambda: self.tracer.emit(name, "a.db", 7, size=1))

    def close(self) -> None:
        """Nothing of the node waits after the channel's end, whatever was held."""
        self.lines.close()
        self.socket.close()
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()
        self.theirs.close()


@pytest.fixture
def lecture() -> Iterator[Lecture]:
    one = Lecture(Tracer("n1"))
    yield one
    one.close()


def test_an_answer_has_its_request_s_number(lecture: Lecture) -> None:
    lecture.serve()
    assert lecture.ask(do="ping", id=5) == {"id": 5}
    assert lecture.ask(do="ping") == {}


def test_time_passes_on_the_lease_s_clock_as_it_is_said(lecture: Lecture) -> None:
    lecture.serve()
    assert lecture.ask(do="lease-time", seconds=0) == {} == lecture.ask(do="lease-time", seconds=9.6)
    assert lecture.passed == [0.0, 9.6]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"no json", "JSONDecodeError"),
        (b"[]", "AttributeError"),
        (b'{"do": "dance"}', "KeyError"),
        (b'{"do": "release", "gate": 9}', "KeyError"),
        (b'{"do": "gate", "names": ["ltx.comit"]}', "no such tracepoint: ltx.comit"),
        (b'{"do": "hold", "rule": {"names": ["x"]}}', "no such tracepoint: x"),
        (b'{"do": "let", "seq": "x"}', "ValueError"),
    ],
)
def test_a_wrong_request_has_an_error_for_an_answer_and_the_next_is_done(
    lecture: Lecture, line: bytes, error: str
) -> None:
    lecture.serve()
    lecture.socket.sendall(line + b"\n")
    assert error in lecture.hear()["error"]
    assert lecture.ask(do="ping", id=1) == {"id": 1}
    assert not lecture.tracer.active, "and nothing is held, or listened to"


def test_a_gate_holds_what_it_names_until_it_is_released_or_closed(lecture: Lecture) -> None:
    lecture.serve()
    gate = lecture.ask(do="gate", names=[NAME], database="a.db")["gate"]
    first = lecture.emit()
    said = lecture.ask(do="wait", gate=gate, seconds=10)["event"]
    assert (said["name"], said["database"], said["txid"], said["payload"]) == (NAME, "a.db", 7, {"size": "1"})
    assert first.is_alive()
    assert lecture.ask(do="release", gate=gate)["event"]["txid"] == 7
    first.join(10)
    assert not first.is_alive()
    assert lecture.ask(do="wait", gate=gate, seconds=0) == {"event": None}
    second = lecture.emit()
    assert lecture.ask(do="wait", gate=gate, seconds=10)["event"]
    assert lecture.ask(do="close", gate=gate) == {} and not lecture.tracer.active
    second.join(10)
    assert not second.is_alive()


def test_a_request_that_waits_keeps_no_other_waiting(lecture: Lecture) -> None:
    lecture.serve()
    gate = lecture.ask(do="gate", names=[NAME])["gate"]
    lecture.say(do="wait", gate=gate, seconds=10, id=1)
    assert lecture.ask(do="ping", id=2) == {"id": 2}
    lecture.emit()
    found = lecture.hear()
    assert found["id"] == 1 and found["event"]["name"] == NAME


def test_a_rule_holds_each_event_until_it_is_let_go(lecture: Lecture) -> None:
    lecture.serve()
    assert lecture.ask(do="hold", rule=ALL) == {} and lecture.tracer.active, "also of who records nothing"
    assert lecture.ask(do="record") == {}
    threads = []
    for seq in (1, 2, 3):
        threads.append(lecture.emit())
        told = lecture.hear()
        assert (told["event"]["seq"], told["held"]) == (seq, True)
    assert lecture.ask(do="let", seq=2) == {}
    threads[1].join(10)
    assert [one.is_alive() for one in threads] == [True, False, True]
    assert lecture.ask(do="let-all") == {}
    threads[0].join(10)
    threads[2].join(10)
    assert not any(one.is_alive() for one in threads)
    assert lecture.ask(do="hold", rule=None) == {}


@pytest.mark.parametrize("how", ["gate", "rule"])
def test_the_channel_s_end_lets_everything_go(lecture: Lecture, how: str) -> None:
    end = lecture.serve()
    lecture.ask(do="record")
    lecture.ask(**({"do": "gate", "names": [NAME]} if how == "gate" else {"do": "hold", "rule": ALL}))
    held = lecture.emit()
    assert lecture.hear()["held"] == (how == "rule")
    assert held.is_alive()
    lecture.close()
    assert not held.is_alive() and not lecture.tracer.active and end.caught_up.is_set()


def test_a_node_that_is_to_end_holds_nothing_any_more_and_tells_its_last_events(lecture: Lecture) -> None:
    end = lecture.serve()
    lecture.ask(do="record")
    lecture.ask(do="hold", rule=ALL)
    held = lecture.emit()
    assert lecture.hear()["held"]
    end.let_go()
    held.join(10)
    assert not held.is_alive()
    assert lecture.ask(do="hold", rule=ALL) == {} and lecture.ask(do="gate", names=[NAME])["gate"]
    lecture.tracer.emit(NAME, "last.db")
    end.close()
    assert lecture.hear()["event"]["database"] == "last.db" and lecture.hear() is None


def test_what_was_asked_before_it_began_is_done_when_it_is_caught_up(lecture: Lecture) -> None:
    """A node waits for that before it recovers, so a lecture sees the recovery too."""
    lecture.say(do="record")
    lecture.say(do="hold", rule=ALL)
    end = NodeEnd(lecture.tracer, lecture.theirs)
    assert not end.caught_up.is_set()
    lecture.in_thread(end.run)
    assert end.caught_up.wait(10)
    held = lecture.emit()
    assert [lecture.hear(), lecture.hear()] == [{}, {}] and lecture.hear()["held"] and held.is_alive()


def test_the_environment_s_descriptor_is_taken_once_and_no_child_gets_it(
    lecture: Lecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CONTROL_FD, raising=False)
    assert serve_from_environment(lecture.tracer) is None
    number = os.dup(lecture.theirs.fileno())
    os.set_inheritable(number, True)
    monkeypatch.setenv(CONTROL_FD, str(number))
    lecture.say(do="gate", names=[NAME])
    end = serve_from_environment(lecture.tracer)
    assert end is not None and end.caught_up.is_set() and lecture.tracer.active
    assert not os.get_inheritable(number) and serve_from_environment(lecture.tracer) is None
    lecture.lines.close()
    lecture.socket.close()
    assert wait_until(lambda: not lecture.tracer.active, 10, 0.001)
