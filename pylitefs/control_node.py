"""The node's end of the control channel: answers requests, pushes events, holds threads at tracepoints.

    a thread of the mount --emit--> Recorder: copies the bytes, numbers the event, --> Outbox --> the lecture
                                    blocks while it is held                           (a thread that sends)
    the control thread    <-- let, hold, let-all ------------------------------------------------ the lecture

The rules: the end of the channel releases everything, and so does the node's own stop (`let_go`); a
lecture that reads slowly slows the node down, but one that does not read at all for `STALL_S` is taken
for dead; and no request waits for another one.
"""

import json
import logging
import os
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pylitefs.control import CONTROL_FD, Evidence, Message, Piece, no_evidence
from pylitefs.trace import TRACEPOINTS, Event, Gate, Tracer

log = logging.getLogger("pylitefs")

ROOM = 64 << 20
"""Bytes of events that wait to be sent before an emitting thread waits for room."""
STALL_S = 5.0
"""A lecture that takes nothing for so long while there is no room is taken for dead."""
FLUSH_S = 1.0
"""So long a node that ends waits for its last events to be sent."""
_OVERHEAD = 512
"""What a message takes beside its bytes, about."""


@dataclass(frozen=True)
class Rule:
    """Which events are held. Empty `names`, and an empty `database`, match all."""

    names: frozenset[str] = frozenset()
    excepted: frozenset[str] = frozenset()
    database: str = ""
    pids: frozenset[int] = frozenset()
    """Whose locks are looked at: `lock.*` of every other process (but the applier) passes."""

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Rule":
        """Raises ValueError for a tracepoint that does not exist."""
        names, excepted = (frozenset(str(name) for name in found.get(key, ())) for key in ("names", "except"))
        if unknown := (names | excepted) - TRACEPOINTS.keys():
            raise ValueError(f"no such tracepoint: {', '.join(sorted(unknown))}")
        pids = frozenset(pid for pid in found.get("pids", ()) if isinstance(pid, int))
        return cls(names, excepted, str(found.get("database", "")), pids)

    def matches(self, event: Event) -> bool:
        if (self.names and event.name not in self.names) or event.name in self.excepted:
            return False
        if self.database and event.database != self.database:
            return False
        if not event.name.startswith("lock."):
            return True
        return event.pid in self.pids or bool(event.payload.get("applier"))


