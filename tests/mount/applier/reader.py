"""A client for the tests: reads in a loop, or on command, and reports what it saw as JSON lines.

Options: timeout (busy timeout, seconds), mmap (bytes), hold (seconds that each read transaction stays
open, overlapping others'), manual (each read is asked for), reconnect (a new connection each time), check
(an integrity check with each so many reads).
Words on stdin: stop | read | begin | end | progress | mode.
"""

import contextlib
import json
import select
import sqlite3
import sys
import time

SQL = "SELECT count(*), min(v), max(v), sum(length(pad)) FROM t"


class Client:
    def __init__(self, path: str, options: dict) -> None:  # type: ignore[type-arg]
        self.path, self.options = path, options
        self.reads, self.last, self.first, self.longest = 0, -1, -1, 0.0
        self.errors: dict[str, int] = {}
        self.wrong: list[str] = []
        self.connect()

    def connect(self) -> None:
        self.db = sqlite3.connect(
            f"file:{self.path}", timeout=self.options.get("timeout", 5.0), isolation_level=None, uri=True
        )
        if "mmap" in self.options:
            self.db.execute(f"PRAGMA mmap_size={self.options['mmap']}")

    def read(self) -> tuple[int, ...]:
        started = time.monotonic()
        row = self.db.execute(SQL).fetchone()
        self.longest = max(self.longest, time.monotonic() - started)
        count, low, high, length = row
        if low != high:
            self.wrong.append(f"half a transaction: {row}")
        if length != count * self.options.get("pad", 1200):
            self.wrong.append(f"lengths: {row}")
        if low < self.last:
            self.wrong.append(f"backward: {row} after {self.last}")
        self.reads += 1
        self.last = low
        if self.first < 0:
            self.first = low
        return tuple(row)

    def try_read(self) -> None:
        try:
            if self.options.get("reconnect"):
                self.db.close()
                self.connect()
            if hold := self.options.get("hold"):
                self.db.execute("BEGIN")
                before = self.read()
                time.sleep(hold)
                if self.read() != before:
                    self.wrong.append("a read transaction saw a change")
                self.db.execute("COMMIT")
            else:
                self.read()
            if self.reads % self.options.get("check", self.reads + 1) == 0:
                (said,) = self.db.execute("PRAGMA integrity_check").fetchone()
                if said != "ok":
                    self.wrong.append(f"integrity: {said}")
        except sqlite3.Error as error:
            self.errors[str(error)] = self.errors.get(str(error), 0) + 1
            if self.db.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    self.db.execute("ROLLBACK")

    def report(self) -> dict[str, object]:
        return {
            "reads": self.reads,
            "first": self.first,
            "last": self.last,
            "longest": self.longest,
            "errors": self.errors,
            "wrong": self.wrong[:5],
        }


def say(message: object) -> None:
    print(json.dumps(message), flush=True)


def answer(client: Client, word: str) -> object:
    try:
        if word == "read":
            return {"row": client.read()}
        if word == "mode":
            return {"mode": client.db.execute("PRAGMA journal_mode").fetchone()[0]}
        if word in ("stop", "progress"):
            return client.report()
        client.db.execute({"begin": "BEGIN", "end": "COMMIT"}.get(word, word))
        return {"done": word}
    except sqlite3.Error as error:
        return {"error": str(error)}


def main() -> None:
    client = Client(sys.argv[1], json.loads(sys.argv[2]))
    manual = client.options.get("manual", False)
    client.try_read()
    say({"ready": True, "errors": client.errors})
    while True:
        if manual or select.select([sys.stdin], [], [], 0)[0]:
            word = sys.stdin.readline().strip() or "stop"
            say(answer(client, word))
            if word == "stop":
                break
        else:
            client.try_read()
            time.sleep(client.options.get("gap", 0.0))
    client.db.close()


if __name__ == "__main__":
    main()
