"""Tracepoints: what happened, when, and where one can stop.

A tracepoint is a named moment of a transaction's walk. With nobody listening it costs one attribute
check (`if tracer.active:`). A listener is called in the thread that emits, so it may copy bytes that
are gone a moment later, and it may *gate*: block that thread until it is released.

The rule: this module depends on nothing, and a gate can always be opened from outside; closing the
tracer releases everything that is held.

    thread of the mount:   ... emit("ltx.commit") --listener--> Gate.__call__ blocks
    another thread:                                  Gate.release_oldest()  ->  the mount goes on
"""

import base64
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

#: Every name that is emitted, with one line for people. Logs, tests, lessons and docs use these.
TRACEPOINTS: Mapping[str, str] = MappingProxyType(
    {
        "lock.acquire": "a client, or the applier, got a lock (only with observed locks)",
        "lock.release": "locks were given back (only with observed locks)",
        "lock.busy": "a lock was refused: another holder is in the way (only with observed locks)",
        "journal.open": "SQLite made the rollback journal, and is about to write into it",
        "journal.write": "bytes were written to the rollback journal",
        "journal.sync": "the rollback journal was synced",
        "journal.invalidate": "the journal is about to end: unlinked, truncated, or its header zeroed",
        "page.write": "SQLite wrote bytes of the database file",
        "wal.frame": "bytes were written to the WAL",
        "wal.commit": "a WAL frame completes a commit",
        "tx.rollback": "a write ended and nothing had changed",
        "ltx.encode": "a transaction's pages were packed into an LTX file",
        "ltx.commit": "the LTX file is durable under its final name",
        "pos.advance": "the database's position moved",
        "stream.connect": "a replica connected",
        "stream.send": "a frame is about to be sent",
        "stream.receive": "a frame was received",
        "stream.end": "a stream ended",
        "catchup.decide": "the primary decided what a replica gets, and why",
        "ltx.verify": "a received LTX file was verified",
        "ltx.store": "a received LTX file is durable under its final name",
        "page.apply": "the applier wrote a page through the mount; at the end, once for all of them",
        "snapshot.begin": "a snapshot is about to be copied under a reader's locks",
        "snapshot.end": "a snapshot was copied; the locks are gone",
        "lease.ask": "this node is about to ask for the lease",
        "lease.acquire": "this node became the primary",
        "lease.renew": "the lease was renewed",
        "lease.lose": "this node lost the lease, and is the primary no longer",
        "lease.handoff": "the lease was handed to another node",
        "halt.request": "a replica is about to ask the primary for the HALT lock",
        "halt.acquire": "a replica has the HALT lock: told there and on the primary",
        "tx.forward": "the HALT lock's holder is about to send a transaction to the primary",
        "halt.tx": "the primary has taken in a transaction of the HALT lock's holder",
        "halt.release": "the HALT lock has ended: told on both sides",
        "retention.reap": "an LTX file past its retention was removed",
        "recovery.begin": "a database's files are looked at before it is opened",
        "recovery.journal": "a hot journal was rolled back",
        "recovery.wal": "the WAL was cut back to the last LTX file, or set aside",
        "recovery.ltx": "LTX files were dropped, or replayed over the database",
        "recovery.end": "a database is whole and its position known",
        "fault.refused": "an operation was refused; the payload says why",
        "fault.applier": "the applier process ended and was started again",
    }
)


@dataclass(frozen=True, slots=True)
class Event:
    """One tracepoint passed. `payload` holds the bytes' place (offset, length, page), not the bytes."""

    name: str
    node: str
    database: str
    txid: int
    monotonic_ns: int
    wall_ns: int
    pid: int
    """The process whose call is being served, 0 where the node acts by itself."""
    payload: Mapping[str, object] = field(default_factory=dict)
    data: bytes = b""
    """What is on no disk: the bytes of a stream frame, or the beginning of a long one."""