class Outbox:
    """What is to be sent, in order, by a thread of its own: nobody who emits waits for a socket."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._waiting: deque[tuple[Message, int]] = deque()
        self._size = 0
        self._changed = threading.Condition()
        self._sent = 0
        self._ended = False
        self._hurried = False
        threading.Thread(target=self._run, name="control-send", daemon=True).start()

    def put(self, message: Message, size: int = 0) -> None:
        """Have a message sent, unless the other end is gone. Never waits."""
        with self._changed:
            if not self._ended:
                self._waiting.append((message, size + _OVERHEAD))
                self._size += size + _OVERHEAD
                self._changed.notify_all()

    def wait_for_room(self) -> None:
        """Wait until not too much waits to be sent; who takes nothing for `STALL_S` is let go."""
        if self._size <= ROOM:
            return
        with self._changed:
            while self._size > ROOM and not (self._ended or self._hurried):
                sent = self._sent
                if not self._changed.wait(STALL_S) and self._sent == sent:
                    log.warning("the lecture took nothing for %g s: it is let go, with all it held", STALL_S)
                    self._end()

    def hurry(self) -> None:
        """From now on nobody waits for room: the node ends."""
        with self._changed:
            self._hurried = True
            self._changed.notify_all()

    def end(self) -> None:
        """Send nothing more."""
        with self._changed:
            self._end()

    def _end(self) -> None:
        self._ended = True
        self._waiting.clear()
        self._changed.notify_all()
        try:
            self._channel.shutdown(socket.SHUT_RDWR)  # Wakes who reads and who sends.
        except OSError:
            pass

    def flush(self, timeout: float) -> bool:
        """Wait until everything is sent; False if it is not within `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._ended or self._size == 0, timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or bool(self._waiting))
                if self._ended:
                    return
                message, size = self._waiting.popleft()
            try:
                self._channel.sendall(_line(message))
            except OSError:
                self.end()
                return
            with self._changed:
                self._size -= size
                self._sent += 1
                self._changed.notify_all()


def _line(message: Message) -> bytes:
    pieces = message.get("bytes")
    if pieces is not None:
        message = {**message, "bytes": [piece.to_json() for piece in pieces]}
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


@dataclass(eq=False)
class _Held:
    event: Event
    open: threading.Event = field(default_factory=threading.Event)


class Recorder:
    """A listener that pushes every event, and holds those that a rule matches until they are let go."""

    def __init__(self, outbox: Outbox, evidence: Evidence) -> None:
        self._outbox = outbox
        self._evidence = evidence
        self._lock = threading.Lock()
        self._next_seq = 1
        self._recording = False
        self._rule: Rule | None = None
        self._held: dict[int, _Held] = {}
        self._closed = False

    def record(self) -> None:
        """Push events from now on."""
        with self._lock:
            self._recording = True

    def hold(self, rule: Rule | None) -> None:
        """Hold what matches from now on; what is held and does not match goes on."""
        with self._lock:
            self._rule = None if self._closed else rule
            for seq, held in list(self._held.items()):
                if self._rule is None or not self._rule.matches(held.event):
                    self._let(seq)

    def let(self, seq: int) -> None:
        """Let one held event's thread go on; nothing happens where it is not held (any more)."""
        with self._lock:
            self._let(seq)

    def let_all(self) -> None:
        with self._lock:
            for seq in list(self._held):
                self._let(seq)

    def close(self) -> None:
        """Let all go on and hold nothing any more. Events are still pushed, where there is room."""
        with self._lock:
            self._closed = True
        self.hold(None)

    def _let(self, seq: int) -> None:
        held = self._held.pop(seq, None)
        if held is not None:
            held.open.set()

    def __call__(self, event: Event) -> None:
        pieces: Sequence[Piece] = ()
        if self._recording and not self._closed:
            pieces = self._copy(event)
            self._outbox.wait_for_room()
        held = self._push(event, pieces)
        if held is not None:
            held.open.wait()

    def _copy(self, event: Event) -> Sequence[Piece]:
        try:
            return self._evidence(event)
        except Exception:
            log.exception("the bytes of %s could not be copied", event.name)
            return ()

    def _push(self, event: Event, pieces: Sequence[Piece]) -> _Held | None:
        """Number the event and have it sent; what to wait for, if it is held."""
        size = sum(len(piece.data) * 4 // 3 for piece in pieces)
        with self._lock:
            seq, self._next_seq = self._next_seq, self._next_seq + 1
            held = None
            if self._rule is not None and self._rule.matches(event):
                held = self._held[seq] = _Held(event)
            if self._recording:
                found = event_to_json(event, seq)
                self._outbox.put({"event": found, "bytes": pieces, "held": held is not None}, size)
            return held


def event_to_json(event: Event, seq: int) -> Message:
    """A pushed event, as the thread that emits it sees it."""
    return {
        "seq": seq,
        "name": event.name,
        "node": event.node,
        "database": event.database,
        "txid": event.txid,
        "pid": event.pid,
        "thread": threading.current_thread().name,
        "monotonic_ns": event.monotonic_ns,
        "wall_ns": event.wall_ns,
        "payload": {key: _plain(value) for key, value in event.payload.items()},
    }


def _plain(value: object) -> object:
    """A payload's value as JSON has it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(value)


def _gate_event(event: Event | None) -> Message | None:
    """What a gate's requests say of the event it holds."""
    if event is None:
        return None
    return {
        "name": event.name,
        "node": event.node,
        "database": event.database,
        "txid": event.txid,
        "pid": event.pid,
        "payload": {key: str(value) for key, value in event.payload.items()},
    }


class NodeEnd:
    """The node's end of one channel. `run` in a thread of its own, until the other end is gone."""

    def __init__(self, tracer: Tracer, channel: socket.socket, evidence: Evidence = no_evidence) -> None:
        self._tracer = tracer
        self._channel = channel
        self._outbox = Outbox(channel)
        self._recorder = Recorder(self._outbox, evidence)
        self._stop_recorder: Callable[[], None] | None = None
        self._gates: dict[int, tuple[Gate, Callable[[], None]]] = {}
        self._lock = threading.Lock()
        self._let_go = False
        self._ahead = _lines_waiting(channel)
        self.caught_up = threading.Event()
        """Set once the requests that were there before this end was made are done."""
        self._requests: Mapping[str, Callable[[Message], Message]] = {
            "gate": self._gate,
            "wait": self._wait,
            "release": self._release,
            "close": self._close_gate,
            "record": self._record,
            "hold": self._hold,
            "let": self._let,
            "let-all": self._let_all,
            "ping": lambda request: {},
        }

    def run(self) -> None:
        """Answer requests until the other end is gone; then release everything."""
        try:
            # Not one object for both ways: a text file forgets what it has read ahead when it is written to.
            with self._channel.makefile("rb") as lines:
                self._count_down(0)
                for line in lines:
                    self._take(line)
                    self._count_down(1)
        except OSError:
            pass  # The other end was killed while it was answered.
        finally:
            self._end()

    def let_go(self) -> None:
        """The node is to end: everything held goes on, nothing is held any more. Events are still pushed."""
        with self._lock:
            self._let_go = True
            gates = list(self._gates.values())
        for gate, stop in gates:
            stop()
            gate.close()
        self._recorder.close()
        self._outbox.hurry()

    def close(self, timeout: float = FLUSH_S) -> None:
        """Send what waits to be sent, and end the channel."""
        self.let_go()
        self._outbox.flush(timeout)
        self._outbox.end()

    def _count_down(self, done: int) -> None:
        self._ahead -= done
        if self._ahead <= 0:
            self.caught_up.set()

    def _end(self) -> None:
        self.caught_up.set()
        self.let_go()
        if self._stop_recorder is not None:
            self._stop_recorder()
        self._outbox.end()
        self._channel.close()

    def _take(self, line: bytes) -> None:
        number: object = None
        try:
            request = json.loads(line)
            number = request.get("id")
            if number is not None and request.get("do") == "wait":
                # It may take long, and no other request is to wait for it.
                threading.Thread(target=self._answer, args=(request, number), daemon=True).start()
                return
        except (ValueError, AttributeError) as error:
            self._reply({"error": f"{type(error).__name__}: {error}"}, number)
            return
        self._answer(request, number)

    def _answer(self, request: Message, number: object) -> None:
        try:
            reply = self._requests[request["do"]](request)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        self._reply(reply, number)

    def _reply(self, reply: Message, number: object) -> None:
        self._outbox.put(reply if number is None else {**reply, "id": number})

    # Requests.

    def _gate(self, request: Message) -> Message:
        gate = Gate(
            request.get("names", ()), database=request.get("database", ""), pids=request.get("pids", ())
        )
        with self._lock:
            number = len(self._gates) + 1
            if self._let_go:
                gate.close()
            self._gates[number] = (gate, self._tracer.listen(gate))
        return {"gate": number}

    def _wait(self, request: Message) -> Message:
        gate, _ = self._gates[request["gate"]]
        return {"event": _gate_event(gate.wait_held(float(request.get("seconds", 10))))}

    def _release(self, request: Message) -> Message:
        gate, _ = self._gates[request["gate"]]
        return {"event": _gate_event(gate.release_oldest())}

    def _close_gate(self, request: Message) -> Message:
        gate, stop = self._gates[request["gate"]]
        stop()
        gate.close()
        return {}

    def _record(self, request: Message) -> Message:
        del request
        self._recorder.record()
        self._listen()
        return {}

    def _hold(self, request: Message) -> Message:
        rule = request["rule"]
        self._recorder.hold(None if rule is None else Rule.from_json(rule))
        if rule is not None:
            self._listen()
        return {}

    def _let(self, request: Message) -> Message:
        self._recorder.let(int(request["seq"]))
        return {}

    def _let_all(self, request: Message) -> Message:
        del request
        self._recorder.let_all()
        return {}

    def _listen(self) -> None:
        if self._stop_recorder is None:
            self._stop_recorder = self._tracer.listen(self._recorder)


def _lines_waiting(channel: socket.socket) -> int:
    try:
        return channel.recv(65536, socket.MSG_PEEK | socket.MSG_DONTWAIT).count(b"\n")
    except OSError:
        return 0


def serve(tracer: Tracer, channel: socket.socket, evidence: Evidence = no_evidence) -> None:
    """Answer requests until the other end is gone; then release everything."""
    NodeEnd(tracer, channel, evidence).run()


def serve_from_environment(tracer: Tracer, evidence: Evidence = no_evidence) -> NodeEnd | None:
    """Serve, in a thread, the channel that whoever started this process handed down, if there is one.

    What was asked before this process began is done when this returns.
    """
    number = os.environ.pop(CONTROL_FD, "")
    if not number:
        return None
    os.set_inheritable(int(number), False)
    end = NodeEnd(tracer, socket.socket(fileno=int(number)), evidence)
    threading.Thread(target=end.run, name="control", daemon=True).start()
    end.caught_up.wait()
    return end
