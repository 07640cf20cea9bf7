"""A client in a process of its own: it writes or reads the bank in a loop, or runs SQL, as it is told.

    python -m tests.cluster.client PATH OPTIONS      orders on stdin, answers on stdout, JSON, one a line

Options: role (writer, reader, shell); timeout (busy timeout, seconds); mmap (bytes); gap (seconds between
two steps); reopen (after an error, connect again); euid (become that user first); for a writer number and
seed; for a reader hold (seconds that a read transaction stays open), fresh (each on a new connection), back
(how many transactions of a writer may be taken back again); for a counter or a promise ahead (the TXID at
which n was 0). It looks for orders between two steps, so an
answer that does not come means that SQLite hangs. It ends with its stdin.
"""

import json
import os
import random
import select
import sqlite3
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import Any

from tests.cluster.bank import CHECKPOINTS, Writer, is_busy, look, make

Message = dict[str, Any]
REOPEN_S = 0.05


class Client:
    """What every role has: a connection, orders, counts of errors by their text."""

    def __init__(self, path: str, options: Message) -> None:
        self.path, self.options = path, options
        self.running = False
        self.steps = 0
        self.longest = 0.0
        """Seconds that the longest step took."""
        self.errors: Counter[str] = Counter()
        self.connect()

    def connect(self) -> None:
        self.db = sqlite3.connect(
            f"file:{self.path}?mode={self.options.get('open', 'rwc')}",
            timeout=self.options.get("timeout", 5.0),
            isolation_level=None,
            uri=True,
        )
        if "mmap" in self.options:
            self.db.execute(f"PRAGMA mmap_size={self.options['mmap']}").fetchone()

    def reconnect(self) -> None:
        """Give the connection up, whatever state it is in, and open another."""
        with suppress(sqlite3.Error):
            self.db.close()
        self.connect()

    def step(self) -> None:
        """One round of the role's loop."""
        self.running = False

    def guarded_step(self) -> None:
        """A step whose error is counted; with `reopen` by a new connection as well."""
        started = time.monotonic()
        try:
            self.step()
            self.steps += 1
        except sqlite3.Error as error:
            self.failed(error)
        self.longest = max(self.longest, time.monotonic() - started)
        time.sleep(self.options.get("gap", 0.0))

    def failed(self, error: sqlite3.Error) -> None:
        self.errors[str(error)] += 1
        if not self.options.get("reopen"):
            return
        time.sleep(REOPEN_S)
        try:
            self.reconnect()
        except sqlite3.Error as again:
            self.errors[str(again)] += 1

    def report(self) -> Message:
        return {
            "steps": self.steps,
            "errors": dict(self.errors),
            "longest": self.longest,
            "running": self.running,
        }

    def sql(self, statements: list[str]) -> Message:
        """Run statements one after the other; the rows of the last, or the error."""
        rows: list[Any] = []
        try:
            for statement in statements:
                rows = self.db.execute(statement).fetchall()
        except sqlite3.Error as error:
            return {"error": str(error)}
        return {"rows": rows}

    def obey(self, order: Message) -> Message:
        match order["do"]:
            case "run":
                self.running = True
                return {}
            case "reconnect":
                self.reconnect()
                return {}
            case "pause":
                self.running = False
                return self.report()
            case "report":
                return self.report()
            case "sql":
                return self.sql(order["sql"])
            case "make":
                make(self.db, order["mode"], order["page_size"], order["auto_vacuum"], order["writers"])
                return {}
        raise ValueError(order)


class WriterClient(Client):
    """Runs random transactions, `count` of them where the order to run says so."""

    def __init__(self, path: str, options: Message) -> None:
        super().__init__(path, options)
        self.left = 0
        self.kinds: Counter[str] = Counter()
        self.writer = Writer(self.db, options["number"], random.Random(options["seed"]))

    def reconnect(self) -> None:
        super().reconnect()
        self.writer.use(self.db)

    def obey(self, order: Message) -> Message:
        if order["do"] == "run":
            self.left = order.get("count", 1 << 60)
        return super().obey(order)

    def step(self) -> None:
        try:
            kind = self.writer.transaction()
        except sqlite3.Error as error:
            if not is_busy(error):
                raise
            self.kinds["busy"] += 1
            return
        self.kinds[kind] += 1
        if kind not in ("vacuum", *map(str.lower, CHECKPOINTS)):
            self.left -= 1
            self.running = self.left > 0

    def failed(self, error: sqlite3.Error) -> None:
        super().failed(error)
        self.running = self.running and bool(self.options.get("reopen"))

    def report(self) -> Message:
        return super().report() | {"kinds": dict(self.kinds), "seq": self.writer.seq, "left": self.left}


class ReaderClient(Client):
    """Looks at the bank in read transactions; what is wrong, or older than what it saw, it remembers."""

    def __init__(self, path: str, options: Message) -> None:
        super().__init__(path, options)
        self.wrong: list[str] = []
        self.seen: dict[int, int] = {}

    def step(self) -> None:
        if self.options.get("fresh"):
            self.reconnect()
        try:
            self.db.execute("BEGIN")
            wrong, seqs = look(self.db)
            if hold := self.options.get("hold"):
                time.sleep(hold)
                if look(self.db) != (wrong, seqs):
                    wrong.append("a read transaction saw a change")
            self.db.execute("COMMIT")
        except sqlite3.Error:
            with suppress(sqlite3.Error):
                self.db.execute("ROLLBACK")
            raise
        back = self.options.get("back", 0)
        older = {writer: seq for writer, seq in self.seen.items() if seqs.get(writer, 0) < seq - back}
        if older:
            wrong.append(f"went back from {older} to {seqs}")
        self.seen = seqs
        self.wrong += wrong

    def report(self) -> Message:
        return super().report() | {"wrong": self.wrong[:5], "seen": self.seen}


class CounterClient(Client):
    """Counts: each of its transactions adds 1 to `n`. With `ahead` it reads the position after each, which
    must be its own."""

    older = 0

    def step(self) -> None:
        self.db.execute("UPDATE counter SET n = n + 1")
        if "ahead" in self.options:
            self.older += self.position() < self.options["ahead"] + self.steps + 1

    def position(self) -> int:
        """The TXID that the node tells."""
        with open(f"{self.path}-pos") as file:
            return int(file.read(16), 16)

    def report(self) -> Message:
        return super().report() | {"older": self.older}


class PromiseClient(CounterClient):
    """Reads the position, then `n`: it must be at least what it was at that position (`ahead` less)."""

    def step(self) -> None:
        txid = self.position()
        ((n,),) = self.db.execute("SELECT n FROM counter")
        self.older += n < txid - self.options["ahead"]


ROLES = {
    "shell": Client,
    "writer": WriterClient,
    "reader": ReaderClient,
    "counter": CounterClient,
    "promise": PromiseClient,
}


def say(message: Message) -> None:
    print(json.dumps(message), flush=True)


def main() -> None:
    options = json.loads(sys.argv[2])
    if "euid" in options:
        os.seteuid(options["euid"])
    client = ROLES[options["role"]](sys.argv[1], options)
    say({"ready": True})
    while True:
        if client.running and not select.select([sys.stdin], [], [], 0)[0]:
            client.guarded_step()
        elif line := sys.stdin.readline():
            say(client.obey(json.loads(line)))
        else:
            break


if __name__ == "__main__":
    main()
