"""The control channel: a running node's tracepoints, watched and held from another process.

A lecture or a test starts a node with one end of a socket pair and puts the descriptor's number into
PYLITEFS_CONTROL_FD. Requests and answers are JSON, one a line; an answer has the request's "id":

    {"do": "gate", "names": ["ltx.commit"], "database": "a.db", "pids": [123]}   -> {"gate": 1}
    {"do": "wait", "gate": 1, "seconds": 5}                                     -> {"event": {...} or null}
    {"do": "release", "gate": 1}                                                -> {"event": {...} or null}
    {"do": "close", "gate": 1}                                                  -> {}

A lecture sees everything. From `record` on, each tracepoint is pushed, with the bytes that it is about
(copied in the thread that emits: a moment later they are gone), and says whether it is held:

    {"do": "record"}                    -> {}
    {"event": {"seq": 7, "name": "wal.frame", "node", "database", "txid", "pid", "thread",
               "monotonic_ns", "wall_ns", "payload": {"pgno": 2, ...}},
     "bytes": [{"file": "wal", "path", "offset": 32, "data": base64, "size", "cut": true if cut}],
     "held": true}
    {"do": "hold", "rule": {"names": [], "except": [], "database": "", "pids": []}}   -> {}
    {"do": "let", "seq": 7}             -> {}       lets that event's thread go on
    {"do": "let-all"}                   -> {}       lets all go on; the rule stays
    {"do": "hold", "rule": null}        -> {}       holds nothing more, lets all go on
    {"do": "lease-time", "seconds": 10}  -> {}      stops the lease's clock, and lets so much time pass on it
    {"do": "ping"}                      -> {}       comes after every event that was emitted before it

A node answers the requests already waiting before it recovers, so a lecture sees the recovery too.

The rule: the channel's end, also that of a killed lecture, releases everything that is held. The node's
end of it is node_end.py.
"""

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any

Message = dict[str, Any]

log = logging.getLogger("pylitefs")


