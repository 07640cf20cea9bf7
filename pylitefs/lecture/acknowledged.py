"""Which transactions a program was told are committed, and which nodes have them.

The rule: a transaction is one by its TXID and its checksum together. It is lost to whoever asks once a node
leads without it, and for good once no node has it. Only the lecture's own shells are known to be told; which
statements of other programs ended is in no event.
"""

import re
from collections import defaultdict
from typing import NamedTuple

from pylitefs.lecture.model import Entry

_SHELL = re.compile(r"^(?:writer|reader) (\S+/\S+) \(pid \d+\)$")


class _Transaction(NamedTuple):
    database: str
    txid: int
    checksum: int
    node: str
    """Who acknowledged it."""

    def __str__(self) -> str:
        return f"transaction {self.txid} of {self.database}, which {self.node} had acknowledged"


class Acknowledged:
    """Follows a history; `lost` and `unsure` say why not all is there, "" where it is."""

    def __init__(self) -> None:
        self.lost = ""
        self.unsure = ""
        self._lines: defaultdict[tuple[str, str], dict[int, int | None]] = defaultdict(dict)
        """Of each node's database: the transactions that it went through, TXID → checksum."""
        self._made: defaultdict[str, list[_Transaction]] = defaultdict(list)
        """What each shell's statement has committed, before it is done."""
        self._told: list[_Transaction] = []
        self._for_good = ""

    def take(self, entry: Entry, leads: set[str]) -> None:
        """One entry more; `leads` are the nodes that lead after it."""
        match entry.name:
            case "ltx.commit" | "ltx.store":
                self._ltx(entry)
            case "recovery.end" if entry.kind == "event":
                line = self._lines[entry.node, entry.database]
                for txid in [one for one in line if one > entry.txid]:
                    del line[txid]
                line[entry.txid] = _checksum(entry, "checksum")
            case "done" | "error" if entry.kind == "sql":
                self._sql(entry, leads)
                return
        is_another = entry.name.startswith(("lease.", "recovery.")) or entry.detail.get("snapshot") in (
            True,
            "True",
        )
        if is_another or any(key.endswith("/role") for key in entry.set):
            self._look(self._told, leads)

    def _ltx(self, entry: Entry) -> None:
        place = (entry.node, entry.database)
        checksum = _checksum(entry, "post_apply_checksum")
        if entry.detail.get("snapshot") in (True, "True"):
            self._lines[place] = self._line_to(entry, checksum)
        self._lines[place][entry.txid] = checksum
        shell = _SHELL.match(entry.who)
        if entry.name == "ltx.commit" and shell and checksum is not None:
            self._made[shell[1]].append(_Transaction(entry.database, entry.txid, checksum, entry.node))

    def _line_to(self, entry: Entry, checksum: int | None) -> dict[int, int | None]:
        """What came before a snapshot: that of a node which has been where it leads to."""
        for (node, database), line in self._lines.items():
            if (
                node != entry.node
                and database == entry.database
                and line.get(entry.txid) == checksum is not None
            ):
                return {txid: one for txid, one in line.items() if txid <= entry.txid}
        return {}

    def _sql(self, entry: Entry, leads: set[str]) -> None:
        for shell in (key.removeprefix("sql/") for key in entry.set if key.startswith("sql/")):
            made = self._made.pop(shell, [])
            if entry.name == "done":
                self._told += made
                self._look(made, leads, anew=False)

    def _look(self, at: list[_Transaction], leads: set[str], *, anew: bool = True) -> None:
        """Whether those who lead have these; `anew`: they are all that there are."""
        if anew:
            self.lost = self.unsure = ""
        for one in at:
            has = {node: self._has(node, one) for node in {node for node, _ in self._lines} | leads}
            if not self._for_good and True not in has.values() and None not in has.values():
                self._for_good = f"No node has {one}, any more."
            for node in sorted(leads):
                if has[node] is False and not self.lost:
                    self.lost = f"{node} leads without {one}."
                elif has[node] is None:
                    self.unsure = f"Whether {node}, which leads, has {one}, is not told."
        self.lost = self._for_good or self.lost

    def _has(self, node: str, one: _Transaction) -> bool | None:
        line = self._lines.get((node, one.database), {})
        if one.txid > max(line, default=0):
            return False
        found = line.get(one.txid)
        return None if found is None else found == one.checksum


def _checksum(entry: Entry, key: str) -> int | None:
    try:
        return int(str(entry.detail[key]), 16)
    except (KeyError, ValueError):
        return None
