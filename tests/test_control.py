"""The control channel: gates of a node, set and opened from another process, never left shut."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from pylitefs import control
from pylitefs.control import Control
from pylitefs.trace import Tracer

NAME = "ltx.commit"


@pytest.fixture
def tracer() -> Tracer:
    return Tracer("n1")


@pytest.fixture
def channel(tracer: Tracer) -> Iterator[Control]:
    """A channel whose other end is served in a thread of this process."""
    one = Control()
    theirs = socket.socket(fileno=os.dup(one.fd_for_node))
    one.close_child()
    thread = threading.Thread(target=control.serve, args=(tracer, theirs))
    thread.start()
    yield one
    one.close()
    thread.join(5)
    assert not thread.is_alive()


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
    thread = threading.Thread(target=control.serve, args=(tracer, theirs))
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
    thread = threading.Thread(target=control.serve, args=(tracer, theirs))
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
    with pytest.raises((OSError, ValueError)):
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
    thread = threading.Thread(target=control.serve, args=(tracer, theirs))
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
    monkeypatch.delenv(control.CONTROL_FD, raising=False)
    assert control.serve_from_environment(tracer) is None


def test_the_descriptor_of_the_environment_is_served_and_handed_to_no_child(
    tracer: Tracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Control()
    number = os.dup(one.fd_for_node)
    one.close_child()
    os.set_inheritable(number, True)
    monkeypatch.setenv(control.CONTROL_FD, str(number))
    thread = control.serve_from_environment(tracer)
    assert thread is not None and control.CONTROL_FD not in os.environ
    assert not os.get_inheritable(number)
    assert one.gate(NAME).wait(0) is None
    one.close()
    thread.join(5)
    assert not thread.is_alive()


def test_a_node_that_is_gone_is_told_from_one_that_says_no(channel: Control, tracer: Tracer) -> None:
    lonely = Control()
    lonely.close_child()
    with pytest.raises((EOFError, OSError)):
        lonely.gate(NAME)
    lonely.close()