class Control:
    """The other end: holds a node, and hears from it.

    `fd_for_node` goes to the child (`pass_fds`, and CONTROL_FD in its environment), then `close_child`.
    Any thread may ask. A thread of its own reads: it hands answers to who asked, and events to `record`'s
    function.
    """

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._next_id = 1
        self._asked: dict[int, Future[Message]] = {}
        self._on_event: Callable[[Message], None] | None = None
        self._reader: threading.Thread | None = None
        self.ended = threading.Event()
        """Set once the node has closed its end, or this one is closed."""

    @property
    def fd_for_node(self) -> int:
        return self._theirs.fileno()

    def close_child(self) -> None:
        """The child has been started: its end is its own."""
        self._theirs.close()

    # Asking.

    def ask(self, request: Mapping[str, object]) -> Message:
        """One request, one answer; ValueError if the node says it is wrong, EOFError if it is gone."""
        future: Future[Message] = Future()
        with self._lock:
            number, self._next_id = self._next_id, self._next_id + 1
            self._asked[number] = future
            self._start_reader()
            if self.ended.is_set():
                self._asked.pop(number, None)
                raise EOFError("the node is gone")
        line = json.dumps({**request, "id": number}).encode() + b"\n"
        try:
            with self._sending:
                self._ours.sendall(line)
        except OSError:
            self._fail_all()
        reply = future.result()
        if "error" in reply:
            raise ValueError(reply["error"])
        return reply

    def gate(self, *names: str, database: str = "", pids: Iterable[int] = ()) -> "RemoteGate":
        """Hold whoever passes one of these tracepoints from now on."""
        reply = self.ask({"do": "gate", "names": names, "database": database, "pids": list(pids)})
        return RemoteGate(self, reply["gate"])

    def gate_ahead(self, *names: str, database: str = "") -> "RemoteGate":
        """The same from the node's first tracepoint on; to be called before it is started, and once."""
        request = {"do": "gate", "names": names, "database": database, "id": 0}
        self._ours.sendall(json.dumps(request).encode() + b"\n")
        return RemoteGate(self, 1)

    def record(self, on_event: Callable[[Message], None]) -> None:
        """Call `on_event` with {"event", "bytes", "held"} of every tracepoint passed from now on.

        That is in the reader's thread and in their order, so it must not ask anything of this channel.
        """
        self._on_event = on_event
        self.ask({"do": "record"})

    def ahead(self, on_event: Callable[[Message], None], rule: Mapping[str, object] | None = None) -> None:
        """`record` and `hold` from the node's first tracepoint on, and the lease's clock stands still; to be
        called before it is started."""
        self._on_event = on_event
        for request in (
            {"do": "record", "id": 0},
            {"do": "hold", "rule": rule, "id": 0},
            {"do": "lease-time", "seconds": 0, "id": 0},
        ):
            self._ours.sendall(json.dumps(request).encode() + b"\n")
        with self._lock:
            self._start_reader()

    def hold(self, rule: Mapping[str, object] | None) -> None:
        """From now on hold the events that a rule matches (its keys are in the module's head).

        Held ones that it does not match go on; None holds nothing more.
        """
        self.ask({"do": "hold", "rule": rule})

    def let(self, seq: int) -> None:
        """Let the thread that is held at this event go on."""
        self.ask({"do": "let", "seq": seq})

    def let_all(self) -> None:
        """Let every thread that is held go on; the rule stays."""
        self.ask({"do": "let-all"})

    def pass_lease_time(self, seconds: float) -> None:
        """On the node's lease clock, which stands still otherwise, so much time passes at once."""
        self.ask({"do": "lease-time", "seconds": seconds})

    def ping(self) -> None:
        """Return once everything that the node emitted before this call was handed to `record`'s function."""
        self.ask({"do": "ping"})

    def close(self) -> None:
        """Release everything that is held in the node."""
        try:
            self._ours.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        if self._reader is not None and self._reader is not threading.current_thread():
            self._reader.join(5)
        self._ours.close()
        self._theirs.close()
        self._fail_all()

    # Reading.

    def _start_reader(self) -> None:
        if self._reader is None:
            self._reader = threading.Thread(target=self._read, name="control-reader", daemon=True)
            self._reader.start()

    def _read(self) -> None:
        try:
            with self._ours.makefile("rb") as lines:
                for line in lines:
                    self._take(json.loads(line))
        except (OSError, ValueError):
            pass  # The node was killed in the middle of a line, or this end was closed.
        finally:
            self._fail_all()

    def _take(self, message: Message) -> None:
        number = message.pop("id", None)
        if number is not None:
            with self._lock:
                future = self._asked.pop(number, None)
            if future is not None:
                future.set_result(message)
        elif self._on_event is not None:
            try:
                self._on_event(message)
            except Exception:
                log.exception("an event of a node could not be dealt with")

    def _fail_all(self) -> None:
        """The node is gone: whoever waits for an answer is told."""
        with self._lock:
            self.ended.set()
            asked, self._asked = self._asked, {}
        for future in asked.values():
            future.set_exception(EOFError("the node is gone"))


class RemoteGate:
    """A gate in the node at the other end of a `Control`."""

    def __init__(self, control: Control, number: int) -> None:
        self._control = control
        self._number = number

    def wait(self, seconds: float = 10.0) -> Message | None:
        """Wait until the gate holds something: the oldest event, or None after `seconds`."""
        return self._event({"do": "wait", "gate": self._number, "seconds": seconds})

    def release(self) -> Message | None:
        """Let the oldest held thread go on; the event it was held at."""
        return self._event({"do": "release", "gate": self._number})

    def _event(self, request: Message) -> Message | None:
        event: Message | None = self._control.ask(request)["event"]
        return event

    def close(self) -> None:
        """Release everything this gate holds, and hold nothing more."""
        self._control.ask({"do": "close", "gate": self._number})
