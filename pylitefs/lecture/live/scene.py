"""What the parts of a lecture share: its nodes, what is held on them, the history so far.

    director.py --> stepping.py, faults.py, expect.py --> settling.py --> shells.py --> Scene

The rule: the parts know the scene, and none of them the director. The scene knows none of the parts. What it
has to know of shells, their process ids, they write into it themselves.
"""

import threading
from collections.abc import Callable

from pylitefs.control.channel import Control
from pylitefs.errors import LessonError
from pylitefs.lecture.history.chronicle import Chronicle, Emit
from pylitefs.lecture.live.holds import Held, Holds, Pausing, Rule
from pylitefs.lecture.live.nodes import Stage
from pylitefs.lecture.model import Entry, Json


class Scene:
    """The nodes of a lecture and what is known of them. `emit` gets every entry, in order, one at a time."""

    def __init__(self, emit: Emit) -> None:
        self.stage: Stage | None = None
        self.holds = Holds([])
        self.pausing = Pausing()
        self.paused = False
        self.born = 0
        """The number of the step under way: what comes to be held now is born in it."""
        self.seen: list[Entry] = []
        """Every event since the last `cluster`, or since a level's goal was set."""
        self.positions: dict[tuple[str, str], tuple[int, int]] = {}
        """(node, database) → TXID and checksum, as the nodes told them."""
        self.checksums: dict[tuple[str, str, int], int] = {}
        """(node, database, TXID) → the checksum that the position had there, of every position told."""
        self.connects: dict[str, int] = {}
        """How often each replica has connected."""
        self.halted_by = ""
        """The node that the primary has given the HALT lock."""
        self.typists: dict[int, str] = {}
        """Process ids of the shells that are typed into, and the node of each."""
        self.observers: set[int] = set()
        """Process ids of the shells that only look, living and dead."""
        self.chronicle = Chronicle(emit, self._on_event)
        self._closing = threading.Event()

    @property
    def nodes(self) -> Stage:
        """The nodes. LessonError if there are none yet."""
        if self.stage is None:
            raise LessonError("there are no nodes yet: begin with `cluster replicas 1`")
        return self.stage

    def clear(self) -> None:
        """The nodes are gone, and all that was known of them."""
        self.chronicle.drain()
        self.holds.clear()
        self.seen.clear()
        self.positions.clear()
        self.checksums.clear()
        self.connects.clear()
        self.halted_by = ""
        self.paused, self.pausing = False, Pausing()

    def forget_events(self) -> None:
        """From now on only events that are still to come count as seen."""
        self.chronicle.drain()
        self.seen.clear()

    def close(self) -> None:
        """From now on `check_open` refuses, also in a command that is under way. Any thread may call."""
        self._closing.set()

    def check_open(self) -> None:
        if self._closing.is_set():
            raise LessonError("the lecture is closed")

    def tell(self, kind: str, name: str, text: str, node: str = "", changes: Json | None = None) -> None:
        """An entry of the lecture's own; how the nodes stand, and what is held, comes with it."""
        entry = Entry(0, 0.0, kind, name, node, text=text)
        self.chronicle.tell(entry, lambda: {**self._changed_state(), **(changes or {})})

    def tell_of(self, txid: int, entry: Entry) -> None:
        """An entry of the lecture's own about a transaction; how the nodes stand comes with it."""
        entry.txid = txid
        self.chronicle.tell(entry, self._changed_state)

    def state(self) -> Json:
        """The nodes' state, and what is held."""
        if self.stage is None:
            return {}
        return {
            **self.stage.shown(),
            **self.holds.shown(),
            "mode": "paused" if self.paused else "running",
            "halt": {"holder": self.halted_by} if self.halted_by else None,
            "lesson/step": self.chronicle.step,
        }

    def _changed_state(self) -> Json:
        """What of the nodes' state, and of what is held, is not as the entries so far say."""
        state = self.chronicle.state
        return {key: value for key, value in self.state().items() if state.get(key) != value}

    # What is held

    def pids(self, name: str) -> list[int]:
        """Process ids of a node's shells."""
        return [pid for pid, node in self.typists.items() if node == name]

    def let(self, held: Held) -> None:
        """Let one held event go on."""
        self.holds.remove(held)
        self._let(held.node, held.seq)

    def hold_by_mode(self) -> None:
        """Give every node the rule that the mode asks for."""
        self.set_rules(self._rule)

    def set_rules(self, rules: Callable[[str], Rule | None]) -> None:
        """Give each node its rule; what is held and does not match goes on."""
        for node in self.nodes.alive:
            rule = rules(node.name)
            try:
                if node.control is not None:
                    node.control.hold(rule)
            except EOFError:
                continue
            # What was held by the rule before has been put by now: the answer comes after it.
            self.chronicle.drain()
            self.holds.keep(node.name, rule)

    def prepare(self, name: str, control: Control) -> None:
        """A node is about to start: record it, and hold it, from its first tracepoint on."""
        control.ahead(lambda message: self.chronicle.put(name, message), self._rule(name))

    def _rule(self, name: str) -> Rule | None:
        return self.pausing.rule(self.pids(name)) if self.paused else None

    def _let(self, node: str, seq: int) -> None:
        control = self.stage.by_name[node].control if self.stage is not None else None
        try:
            if control is not None:
                control.let(seq)
        except EOFError:
            pass  # it was killed

    # What nodes push

    def _on_event(self, node: str, message: Json, entry: Entry) -> Json | None:
        event = message["event"]
        if event["pid"] and event["pid"] in self.observers:
            # An `expect` looks at a database: neither held nor, in its locks, part of the history.
            if message["held"]:
                self._let(node, event["seq"])
            if event["name"].startswith("lock."):
                return None
        elif message["held"]:
            self.holds.add(Held.of(node, event, self.born, self._peer(event), entry.who))
        if event["name"] in ("pos.advance", "recovery.end"):
            checksum = int(event["payload"].get("checksum", 0))
            self.positions[node, event["database"]] = (event["txid"], checksum)
            self.checksums[node, event["database"], event["txid"]] = checksum
        elif event["name"] == "stream.connect":
            peer = self._peer(event)
            self.connects[peer] = self.connects.get(peer, 0) + 1
        elif event["name"].startswith("lease.") and self.stage is not None:
            self.stage.lease_event(node, event["name"])
        elif event["name"] in ("halt.acquire", "halt.release") and "primary" not in event["payload"]:
            self.halted_by = self._peer(event) if event["name"] == "halt.acquire" else ""
        self.seen.append(entry)
        return self._changed_state()

    def _peer(self, event: Json) -> str:
        peer = str(event["payload"].get("peer") or "")
        return (self.stage is not None and peer and self.stage.name_of_id(peer)) or ""
