"""Five sentences that a class should learn, and whether each of them is so after each entry of a history.

    entries, in order --after--> the state's key `invariants`: a list of five, in the order of `SAYS`

The rule: a verdict is made of what entries say and of nothing else, so a live page, a replay, a handout and
the terminal say the same. What entries do not tell is "unknown", and never taken for good.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pylitefs.lecture.acknowledged import Acknowledged
from pylitefs.lecture.model import Entry, Json

SAYS = {
    "durable": ("file, then position", "A position moves only after its LTX file is durable."),
    "checksum": ("checksum = bytes", "The position's checksum is that of the database's bytes."),
    "whole": ("whole transactions", "A replica shows a transaction as a whole, or nothing of it."),
    "primary": ("one primary", "One lease has one primary: never do two nodes lead at once."),
    "acknowledged": ("nothing lost", "Whoever leads has every transaction that was acknowledged."),
}
"""Each by its name: in two words, for the row, and as a sentence."""

Place = tuple[str, str]
"""A node's database: (node, database)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a sentence is so, and why not."""

    state: str = "holds"
    """holds, broken, unknown; none where it says nothing of these nodes."""
    why: str = ""


class Invariants:
    """Follows a history. One thread; entries in order."""

    def __init__(self) -> None:
        self._shown: list[Json] = []
        self._begin()

    def _begin(self) -> None:
        self._nodes: list[str] = []
        self._has_lease = False
        self._leads: set[str] = set()
        self._durable = _Durable()
        self._checksum = _Checksum()
        self._whole = _Whole()
        self._acknowledged = Acknowledged()

    def after(self, entry: Entry) -> Json:
        """The changes of the state by this entry: `invariants`, where one of them is another now."""
        if entry.kind == "command" and entry.name == "cluster":
            self._begin()
        self._follow(entry)
        for one in (self._durable, self._checksum, self._whole):
            one.take(entry)
        self._acknowledged.take(entry, self._leads)
        lost, unsure = self._acknowledged.lost, self._acknowledged.unsure
        found = {
            "durable": self._durable.verdict(),
            "checksum": self._checksum.verdict(),
            "whole": self._whole.verdict()
            if len(self._nodes) > 1
            else Verdict("none", "There is no replica."),
            "primary": self._one_primary(),
            "acknowledged": Verdict("broken", lost)
            if lost
            else Verdict("unknown", unsure)
            if unsure
            else Verdict(),
        }
        return self._changes(entry.seq, found) if self._nodes else {}

    def _follow(self, entry: Entry) -> None:
        """Who is there, and who leads."""
        if isinstance(names := entry.set.get("nodes"), list):
            self._nodes = names
        self._has_lease = self._has_lease or bool(entry.set.get("lease"))
        for node in self._nodes:
            if entry.set.get(f"node/{node}/role", "primary") != "primary":
                self._leads.discard(node)
        if entry.name == "lease.acquire":
            self._leads.add(entry.node)
        elif entry.name in ("lease.lose", "lease.handoff"):
            self._leads.discard(entry.node)

    def _one_primary(self) -> Verdict:
        if len(self._leads) > 1:
            both = " and ".join(sorted(self._leads))
            reason = (
                "in spite of the lease" if self._has_lease else "there is no lease here that would forbid it"
            )
            return Verdict("broken", f"{both} lead at the same time: {reason}.")
        if not self._has_lease:
            return Verdict("none", "There is no lease here: who leads is said to a node when it starts.")
        return Verdict()

    def _changes(self, seq: int, found: dict[str, Verdict]) -> Json:
        before = {one["name"]: one for one in self._shown}
        now: list[Json] = []
        for name, verdict in found.items():
            short, says = SAYS[name]
            was = before.get(name)
            at = was["at"] if was is not None and was["state"] == verdict.state else seq
            now.append(
                {
                    "name": name,
                    "short": short,
                    "says": says,
                    "state": verdict.state,
                    "why": verdict.why,
                    "at": at,
                }
            )
        if now == self._shown:
            return {}
        self._shown = now
        return {"invariants": now}


