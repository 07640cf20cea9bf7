"""The database of the random workloads: transactions of every kind, and what holds after each of them.

A transaction moves money between accounts, and writes items whose bodies run over several pages. What
every one of them keeps, and a reader checks: the sum of all balances; for each writer the number and
bytes of its items as `total` has them; each body's CRC. A half-visible transaction breaks one of these.
`total.seq` counts a writer's committed transactions, so nothing acknowledged can be missing unseen.
"""

import random
import sqlite3
import zlib
from contextlib import suppress

ACCOUNTS = 20
BALANCE = 1000
MOST_ITEMS = 25
"""A writer's items; with more than this it deletes rather than inserts."""
BUSY = ("locked", "busy")
CHECKPOINTS = ("PASSIVE", "FULL", "RESTART", "TRUNCATE")


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection was in the way, which a client answers by trying again."""
    return any(word in str(error) for word in BUSY) and "protocol" not in str(error)


def make(db: sqlite3.Connection, mode: str, page_size: int, auto_vacuum: int, writers: int) -> None:
    """The empty bank; `db` is a new database."""
    db.execute(f"PRAGMA page_size={page_size}")
    db.execute(f"PRAGMA auto_vacuum={auto_vacuum}")
    got = db.execute(f"PRAGMA journal_mode={mode}").fetchone()[0]
    assert got == mode, f"journal_mode={mode} gave {got}"
    db.execute("BEGIN")
    db.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER)")
    db.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, writer INTEGER, crc INTEGER, body BLOB)")
    db.execute("CREATE INDEX item_writer ON item (writer)")
    db.execute("CREATE TABLE total (writer INTEGER PRIMARY KEY, seq INTEGER, items INTEGER, bytes INTEGER)")
    db.executemany("INSERT INTO account VALUES (?, ?)", [(n, BALANCE) for n in range(ACCOUNTS)])
    db.executemany("INSERT INTO total VALUES (?, 0, 0, 0)", [(n,) for n in range(writers)])
    db.execute("COMMIT")


def look(db: sqlite3.Connection) -> tuple[list[str], dict[int, int]]:
    """What is wrong with the bank as it is seen now (nothing, if all is well), and each writer's seq."""
    wrong = []
    money = db.execute("SELECT sum(balance) FROM account").fetchone()[0]
    if money != ACCOUNTS * BALANCE:
        wrong.append(f"balances add up to {money}")
    found: dict[int, list[int]] = {}
    for id_, writer, crc, body in db.execute("SELECT id, writer, crc, body FROM item NOT INDEXED"):
        counts = found.setdefault(writer, [0, 0])
        counts[0] += 1
        counts[1] += len(body)
        if zlib.crc32(body) != crc:
            wrong.append(f"item {id_} of {len(body)} bytes has another body")
    seqs = {}
    for writer, seq, items, size in db.execute("SELECT writer, seq, items, bytes FROM total"):
        seqs[writer] = seq
        indexed = db.execute("SELECT count(*) FROM item WHERE writer = ?", (writer,)).fetchone()[0]
        if [items, size] != found.get(writer, [0, 0]) or indexed != items:
            wrong.append(
                f"writer {writer} at {seq} has {found.get(writer)}, total says {[items, size]}, "
                f"the index {indexed}"
            )
    return wrong, seqs


class Writer:
    """One writer: what it does next is drawn from `rng`."""

    def __init__(self, db: sqlite3.Connection, number: int, rng: random.Random) -> None:
        self.number = number
        self.rng = rng
        self.seq = -1
        """Transactions known to be committed; -1 at first: this writer may go on for one that was killed."""
        self.use(db)

    def use(self, db: sqlite3.Connection) -> None:
        """Go on with this connection; a transaction whose end was not told may have been committed."""
        self.db = db
        db.execute(f"PRAGMA synchronous={self.rng.choice(('OFF', 'NORMAL', 'FULL'))}")
        db.execute(f"PRAGMA cache_size={self.rng.choice((10, 2000))}")
        found = db.execute("SELECT seq FROM total WHERE writer = ?", (self.number,)).fetchone()[0]
        told = self.seq if self.seq >= 0 else found
        assert told <= found <= told + 1, f"told that {told} is committed, found {found}"
        self.seq = found

    def transaction(self) -> str:
        """One transaction, committed or rolled back, or a VACUUM or checkpoint; what it was.

        Raises sqlite3.Error with the transaction rolled back, as far as SQLite can.
        """
        draw = self.rng.random()
        if draw < 0.02:
            self.db.execute("VACUUM")
            return "vacuum"
        if draw < 0.06:
            kind = self.rng.choice(CHECKPOINTS)
            self.db.execute(f"PRAGMA wal_checkpoint({kind})").fetchone()
            return kind.lower()
        try:
            kind = self.rng.choice(("DEFERRED", "IMMEDIATE", "IMMEDIATE", "EXCLUSIVE"))
            self.db.execute(f"BEGIN {kind}")
            for _ in range(self.rng.randint(1, 4)):
                self._step()
            if self.rng.random() < 0.15:
                self.db.execute("ROLLBACK")
                return "rollback"
            self._sum_up()
            self.db.execute("COMMIT")
        except sqlite3.Error:
            with suppress(sqlite3.Error):
                self.db.execute("ROLLBACK")
            raise
        self.seq += 1
        return "commit"

    def _sum_up(self) -> None:
        self.db.execute(
            "UPDATE total SET seq = ?, items = (SELECT count(*) FROM item WHERE writer = total.writer),"
            " bytes = (SELECT coalesce(sum(length(body)), 0) FROM item WHERE writer = total.writer)"
            " WHERE writer = ?",
            (self.seq + 1, self.number),
        )

    def _step(self) -> None:
        if self.rng.random() < 0.2:
            self.db.execute("SAVEPOINT s")
            self._change()
            self._change()
            if self.rng.random() < 0.5:
                self.db.execute("ROLLBACK TO s")
            self.db.execute("RELEASE s")
        else:
            self._change()

    def _change(self) -> None:
        mine = [id_ for (id_,) in self.db.execute("SELECT id FROM item WHERE writer = ?", (self.number,))]
        kind = self.rng.choice(("transfer", "insert", "insert", "update", "delete"))
        if kind == "transfer":
            amount = self.rng.randint(1, 50)
            one, other = self.rng.sample(range(ACCOUNTS), 2)
            self.db.execute("UPDATE account SET balance = balance - ? WHERE id = ?", (amount, one))
            self.db.execute("UPDATE account SET balance = balance + ? WHERE id = ?", (amount, other))
        elif kind == "insert" and len(mine) < MOST_ITEMS:
            body = self._body()
            self.db.execute(
                "INSERT INTO item (writer, crc, body) VALUES (?, ?, ?)", (self.number, zlib.crc32(body), body)
            )
        elif mine and kind == "update":
            body = self._body()
            values = (zlib.crc32(body), body, self.rng.choice(mine))
            self.db.execute("UPDATE item SET crc = ?, body = ? WHERE id = ?", values)
        elif mine:
            gone = self.rng.sample(mine, min(len(mine), self.rng.randint(1, 8)))
            self.db.executemany("DELETE FROM item WHERE id = ?", [(id_,) for id_ in gone])

    def _body(self) -> bytes:
        """A few bytes, or several pages."""
        return self.rng.randbytes(self.rng.choice((40, 700, 5_000, 15_000, 40_000)))
