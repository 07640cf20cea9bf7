"""Events on their way to a lecture: which are held, until when, and how they get into the channel.

    a thread of the mount --emit--> Recorder: copies the bytes, numbers the event,
                                    blocks while it is held --> Outbox --> a thread that sends

The rules: nobody who emits waits for a socket. But the outbox holds at most `ROOM` bytes. When it is full,
who emits waits for room, so a slow lecture slows the node down. A lecture that reads nothing for `STALL_S`
is taken for dead.
"""

import json
import logging
import socket
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pylitefs.control.channel import Message
from pylitefs.trace import TRACEPOINTS, Event, Evidence, Piece

log = logging.getLogger("pylitefs")

ROOM = 64 << 20
"""Bytes of events that wait to be sent before an emitting thread waits for room."""
STALL_S = 5.0
"""A lecture that takes nothing for so long while there is no room is taken for dead."""
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