def told(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The entries of a recording with the verdicts; what it says of them itself is not believed."""
    following = Invariants()
    found = []
    for entry in entries:
        kept = {key: value for key, value in entry.set.items() if key != "invariants"}
        changes = following.after(entry)
        found.append(
            replace(entry, set={**kept, **changes}) if changes or len(kept) < len(entry.set) else entry
        )
    return tuple(found)


class _Durable:
    """A position moves only after its LTX file is durable."""

    def __init__(self) -> None:
        self._kept: set[tuple[Place, int]] = set()
        self._at: dict[Place, int] = {}
        self._damaged: dict[Place, str] = {}
        self._too_early = ""

    def take(self, entry: Entry) -> None:
        place = (entry.node, entry.database)
        if entry.name in ("ltx.commit", "ltx.store"):
            self._kept.add((place, entry.txid))
        elif entry.name in ("pos.advance", "recovery.end"):
            self._damaged.pop(place, None)
            self._at[place] = entry.txid
            if entry.name == "pos.advance" and (place, entry.txid) not in self._kept:
                self._too_early = (
                    f"{entry.database} on {entry.node} went to TXID {entry.txid}, and no LTX file of it was "
                    "synced before: a crash would take the position back."
                )
        elif entry.kind == "fault" and entry.name == "corrupt":
            file, txid = str(entry.detail.get("file", "")), self._at.get(place, 0)
            if txid and file.endswith(f"-{txid:016x}.ltx"):
                self._damaged[place] = (
                    f"{file}, which holds {entry.node}'s TXID {txid}, is damaged on the disk."
                )

    def verdict(self) -> Verdict:
        why = self._too_early or next(iter(self._damaged.values()), "")
        return Verdict("broken", why) if why else Verdict()


class _Checksum:
    """The position's checksum is that of the bytes: those that LTX files brought, and those on the disk."""

    def __init__(self) -> None:
        self._files: dict[Place, tuple[int, int | None]] = {}
        """TXID of the newest LTX file, and what its pages give; None where they are not told."""
        self._promised: dict[Place, int | None] = {}
        self._damage: dict[Place, int] = {}
        """The page that a damaged byte is in; 0 where it is not told."""
        self._found: dict[Place, Verdict] = {}

    def take(self, entry: Entry) -> None:
        place = (entry.node, entry.database)
        if entry.name in ("ltx.commit", "ltx.store"):
            self._promised[place] = checksum_of(entry, "post_apply_checksum")
            self._files[place] = (entry.txid, _xored(entry))
        elif entry.name == "pos.advance":
            if place not in self._damage:
                self._found[place] = self._compared(place, entry)
        elif entry.name == "recovery.end":  # The node has summed up the whole file.
            self._damage.pop(place, None)
            self._found.pop(place, None)
        elif entry.name in ("page.write", "page.apply"):
            if place in self._damage and self._damage[place] == _number(entry.detail.get("pgno")) > 0:
                del self._damage[place]
                self._found.pop(place, None)
        elif entry.kind == "fault" and entry.name == "corrupt":
            self._corrupt(place, entry)

    def _compared(self, place: Place, entry: Entry) -> Verdict:
        says = checksum_of(entry, "checksum")
        txid, summed = self._files.get(place, (0, None))
        where = f"{entry.database} on {entry.node}, TXID {entry.txid}"
        promised = self._promised.get(place)
        if txid != entry.txid or says is None:
            return Verdict("unknown", f"{where}: no LTX file of it is told of, so its bytes are not known.")
        for other, what in ((summed, "its pages give"), (promised, "its LTX file says")):
            if other is not None and other != says:
                return Verdict("broken", f"{where}: the position says {says:016x}, {what} {other:016x}.")
        if summed is None:
            return Verdict(
                "unknown", f"{where}: not all bytes of its LTX file are told, so they cannot be summed up."
            )
        return Verdict()

    def _corrupt(self, place: Place, entry: Entry) -> None:
        file, node = str(entry.detail.get("file", "")), entry.node
        if file == "database":
            pgno = _number(entry.detail.get("pgno"))
            page = f"page {pgno}" if pgno else "a page"
            self._damage[place] = pgno
            self._found[place] = Verdict(
                "broken",
                f"A bit of {page} is another on {node}'s disk, and its position's checksum is as before.",
            )
        elif not file and entry.text.startswith("On "):
            self._found[place] = Verdict(
                "unknown", f"A bit on {node}'s disk is another; in which file is not told."
            )
        elif file == "wal":
            self._found[place] = Verdict(
                "unknown", f"A bit of {node}'s WAL is another; whether anybody reads that frame is not told."
            )

    def verdict(self) -> Verdict:
        found = [one for one in self._found.values() if one.state != "holds"]
        return next((one for one in found if one.state == "broken"), found[0] if found else Verdict())


class _Whole:
    """A replica shows a whole transaction: while pages of one are missing, nobody can read."""

    def __init__(self) -> None:
        self._pages: dict[tuple[Place, int], int | None] = {}
        """How many pages an LTX file that was stored has."""
        self._applied: dict[Place, tuple[int, set[int]]] = {}
        """The transaction that is being applied: its TXID, the pages that are in."""
        self._replayed: set[Place] = set()
        self._broken: dict[Place, str] = {}
        self._unsure: dict[Place, str] = {}

    def take(self, entry: Entry) -> None:
        place = (entry.node, entry.database)
        if entry.name == "ltx.store":
            self._pages[place, entry.txid] = _number(entry.detail.get("count")) or None
        elif entry.name == "page.apply":
            self._apply(place, entry)
        elif entry.name.startswith("lock.") and place in self._applied:
            self._lock(place, entry)
        elif entry.name == "recovery.ltx":
            self._replayed.add(place)
        elif entry.name == "recovery.end":
            self._recovered(place, entry)

    def _apply(self, place: Place, entry: Entry) -> None:
        if pgno := _number(entry.detail.get("pgno")):
            txid, pages = self._applied.get(place, (0, set()))
            self._applied[place] = (entry.txid, {*pages, pgno} if txid == entry.txid else {pgno})
        else:  # All of it is in, and the locks are let go.
            self._forget(place)

    def _forget(self, place: Place) -> None:
        for known in (self._applied, self._broken, self._unsure):
            known.pop(place, None)

    def _missing(self, place: Place) -> str:
        """What is in of how many, where it is not all; "" where it is."""
        txid, pages = self._applied[place]
        wanted = self._pages.get((place, txid))
        if wanted is not None and len(pages) >= wanted:
            return ""
        of = f" of {wanted}" if wanted is not None else ""
        return f"{len(pages)}{of} {'page' if len(pages) == 1 and not of else 'pages'} of transaction {txid}"

    def _lock(self, place: Place, entry: Entry) -> None:
        missing = self._missing(place)
        if not missing:
            return
        is_known = self._pages.get((place, self._applied[place][0])) is not None
        lock = str(entry.detail.get("lock", ""))
        if entry.name == "lock.release" and entry.who == "applier":
            why = f"On {entry.node} the applier let its locks go with {missing} in: a reader sees half of it."
            if is_known:
                self._broken[place] = why
            else:
                self._unsure[place] = f"How many pages transaction {self._applied[place][0]} has is not told."
        elif entry.name == "lock.acquire" and entry.who != "applier" and lock.startswith(("SHARED", "READ")):
            self._broken[place] = (
                f"On {entry.node} the {entry.who} got {lock} with {missing} in: it sees the half of it."
            )

    def _recovered(self, place: Place, entry: Entry) -> None:
        if place in self._applied and self._missing(place) and place not in self._replayed:
            missing = self._missing(place)
            self._broken[place] = f"{entry.node} starts with {missing} in, and has replayed no LTX file."
            self._applied.pop(place)
        else:
            self._forget(place)
        self._replayed.discard(place)

    def verdict(self) -> Verdict:
        for state, found in (("broken", self._broken), ("unknown", self._unsure)):
            if found:
                return Verdict(state, next(iter(found.values())))
        return Verdict()


def checksum_of(entry: Entry, key: str) -> int | None:
    """A checksum that the entry tells; None where it does not, or in no way that can be read."""
    value = entry.detail.get(key)
    if isinstance(value, str):
        try:
            return int(value, 16)
        except ValueError:
            return None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _xored(entry: Entry) -> int | None:
    """What the pages' checksums give, where the entry has all of them."""
    if len(entry.xor) < 2:
        return None
    value = 0
    for term in entry.xor[:-1]:
        value ^= term.value
    return value


def _number(value: object) -> int:
    try:
        return int(value) if isinstance(value, int | str) and not isinstance(value, bool) else 0
    except ValueError:
        return 0
