"""From what nodes push and the director does to one history: entries in order, numbered, each emitted once.

    readers of the control channels --put--> waiting --drain--> Historian --> hold hook --> emit
    the director ---------------------tell------------------------------------------------> emit

The rules: events of several nodes are put in the order of the machine's clock, which is that of cause and
effect; one entry is emitted at a time; and while a command is done the newest entry is kept back, so that
the command's last one can say `stop`.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from pylitefs.lecture.history.historian import Historian
from pylitefs.lecture.invariants import Invariants
from pylitefs.lecture.model import Dump, Entry, Json

log = logging.getLogger("pylitefs.lecture")

Emit = Callable[[Entry, Sequence[Dump]], None]
OnEvent = Callable[[str, Json, Entry], Json | None]
"""Called with node, message and entry before it is emitted; gives changes of the state that come with it,
or None for an event that is not to be told."""

GATHER_S = 0.002
"""So long what the readers of several channels bring is gathered, to be put in order."""


class Chronicle:
    """One run's history. `close` ends it: nothing is emitted afterwards."""

    def __init__(self, emit: Emit, on_event: OnEvent) -> None:
        self.step = -1
        """The lesson's step that entries from now on belong to."""
        self.state: Json = {}
        """What the `set` of all entries so far gives."""
        self.historian = Historian()
        self.count = 0
        """Messages dealt with: a number that changes when something happened."""
        self._invariants = Invariants()
        self._emit = emit
        self._on_event = on_event
        self._lock = threading.RLock()
        self._waiting: deque[tuple[str, Json]] = deque()
        self._arrived = threading.Event()
        self._pending: Json = {}
        self._kept: tuple[Entry, Sequence[Dump]] | None = None
        self._in_command = False
        self._next_seq = 0
        self._began_ns = time.monotonic_ns()
        self._last_ms = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="chronicle", daemon=True)
        self._thread.start()

    def put(self, node: str, message: Json) -> None:
        """A message of a node's control channel; any thread, never waits."""
        self._waiting.append((node, message))
        self._arrived.set()

    def drain(self) -> None:
        """Tell everything that has been put."""
        with self._lock:
            batch: list[tuple[str, Json]] = []
            while self._waiting:
                batch.append(self._waiting.popleft())
            batch.sort(key=lambda item: int(item[1]["event"]["monotonic_ns"]))
            for node, message in batch:
                self.count += 1
                self._tell_event(node, message)

    def tell(self, entry: Entry, changes: Callable[[], Json] = dict) -> None:
        """One entry of the director's, after everything that has been put; `changes` of the state as then."""
        with self._lock:
            self.drain()
            self._add(entry, (), time.monotonic_ns(), changes())

    def with_next(self, changes: Json) -> None:
        """Changes of the state that come with the next entry, whatever it is."""
        with self._lock:
            self._pending |= changes

    def begin_command(self) -> None:
        """Keep the newest entry back from now on."""
        with self._lock:
            self.drain()
            self._in_command = True

    def end_command(self, *, stop: bool = True) -> None:
        """Emit what is kept back, with `stop`."""
        with self._lock:
            self.drain()
            self._in_command = False
            if self._kept is not None:
                self._kept[0].stop = stop
            self._flush()

    def begin_again(self) -> None:
        """Forget everything: a new history, from `seq` 0 on. No node runs."""
        with self._lock:
            self._waiting.clear()
            self._kept, self._pending = None, {}
            self.step, self.state, self.historian = -1, {}, Historian()
            self._invariants = Invariants()
            self._next_seq, self._last_ms, self._began_ns = 0, 0.0, time.monotonic_ns()

    def close(self) -> None:
        with self._lock:
            self._closed = True
        self._arrived.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(5)

    def _run(self) -> None:
        while not self._closed:
            self._arrived.wait()
            self._arrived.clear()
            time.sleep(GATHER_S)
            self.drain()

    def _tell_event(self, node: str, message: Json) -> None:
        event = message["event"]
        try:
            entry, dumps = self.historian.entry(message, node)
        except Exception:  # A viewer without one sentence is better than a lecture that hangs.
            log.exception("%s of %s could not be explained", event["name"], node)
            entry = Entry(0, 0.0, "event", event["name"], node, event["database"], event["txid"])
            dumps = []
        try:
            changes = self._on_event(node, message, entry)
        except Exception:
            log.exception("%s of %s could not be dealt with", event["name"], node)
            changes = {}
        if changes is not None:
            self._add(entry, dumps, int(event["monotonic_ns"]), changes)

    def _add(self, entry: Entry, dumps: Sequence[Dump], at_ns: int, changes: Json) -> None:
        if self._closed:
            return
        self._flush()
        self._last_ms = max(self._last_ms, (at_ns - self._began_ns) / 1e6)
        entry.seq, entry.t_ms, entry.step = self._next_seq, self._last_ms, self.step
        entry.set = {**self._pending, **entry.set, **changes}
        entry.set |= self._invariants.after(entry)
        self._pending = {}
        self._next_seq += 1
        for key, value in entry.set.items():
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        self._kept = (entry, dumps)
        if not self._in_command:
            self._flush()

    def _flush(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None and not self._closed:
            self._emit(*kept)