Listener = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that an event is about, as they were when it was emitted."""

    file: str
    """journal, wal, shm, database, ltx or frame."""
    path: str
    """Where they were read; "" for a frame."""
    offset: int
    data: bytes
    size: int
    """Of the whole file, or frame."""
    cut: bool = False
    """There were more than are copied."""

    def to_json(self) -> dict[str, object]:
        found: dict[str, object] = {
            "file": self.file,
            "path": self.path,
            "offset": self.offset,
            "data": base64.b64encode(self.data).decode(),
            "size": self.size,
        }
        return {**found, "cut": True} if self.cut else found


Evidence = Callable[[Event], Sequence[Piece]]
"""Copies the bytes that an event is about; called in the thread that emits."""


def no_evidence(event: Event) -> Sequence[Piece]:
    """For a channel that pushes events without bytes."""
    del event
    return ()


class Tracer:
    """The tracepoints of one node. Emitters test `active` first, which is all they cost when unused."""

    def __init__(self, node: str = "") -> None:
        self.node = node
        self.active = False
        self._listeners: tuple[Listener, ...] = ()
        self._lock = threading.Lock()
        self._caller = threading.local()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every event from now on; the returned function ends that."""
        with self._lock:
            self._listeners = (*self._listeners, listener)
            self.active = True

        def stop() -> None:
            with self._lock:
                self._listeners = tuple(one for one in self._listeners if one is not listener)
                self.active = bool(self._listeners)

        return stop

    def set_caller(self, pid: int) -> None:
        """Remember, for this thread, which process's call it is serving."""
        self._caller.pid = pid

    def emit(self, name: str, database: str = "", txid: int = 0, **payload: object) -> None:
        """Tell every listener. A listener may block; one that raises is a bug and the caller sees it."""
        self.emit_bytes(b"", name, database, txid, payload)

    def emit_bytes(
        self, data: bytes, name: str, database: str, txid: int, payload: Mapping[str, object]
    ) -> None:
        """As `emit`, with bytes that are on no disk."""
        event = Event(
            name,
            self.node,
            database,
            txid,
            time.monotonic_ns(),
            time.time_ns(),
            getattr(self._caller, "pid", 0),
            payload,
            data,
        )
        for listener in self._listeners:
            listener(event)


@dataclass(eq=False)
class Held:
    """An event that a gate holds; `release()` lets its thread go on."""

    event: Event
    _open: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        self._open.set()

    def wait(self, timeout: float | None) -> bool:
        return self._open.wait(timeout)


class Gate:
    """A listener that blocks the threads passing the tracepoints it matches, oldest first out.

    Empty `names`, `database` or `pids` match everything; a lecture always names the writer's pid, or
    the gate would catch the class's own SELECTs. `timeout` (seconds) opens the gate by itself.
    """

    def __init__(
        self,
        names: Iterable[str] = (),
        *,
        database: str = "",
        pids: Iterable[int] = (),
        timeout: float | None = None,
    ) -> None:
        self.names = frozenset(names)
        unknown = self.names - TRACEPOINTS.keys()
        if unknown:
            raise ValueError(f"no such tracepoint: {', '.join(sorted(unknown))}")
        self.database = database
        self.pids = frozenset(pids)
        self.timeout = timeout
        self._held: deque[Held] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def matches(self, event: Event) -> bool:
        return (
            (not self.names or event.name in self.names)
            and (not self.database or event.database == self.database)
            and (not self.pids or event.pid in self.pids)
        )

    def __call__(self, event: Event) -> None:
        if not self.matches(event):
            return
        held = Held(event)
        with self._changed:
            if self._closed:
                return
            self._held.append(held)
            self._changed.notify_all()
        try:
            held.wait(self.timeout)
        finally:
            with self._changed:
                if held in self._held:
                    self._held.remove(held)
                self._changed.notify_all()

    @property
    def held(self) -> tuple[Event, ...]:
        """What is held now, oldest first."""
        with self._changed:
            return tuple(held.event for held in self._held)

    def wait_held(self, timeout: float) -> Event | None:
        """Wait until something is held; the oldest event, or None after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._held), timeout)
            return self._held[0].event if self._held else None

    def release_oldest(self) -> Event | None:
        """Let the oldest held thread go on; the event it was held at, or None."""
        with self._changed:
            if not self._held:
                return None
            held = self._held.popleft()
        held.release()
        return held.event

    def close(self) -> None:
        """Release everything and hold nothing any more."""
        with self._changed:
            self._closed = True
            held, self._held = tuple(self._held), deque()
        for one in held:
            one.release()
