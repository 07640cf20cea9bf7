"""The director: real, mounted nodes whose every event is recorded and can be held, and what is done to them.

    do(command) --> told as an entry --> done --> settle: all that follows is held, or has ended
                                                      |
    nodes --control channels--> Chronicle (entries) --+--> Holds (what is held)

The rule: a step never depends on luck. One command is done at a time; it has been done when no process of
the lecture has anything to do any more (settling.py), and which held event a step releases is decided by
holds.py alone. Everything ends with this process: nodes and shells with their standard input, and what is
held with the control channel.
"""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from pylitefs.cluster.nursery import Nursery
from pylitefs.control.channel import Control
from pylitefs.errors import LessonError, PylitefsError
from pylitefs.lecture.history.chronicle import Chronicle, Emit
from pylitefs.lecture.history.historian import Historian
from pylitefs.lecture.language import commands
from pylitefs.lecture.language.commands import Command
from pylitefs.lecture.live import expect
from pylitefs.lecture.live.faults import Faults
from pylitefs.lecture.live.holds import Held, Holds, Pausing, Rule
from pylitefs.lecture.live.nodes import Stage, remove
from pylitefs.lecture.live.settling import SETTLE_S, Settling
from pylitefs.lecture.live.shells import Shells
from pylitefs.lecture.live.stepping import Stepping
from pylitefs.lecture.model import Entry, Json


