"""What is held on all nodes, and which of it a step releases.

The rule: which event a step releases must not depend on luck. What is held since an earlier step goes first.
Events of the same step came in an order of the scheduler's choosing. So they are put in order: by node, then
clients before the node's own threads, then by peer, database and tracepoint.

Pure: no clocks, threads or sockets.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pylitefs.lecture.model import Json

Rule = Mapping[str, Any]
"""What a node holds, as its control channel has it: names, except, database, pids."""


@dataclass(frozen=True, slots=True)
class Held:
    """An event that a node holds."""

    node: str
    seq: int
    """The node's number of the event: what lets it go."""
    name: str
    database: str
    txid: int
    pid: int
    """Whose call is served; 0 where the node acts by itself."""
    peer: str
    """The other node, by name, of what travels; "" otherwise."""
    born: int
    """The step in which it came to be held."""
    wall_ms: int
    applier: bool = False
    who: str = ""

    @classmethod
    def of(cls, node: str, event: Json, born: int, peer: str = "", who: str = "") -> "Held":
        """From a pushed event."""
        return cls(
            node=node,
            seq=event["seq"],
            name=event["name"],
            database=event["database"],
            txid=event["txid"],
            pid=event["pid"],
            peer=peer,
            born=born,
            wall_ms=event["wall_ns"] // 1_000_000,
            applier=bool(event["payload"].get("applier")),
            who=who,
        )

    def matches(self, rule: Rule | None) -> bool:
        """As a node sees it (control/events.py)."""
        if rule is None or (rule["names"] and self.name not in rule["names"]) or self.name in rule["except"]:
            return False
        return not self.name.startswith("lock.") or self.applier or self.pid in rule["pids"]

    @property
    def shown(self) -> Json:
        """As `node/NODE/held` has it."""
        return {
            "name": self.name,
            "database": self.database,
            "txid": self.txid,
            "who": self.who,
            "peer": self.peer,
            "wall_ms": self.wall_ms,
        }

    def __str__(self) -> str:
        return f"{self.node} at {self.name}"


class Holds:
    """What is held now. `order` are the nodes' names, the primary of old first."""

    def __init__(self, order: Sequence[str]) -> None:
        self._order = {name: number for number, name in enumerate(order)}
        self._held: dict[tuple[str, int], Held] = {}

    def add(self, held: Held) -> None:
        self._held[held.node, held.seq] = held

    def remove(self, held: Held) -> None:
        self._held.pop((held.node, held.seq), None)

    def forget(self, node: str) -> None:
        """The node is gone, or holds nothing any more."""
        self._held = {key: held for key, held in self._held.items() if held.node != node}

    def clear(self) -> None:
        self._held = {}

    def keep(self, node: str, rule: Rule | None) -> None:
        """The node has got another rule, and let go what it does not match."""
        for held in self.on(node):
            if not held.matches(rule):
                self.remove(held)

    def __bool__(self) -> bool:
        return bool(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def on(self, node: str = "") -> list[Held]:
        """What is held on `node` (or on any), in the order in which steps release it."""
        found = [held for held in list(self._held.values()) if node in ("", held.node)]
        return sorted(found, key=self._key)

    def next(self, node: str = "") -> Held | None:
        """What a step releases."""
        return next(iter(self.on(node)), None)

    def _key(self, held: Held) -> tuple[object, ...]:
        own = held.pid == 0 or held.applier
        return (
            held.born,
            self._order.get(held.node, len(self._order)),
            own,
            0 if own else held.pid,
            self._order.get(held.peer, len(self._order)) if held.peer else -1,
            held.database,
            held.name,
            held.seq,
        )

    def shown(self) -> Json:
        """The state's `node/NODE/held` of all nodes."""
        return {f"node/{name}/held": [held.shown for held in self.on(name)] for name in self._order}

    def told(self) -> str:
        """For an error's text: "n1 at ltx.commit, n2 at stream.receive", or "nothing"."""
        return ", ".join(str(held) for held in self.on()) or "nothing"


@dataclass(frozen=True, slots=True)
class Pausing:
    """Which tracepoints are held while paused: those named (all if none), but not `without`."""

    names: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    #: They come when a clock says so: holding them would make the next step a matter of luck.
    CLOCKED = ("retention.reap", "lease.renew")

    def rule(self, pids: Iterable[int]) -> Rule:
        """For a node's control channel. `pids`: the shells on that node, whose locks are looked at."""
        clocked = [name for name in self.CLOCKED if name not in self.names]
        return {
            "names": list(self.names),
            "except": sorted({*self.without, *clocked}),
            "database": "",
            "pids": sorted(pids),
        }
