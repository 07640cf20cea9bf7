"""SQLite in memory, which does what was acknowledged: the rows that must be there.

Of a commit that got no answer nobody knows; then two states may be found, and the one that is found counts.
After a power failure the newest commits of a burst may be gone, in order: each state since the last promise
may be found.
"""

import hashlib
import random
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace


class Wrong(AssertionError):
    """Something that must hold does not."""


@dataclass(frozen=True)
class State:
    """What a database held after a commit."""

    rows: str
    content: bytes
    txid: int
    """The node's position then; 0 where it is not known."""


def blob(seed: int, size: int) -> bytes:
    """A function for SQL: the same bytes on both sides."""
    return random.Random(seed).randbytes(size)


def rows_of(db: sqlite3.Connection) -> str:
    """All tables and indexes with all rows, as one hash."""
    found = hashlib.sha256()
    for kind, name, sql in db.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
    ).fetchall():
        found.update(f"{kind} {name} {sql}\n".encode())
        if kind == "table":
            for row in db.execute(f'SELECT * FROM "{name}" ORDER BY 1'):
                found.update(repr(row).encode())
    return found.hexdigest()[:16]


def opened(content: bytes) -> sqlite3.Connection:
    """A copy of a database in memory, whatever its journal mode."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    if content:
        image = bytearray(content)
        image[18] = image[19] = 1
        db.deserialize(bytes(image))
    db.create_function("blob", 2, blob, deterministic=True)
    return db


class Oracle:
    """One database."""

    def __init__(self) -> None:
        self.states = [State(rows_of(opened(b"")), b"", 0)]
        """Each may be found as long as nothing newer is promised; the last is the newest acknowledged."""
        self.all = list(self.states)
        """Each that there was."""
        self.maybe: list[State] = []
        """What would be there if the last commit, which got no answer, were."""

        self.tried: list[State] = []
        """What would have been there after each commit that got no answer."""
        self.given_up: list[list[State]] = []
        """Each history that was another node's, which then led, and had nothing of it."""

    @property
    def now(self) -> State:
        return self.states[-1]

    def after(self, statements: Sequence[str]) -> State:
        """What there would be after these statements."""
        db = opened(self.now.content)
        try:
            for statement in ("BEGIN", *statements, "COMMIT"):
                db.execute(statement).fetchall()
            return State(rows_of(db), db.serialize(), 0)
        finally:
            db.close()

    def acknowledged(self, state: State, txid: int) -> None:
        self.states.append(State(state.rows, state.content, txid))
        self.all.append(self.states[-1])
        self.maybe = []

    def unanswered(self, state: State) -> None:
        self.maybe.append(state)
        self.tried.append(state)

    def promised(self, txid: int) -> None:
        """What came before this position can be found no more."""
        while len(self.states) > 1 and self.states[1].txid <= txid:
            del self.states[0]

    def found(self, rows: str, *, back: bool, where: str) -> None:
        """These rows are there: what was acknowledged last, or what got no answer; after a power failure
        (`back`) any state that is not promised past. What is found counts from now on."""
        allowed = [*(self.states if back else self.states[-1:]), *self.maybe]
        one = next((one for one in reversed(allowed) if one.rows == rows), None)
        if one is None:
            raise Wrong(
                f"{where}: the rows are {rows}, of what was acknowledged {[one.rows for one in allowed]}"
            )
        if one in self.maybe:
            self.states.append(one)
            self.all.append(one)
            self.maybe = []
        if back:
            self._goes_on_from(one)

    def revived(self, content: bytes, txid: int) -> None:
        """A database is back that the primary before never had; and with it what it came from, where other
        nodes may still be."""
        db = opened(content)
        one = State(rows_of(db), db.serialize() if content else b"", txid)
        db.close()
        self.all = [*self._before(one), one]
        self.states, self.maybe = [one], []

    def _before(self, one: State) -> list[State]:
        for its in reversed(self.given_up):
            for at in range(len(its) - 1, 0, -1):
                # What changes no row, as another journal mode, is no commit here.
                if its[at].rows == one.rows and its[at].txid <= one.txid:
                    return its[: at + 1]
        return self.all[:1]

    def _goes_on_from(self, one: State) -> None:
        """What came after it never was."""
        at = max(at for at, its in enumerate(self.all) if its is one)
        del self.all[at + 1 :]
        self.states, self.maybe = [one], []

    def taken_over(self, rows: str, txid: int, where: str) -> None:
        """Another node goes on from this position: what is newer never was, and what is not must be there."""
        first = max(at for at, one in enumerate(self.all) if at == 0 or 0 < one.txid <= txid)
        end = next((at for at in range(first + 1, len(self.all)) if self.all[at].txid), len(self.all))
        # Of what got no answer nobody knows which transaction it is.
        allowed = [*self.all[first:end], *(self.maybe if end == len(self.all) else [])]
        one = next((one for one in reversed(allowed) if one.rows == rows), None)
        if one is None:
            raise Wrong(f"{where}: the rows are {rows}, of what was acknowledged up to TXID {txid} "
                        f"{[one.rows for one in allowed]}")  # fmt: skip
        if not txid:
            self.given_up.append(self.all)
        self.all = [*self.all[: first + 1], *([] if one is self.all[first] else [one])]
        self.states, self.maybe = [one], []

    def is_at(self, txid: int) -> None:
        """After a start: the node is at this position. What was found may be known by a later one, whose
        transaction changed no row and is gone."""
        now = self.now
        if now.txid > txid:
            self.all[max(at for at, its in enumerate(self.all) if its is now)] = earlier = replace(
                now, txid=txid
            )
            self.states = [earlier]

    def forgive(self, rows: str) -> None:
        """SQLite itself may have lost newer commits (docs/reliability.md): any state that there was
        counts."""
        for one in reversed(self.all):
            if one.rows == rows:
                self._goes_on_from(one)
                return

    def dropped(self) -> None:
        """There is no database any more."""
        self.states = [State(rows_of(opened(b"")), b"", 0)]
        self.maybe = []