class Director:
    """A cluster under `base_dir` and the shells on it. `emit` gets every entry, in order, one at a time.

    A command's last entry has `stop`, but those of an `expect` have not. One thread at a time calls `do`;
    any may call `close`.
    """

    def __init__(self, base_dir: Path, emit: Emit) -> None:
        self.base_dir = base_dir.resolve()
        self.base_dir.mkdir(parents=True, exist_ok=True)
        self.stage: Stage | None = None
        self.holds = Holds([])
        self.pausing = Pausing()
        self.paused = False
        self.born = 0
        """The number of the step under way: what comes to be held now is born in it."""
        self.seen: list[Entry] = []
        """Every event since the last `cluster`."""
        self.positions: dict[tuple[str, str], tuple[int, int]] = {}
        """(node, database) → TXID and checksum, as the nodes told them."""
        self.checksums: dict[tuple[str, str, int], int] = {}
        """(node, database, TXID) → the checksum that the position had there, of every position told."""
        self.connects: dict[str, int] = {}
        """How often each replica has connected."""
        self.chronicle = Chronicle(emit, self._on_event)
        self.shells = Shells(self)
        self.settling = Settling(self)
        self._nursery = Nursery()
        self._closing = threading.Event()
        self._lock = threading.RLock()
        self._doing: Mapping[type[Command], Callable[..., None]] = {
            commands.MakeCluster: self._make_cluster,
            commands.Sql: self._sql,
            commands.Note: lambda command: self.tell("note", "note", command.text),
            **Stepping(self).doing,
            **Faults(self).doing,
        }

    def do(self, command: Command) -> None:
        """Do one command; ends when all is held or quiet. Raises LessonError; ExpectError for an `expect`."""
        with self._lock:
            self.check_open()
            self.chronicle.begin_command()
            try:
                if isinstance(command, commands.Expect):
                    expect.check(self, command)
                else:
                    self._doing[type(command)](command)
            except PylitefsError as error:
                self.tell("error", command.verb, str(error))
                self.chronicle.end_command()
                raise error if isinstance(error, LessonError) else LessonError(str(error)) from error
            self.chronicle.end_command(stop=not isinstance(command, commands.Expect))

    def say(self, kind: str, name: str, text: str, changes: Json) -> None:
        """An entry that touches no node: a question, an answer. Next stops at it."""
        with self._lock:
            self.check_open()
            self.chronicle.begin_command()
            self.tell(kind, name, text, changes={"lesson/step": self.chronicle.step, **changes})
            self.chronicle.end_command()

    def begin_again(self) -> None:
        """End the nodes and forget the history: entries begin at 0."""
        with self._lock:
            self.check_open()
            self._end_cluster()
            self.chronicle.begin_again()

    def close(self) -> None:
        """Release everything and end every process; no mount is left. Also while a command is under way."""
        self._closing.set()
        with self._lock:
            self.chronicle.close()
            stage, self.stage = self.stage, None
            try:
                if stage is not None:
                    self.shells.tell_to_end()
                    stage.close()
            finally:
                self.shells.close()
                self._nursery.close()

    # For the parts

    @property
    def nodes(self) -> Stage:
        """The nodes. LessonError if there are none yet."""
        if self.stage is None:
            raise LessonError("there are no nodes yet: begin with `cluster replicas 1`")
        return self.stage

    def check_open(self) -> None:
        if self._closing.is_set():
            raise LessonError("the lecture is closed")

    def tell(self, kind: str, name: str, text: str, node: str = "", changes: Json | None = None) -> None:
        """An entry of the director's own; how the nodes stand, and what is held, comes with it."""
        entry = Entry(0, 0.0, kind, name, node, text=text)
        self.chronicle.tell(entry, lambda: {**self._changed_state(), **(changes or {})})

    def refresh(self) -> None:
        """Hear whatever was said: events, shells' answers, nodes that ended by themselves."""
        self.chronicle.drain()
        if self.stage is None:
            return
        self.shells.collect()
        for name in self.nodes.newly_ended():
            self.node_ended(name, "end", f"{name} ended by itself, {self.nodes.last_words(name)}")

    def settle(self, seconds: float = SETTLE_S) -> None:
        """Wait until all that follows from what was done is held, or has ended. LessonError if not."""
        self.settling.settle(seconds)

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

    def node_ended(self, name: str, how: str, text: str) -> None:
        """A node is down, by whatever it was: its locks, what it held, and its shells are gone."""
        self.chronicle.drain()
        self.nodes.seen_ended(name)
        self.holds.forget(name)
        changes = self.chronicle.historian.node_ended(name)
        self.tell("fault", how, text, name, changes)
        self.shells.kill(name)

    # What nodes push

    def _rule(self, name: str) -> Rule | None:
        return self.pausing.rule(self.shells.pids(name)) if self.paused else None

    def _prepare(self, name: str, control: Control) -> None:
        """A node is about to start: record it, and hold it, from its first tracepoint on."""
        control.ahead(lambda message: self.chronicle.put(name, message), self._rule(name))

    def _on_event(self, node: str, message: Json, entry: Entry) -> Json | None:
        event = message["event"]
        if event["pid"] and event["pid"] in self.shells.observers:
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
        self.seen.append(entry)
        return self._changed_state()

    def _peer(self, event: Json) -> str:
        peer = str(event["payload"].get("peer") or "")
        return (self.stage is not None and peer and self.stage.name_of_id(peer)) or ""

    def _changed_state(self) -> Json:
        """What of the nodes' state, and of what is held, is not as the entries so far say."""
        state = self.chronicle.state
        return {key: value for key, value in self._state().items() if state.get(key) != value}

    def _state(self) -> Json:
        """The nodes' state, and what is held."""
        if self.stage is None:
            return {}
        return {
            **self.stage.shown(),
            **self.holds.shown(),
            "mode": "paused" if self.paused else "running",
            "lesson/step": self.chronicle.step,
        }

    def _let(self, node: str, seq: int) -> None:
        control = self.stage.by_name[node].control if self.stage is not None else None
        try:
            if control is not None:
                control.let(seq)
        except EOFError:
            pass  # it was killed

    # Commands

    def _make_cluster(self, command: commands.MakeCluster) -> None:
        self._end_cluster()
        gone: Json = dict.fromkeys(self.chronicle.state)
        stage = Stage(self.base_dir, command, self._prepare, self._nursery)
        remove(self.base_dir, stage.names)
        self.holds = Holds(stage.names)
        self.chronicle.historian = Historian(stage.name_of_id, self.shells.name_of_pid)
        self.stage = stage
        followers = ", ".join(stage.names[1:])
        text = f"New nodes: {stage.names[0]} is the primary"
        if followers:
            text += f", {followers} {'follow' if command.replicas > 1 else 'follows'} it"
        self.tell("command", "cluster", text, changes={**gone, **self._state()})
        try:
            stage.start()
            self.refresh()
            self.settle()
        except BaseException:
            self._end_cluster()
            raise

    def _end_cluster(self) -> None:
        stage, self.stage = self.stage, None
        self.shells.forget()
        if stage is not None:
            stage.destroy()
        self.chronicle.drain()
        self.holds.clear()
        self.seen.clear()
        self.positions.clear()
        self.checksums.clear()
        self.connects.clear()
        self.paused, self.pausing = False, Pausing()

    def _sql(self, command: commands.Sql) -> None:
        shell = self.shells.get(self.nodes.running(command.node), command.connection)
        self.born += 1
        self.shells.begin(shell, command.statement)
        self.settle()
