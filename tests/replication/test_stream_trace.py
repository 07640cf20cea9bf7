"""What a stream tells a lecture without waiting for it."""

import threading

from pylitefs.ltx.position import Pos
from pylitefs.replication.catchup import NextFile, Nothing
from pylitefs.replication.stream_trace import aside, decided
from pylitefs.trace import Event, Tracer


def test_a_gate_holds_no_stream_that_is_over() -> None:
    """The event is emitted in a thread of its own, whole; without a listener there is none."""
    tracer, held, told = Tracer("n"), threading.Event(), threading.Event()
    seen: list[Event] = []

    def listen(event: Event) -> None:
        seen.append(event)
        told.set()
        held.wait(10)

    aside("stream.end", tracer)
    stop = tracer.listen(listen)
    aside("stream.end", tracer, b"xy", peer="AA")
    assert told.wait(10)
    held.set()
    stop()
    assert [(one.name, one.data, dict(one.payload)) for one in seen] == [
        ("stream.end", b"xy", {"peer": "AA"})
    ]


def test_a_decision_is_told_with_its_reason() -> None:
    """In the words that the log has, and with both sides: what the next file continues, too."""
    told = decided("AA", Nothing("up to date"), Pos(1, 1 << 63), Pos(4, 5), NextFile(2, 3, 0xAB))
    assert told == {
        "peer": "AA",
        "decision": "nothing",
        "reason": "up to date",
        "position": str(Pos(1, 1 << 63)),
        "primary": str(Pos(4, 5)),
        "next": f"{2:016x}/{0xAB:016x}",
    }
    assert decided("AA", Nothing("up to date"), Pos(1, 1 << 63), Pos(4, 5))["next"] == ""
