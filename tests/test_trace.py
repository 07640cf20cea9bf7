"""Tracepoints: free when nobody listens, and a gate that can always be opened."""

import threading
import time

import pytest

from pylitefs.trace import TRACEPOINTS, Event, Gate, Tracer

NAME = "ltx.commit"


def emit_in_thread(tracer: Tracer, *names: str, database: str = "a.db", pid: int = 0) -> threading.Thread:
    def run() -> None:
        tracer.set_caller(pid)
        for name in names or (NAME,):
            tracer.emit(name, database, 7)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_with_nobody_listening_a_tracer_is_not_active() -> None:
    tracer = Tracer("n1")
    assert not tracer.active
    stop = tracer.listen(lambda event: None)
    other = tracer.listen(lambda event: None)
    assert tracer.active
    stop()
    assert tracer.active
    other()
    assert not tracer.active
    other()  # Twice is no error.


def test_an_event_says_what_when_where_and_for_whom() -> None:
    tracer = Tracer("n1")
    found: list[Event] = []
    tracer.listen(found.append)
    before = time.monotonic_ns(), time.time_ns()
    tracer.emit(NAME, "a.db", 7, size=3)
    tracer.set_caller(42)
    tracer.emit("page.write", "a.db", 7, offset=0)
    first, second = found
    assert (first.name, first.node, first.database, first.txid, first.pid) == (NAME, "n1", "a.db", 7, 0)
    assert dict(first.payload) == {"size": 3}
    assert second.pid == 42
    assert before[0] <= first.monotonic_ns <= second.monotonic_ns <= time.monotonic_ns()
    assert before[1] <= first.wall_ns <= time.time_ns()
    with pytest.raises(AttributeError):
        first.name = "other"  # type: ignore[misc]


def test_the_caller_is_remembered_for_each_thread() -> None:
    tracer = Tracer()
    found: list[int] = []
    tracer.listen(lambda event: found.append(event.pid))
    tracer.set_caller(1)
    emit_in_thread(tracer, pid=2).join()
    tracer.emit(NAME)
    assert found == [2, 1]


def test_every_listener_hears_in_the_thread_that_emits() -> None:
    tracer = Tracer()
    threads: list[threading.Thread] = []
    tracer.listen(lambda event: threads.append(threading.current_thread()))
    tracer.listen(lambda event: threads.append(threading.current_thread()))
    thread = emit_in_thread(tracer)
    thread.join()
    assert threads == [thread, thread]


def test_a_listener_that_raises_is_seen_by_the_caller() -> None:
    tracer = Tracer()

    def broken(event: Event) -> None:
        raise RuntimeError("a bug")

    tracer.listen(broken)
    with pytest.raises(RuntimeError, match="a bug"):
        tracer.emit(NAME)


def test_a_gate_holds_until_it_is_released_oldest_first() -> None:
    tracer, gate = Tracer(), Gate([NAME])
    tracer.listen(gate)
    first = emit_in_thread(tracer, database="first")
    assert gate.wait_held(5) is not None
    second = emit_in_thread(tracer, database="second")
    wait_for(lambda: len(gate.held) == 2)
    assert [event.database for event in gate.held] == ["first", "second"]
    released = gate.release_oldest()
    assert released is not None and released.database == "first"
    first.join(5)
    assert not first.is_alive() and second.is_alive()
    assert [event.database for event in gate.held] == ["second"]
    gate.release_oldest()
    second.join(5)
    assert gate.held == () and gate.release_oldest() is None


def wait_for(condition: "object") -> None:
    assert callable(condition)
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("gate", "matching"),
    [
        (Gate(), {"a", "b", "c", "d"}),
        (Gate([NAME]), {"a", "b", "c"}),
        (Gate(["page.write", "page.apply"]), {"d"}),
        (Gate([NAME], database="b.db"), {"b"}),
        (Gate(pids=[7, 8]), {"c"}),
        (Gate([NAME], database="a.db", pids=[7]), {"c"}),
        (Gate([NAME], database="b.db", pids=[7]), set()),
    ],
)
def test_a_gate_matches_name_database_and_process(gate: Gate, matching: set[str]) -> None:
    """A lecture names the writer's process, or it would hold the class's own SELECTs."""
    events = {
        "a": Event(NAME, "n1", "a.db", 1, 0, 0, 0),
        "b": Event(NAME, "n1", "b.db", 1, 0, 0, 0),
        "c": Event(NAME, "n1", "a.db", 1, 0, 0, 7),
        "d": Event("page.write", "n1", "a.db", 1, 0, 0, 0),
    }
    assert {key for key, event in events.items() if gate.matches(event)} == matching


def test_what_a_gate_does_not_match_passes_it() -> None:
    tracer, gate = Tracer(), Gate([NAME], database="a.db")
    tracer.listen(gate)
    emit_in_thread(tracer, database="b.db").join(5)
    emit_in_thread(tracer, "page.write", "pos.advance").join(5)
    assert gate.held == ()
    assert gate.wait_held(0) is None


def test_a_closed_gate_releases_everything_and_holds_nothing_more() -> None:
    tracer, gate = Tracer(), Gate()
    stop = tracer.listen(gate)
    threads = [emit_in_thread(tracer, NAME, "pos.advance", NAME) for _ in range(5)]
    wait_for(lambda: len(gate.held) == 5)
    gate.close()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
    tracer.emit(NAME)
    stop()


def test_a_gate_with_a_timeout_opens_by_itself() -> None:
    tracer, gate = Tracer(), Gate(timeout=0.02)
    tracer.listen(gate)
    tracer.emit(NAME)
    assert gate.held == ()


def test_a_tracepoint_that_does_not_exist_cannot_be_gated() -> None:
    with pytest.raises(ValueError, match=r"no such tracepoint: ltx\.comit, nothing"):
        Gate(["ltx.comit", "nothing", NAME])


def test_every_tracepoint_has_a_line_for_people_and_the_list_cannot_be_changed() -> None:
    for name, line in TRACEPOINTS.items():
        assert name.count(".") == 1 and name == name.lower()
        assert line and line[0].islower() | line[0].isupper() and not line.endswith(".")
    with pytest.raises(TypeError):
        TRACEPOINTS["new.name"] = ""  # type: ignore[index]


def test_what_is_emitted_anywhere_is_in_the_list() -> None:
    """One vocabulary serves logs, tests, lessons and docs."""
    import re
    from pathlib import Path

    import pylitefs

    emitted = set()
    for path in Path(pylitefs.__file__).parent.rglob("*.py"):
        emitted |= set(re.findall(r'(?:emit|_trace|aside)\(\s*"([a-z]+\.[a-z]+)"', path.read_text()))
    assert emitted <= TRACEPOINTS.keys()
    assert len(emitted) > 20
