"""Which transactions were acknowledged, and where each of them is.

The rule: it goes by what was told, in order, and by nothing else: a position that a shell's own writing
moved, the end of that shell's statement, and the checksum that each node has had at each TXID. A node has a
transaction if its history goes through it: the same TXID with the same checksum, or a position of a node
that has it.
"""

import re
from collections import defaultdict
from dataclasses import dataclass

from pylitefs.lecture.live.nodes import DATABASE
from pylitefs.lecture.model import Entry

_WRITER = re.compile(r"writer (\S+) \(pid \d+\)")
Place = tuple[int, str]
"""A TXID and the checksum there."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A transaction of which a program was told that it is committed."""

    shell: str
    place: Place


class Ledger:
    """Filled with every entry of a history, from `seq` 0 on."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self.acknowledged: list[Acknowledged] = []
        self._moved: dict[str, list[Place]] = defaultdict(list)
        self._history: dict[str, dict[int, str]] = defaultdict(dict)
        self._at: dict[str, Place] = {}
        self._roles: dict[str, str] = {}

    def take(self, entry: Entry) -> None:
        """One more entry; one numbered 0 begins anew."""
        if entry.seq == 0:
            self._clear()
        for key, value in entry.set.items():
            kind, _, rest = key.partition("/")
            if kind == "node" and rest.endswith("/role") and value is not None:
                self._roles[rest.removesuffix("/role")] = value
        if entry.kind == "event" and entry.database == DATABASE:
            self._event(entry)
        elif entry.kind == "sql":
            shell = entry.text.partition(":")[0]
            moved = self._moved.pop(shell, [])
            if entry.name == "done":
                self.acknowledged += [Acknowledged(shell, place) for place in moved]

    def _event(self, entry: Entry) -> None:
        if entry.name == "ltx.store" and entry.detail.get("snapshot"):
            self._history[entry.node].clear()
        elif entry.name in ("pos.advance", "recovery.end"):
            place = (entry.txid, str(entry.detail.get("checksum", "")))
            self._at[entry.node] = place
            self._history[entry.node][entry.txid] = place[1]
            writer = _WRITER.match(entry.who)
            if writer and entry.name == "pos.advance":
                self._moved[writer[1]].append(place)

    def why_nothing_is_lost(self) -> str | None:
        """None if an acknowledged transaction is on no node that runs, and there is a primary."""
        if not self.acknowledged:
            return "no program was told of a commit yet"
        running = [name for name, role in self._roles.items() if role != "down"]
        if not any(self._roles[name] == "primary" for name in running):
            return "there is no primary: nobody can say yet what is lost"
        for one in self.acknowledged:
            if not any(self._has(node, one.place) for node in running):
                return None
        newest = self.acknowledged[-1]
        where = ", ".join(node for node in running if self._has(node, newest.place))
        return f"the newest acknowledged transaction, TXID {newest.place[0]} of {newest.shell}, is on {where}"

    def _has(self, node: str, place: Place) -> bool:
        txid, checksum = place
        at = self._at.get(node, (0, ""))
        if at[0] < txid:
            return False
        histories = [own for own in self._history.values() if own.get(txid) == checksum]
        return self._history[node].get(txid) == checksum or any(own.get(at[0]) == at[1] for own in histories)
