"""The way between a replica and its primary: a TCP forwarder that can be slow, cut, or wrong.

    replica --connects--> 127.0.0.1:link.port --Link--> 127.0.0.1:target_port, the primary
            <-- delayed by `delay_ms`, one byte flipped by `corrupt_next` --

The rules: bytes arrive in order, none is lost while a connection lasts, and a connection ends at both
ends; on a cut way a new connection ends at once, so that nobody waits for a timeout. It needs nothing but
a thread of its own.
"""

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field

BLOCK = 64 * 1024
ROOM = 4 << 20
"""Bytes on their way in one direction before no more are taken from the sender."""
_CONNECT_S = 2.0


@dataclass(eq=False)
class _Way:
    """One direction of one connection: what was read from `source` and goes to `sink` when it is due."""

    source: socket.socket
    sink: socket.socket
    delayed: bool
    """Whether this is the direction from the primary, which `delay_ms` and `corrupt_next` are about."""
    waiting: "deque[tuple[float, bytes]]" = field(default_factory=deque)
    size: int = 0
    eof: bool = False
    done: bool = False
    """The sink was told of the end."""


@dataclass(eq=False)
class _Connection:
    there: _Way
    back: _Way


class Link:
    """Forwards from `port` of 127.0.0.1, an own one, to `target_port`, until `close`. Any thread may call."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        """May change: new connections go there. `drop` ends the old ones."""
        self.is_cut = False
        self._delay_s = 0.0
        self._corrupt: tuple[int, int | None] | None = None
        self._lock = threading.RLock()
        self._connections: list[_Connection] = []
        self._taken = self._given = 0
        self._closed = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._wake_here, self._wake_there = socket.socketpair()
        self._wake_here.setblocking(False)
        self._wake_there.setblocking(False)
        self._selector.register(self._wake_there, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name=f"link-{self.port}", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def delay_ms(self) -> int:
        """Milliseconds that whatever comes from the target takes longer; what is under way keeps its time."""
        return round(self._delay_s * 1000)

    @delay_ms.setter
    def delay_ms(self, milliseconds: int) -> None:
        with self._lock:
            self._delay_s = milliseconds / 1000

    # Faults

    def cut(self) -> None:
        """End every connection, and refuse new ones until `heal`. What was under way is lost."""
        with self._lock:
            self.is_cut = True
            self._end_all()

    def heal(self) -> None:
        """Connections are possible again, and nothing is delayed or to be flipped any more."""
        with self._lock:
            self.is_cut = False
            self._delay_s = 0.0
            self._corrupt = None

    def drop(self) -> None:
        """End every connection once."""
        with self._lock:
            self._end_all()

    def corrupt_next(self, offset: int | None = None, *, at_least: int = 256) -> None:
        """Flip one bit in what comes next from the target in a piece of `at_least` bytes.

        `offset` is the byte of that piece, None the one in its middle; small pieces (heartbeats) pass.
        """
        with self._lock:
            self._corrupt = (max(at_least, (offset or 0) + 1), offset)

    @property
    def connections(self) -> int:
        return len(self._connections)

    # Whether something is on its way

    @property
    def taken(self) -> int:
        """Bytes taken from either end so far. They were given on, or lost with their connection, once
        `given` is as much."""
        return self._taken

    @property
    def given(self) -> int:
        return self._given

    def is_idle(self) -> bool:
        """Whether nothing is to be done now: nothing to be read or connected, and nothing due."""
        with self._lock:
            if self._closed:
                return True
            now = time.monotonic()
            if any(way.waiting and way.waiting[0][0] <= now for way in self._ways()):
                return False
            return not [key for key, _ in self._selector.select(0) if key.fileobj is not self._wake_there]

    def close(self) -> None:
        """End everything."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._end_all()
        self._wake()
        self._thread.join(5)
        self._listener.close()
        self._wake_here.close()
        self._wake_there.close()
        self._selector.close()

    def __enter__(self) -> "Link":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The thread

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._wake_here.send(b"x")

    def _ways(self) -> list[_Way]:
        return [way for connection in self._connections for way in (connection.there, connection.back)]

    def _run(self) -> None:
        while True:
            self._selector.select(self._seconds_until_due())
            # What is to be done is looked for again under the lock, so that nothing is between two states.
            with self._lock:
                if self._closed:
                    return
                for key, _ in self._selector.select(0):
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj is self._wake_there:
                        with contextlib.suppress(OSError):
                            self._wake_there.recv(BLOCK)
                    elif isinstance(key.data, _Way) and not key.data.eof:
                        self._take(key.data)
                for connection in list(self._connections):
                    self._give(connection)

    def _seconds_until_due(self) -> float | None:
        with self._lock:
            due = [way.waiting[0][0] for way in self._ways() if way.waiting]
            return max(0.0, min(due) - time.monotonic()) if due else None

    def _accept(self) -> None:
        try:
            near, _ = self._listener.accept()
        except OSError:
            return
        if self.is_cut:
            near.close()
            return
        try:
            far = socket.create_connection(("127.0.0.1", self.target_port), _CONNECT_S)
        except OSError:
            near.close()
            return
        for one in (near, far):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.setblocking(False)
        connection = _Connection(_Way(near, far, delayed=False), _Way(far, near, delayed=True))
        self._connections.append(connection)
        self._selector.register(near, selectors.EVENT_READ, connection.there)
        self._selector.register(far, selectors.EVENT_READ, connection.back)

    def _take(self, way: _Way) -> None:
        try:
            data = way.source.recv(BLOCK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        due = time.monotonic() + (self._delay_s if way.delayed else 0.0)
        if not data:
            way.eof = True
        elif way.delayed:
            data = self._perhaps_flipped(data)
        self._taken += len(data)
        way.size += len(data)
        way.waiting.append((due, data))
        if way.eof or way.size >= ROOM:
            with contextlib.suppress(KeyError):
                self._selector.unregister(way.source)

    def _perhaps_flipped(self, data: bytes) -> bytes:
        if self._corrupt is None or len(data) < self._corrupt[0]:
            return data
        offset = self._corrupt[1]
        place = len(data) // 2 if offset is None else offset
        self._corrupt = None
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

    def _give(self, connection: _Connection) -> None:
        """Pass on what is due; a connection whose two ends are both through is over."""
        for way in (connection.there, connection.back):
            if not self._give_way(way):
                self._end(connection)
                return
        if connection.there.done and connection.back.done:
            self._end(connection)

    def _give_way(self, way: _Way) -> bool:
        """False if the connection is broken."""
        while way.waiting and way.waiting[0][0] <= time.monotonic():
            due, data = way.waiting.popleft()
            try:
                if not data:
                    way.done = True
                    way.sink.shutdown(socket.SHUT_WR)
                    continue
                sent = way.sink.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._given += len(data)
                way.size -= len(data)
                return False
            way.size -= sent
            self._given += sent
            if sent < len(data):
                # The receiver is slow: what is left is tried again a little later.
                way.waiting.appendleft((max(due, time.monotonic() + 0.002), data[sent:]))
                break
        if not way.eof and way.size < ROOM and way.source not in self._selector.get_map():
            self._selector.register(way.source, selectors.EVENT_READ, way)
        return True

    def _end_all(self) -> None:
        for connection in list(self._connections):
            self._end(connection)

    def _end(self, connection: _Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
        for way in (connection.there, connection.back):
            self._given += way.size
            way.size = 0
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(way.source)
            with contextlib.suppress(OSError):
                way.source.shutdown(socket.SHUT_RDWR)
            way.source.close()
