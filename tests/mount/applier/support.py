"""A primary in miniature: a database on plain disk whose every transaction becomes an LTX file; and readers.

The readers are processes of their own, as clients are, and check in a loop that what they see is one
transaction's state, whole, and never an older one than before.
"""

import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pylitefs.ltx.checksum import CHECKSUM_FLAG, lock_pgno, page_checksum
from pylitefs.ltx.encoder import encode
from pylitefs.ltx.header import FLAG_LZ4, Header
from pylitefs.sqlite.header import DatabaseHeader
from tests import forked


def wait_until(condition: Callable[[], bool], what: str, timeout: float = 10.0) -> None:
    """Poll until the condition holds; AssertionError naming `what` after `timeout` seconds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"not within {timeout} s: {what}"
        time.sleep(0.005)


class Source:
    """A database on plain disk. `capture()` makes an LTX file of what changed since the last one."""

    def __init__(self, directory: Path, *, mode: str = "delete", page_size: int = 4096) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.path = directory / "source.db"
        self.txid = 0
        self.checksum = CHECKSUM_FLAG
        self.page_size = 0
        self._pages: list[bytes] = []
        self.db = sqlite3.connect(self.path, isolation_level=None)
        self.db.execute(f"PRAGMA page_size={page_size}")
        self.set_mode(mode)

    def set_mode(self, mode: str) -> None:
        (got,) = self.db.execute(f"PRAGMA journal_mode={mode}").fetchone()
        assert got == mode

    def content(self) -> bytes:
        """The whole database as it is."""
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return self.path.read_bytes()

    def execute(self, *statements: str) -> Path:
        """Run the statements as one transaction, and capture it."""
        self.db.execute("BEGIN")
        for statement in statements:
            self.db.execute(statement)
        self.db.execute("COMMIT")
        return self.capture()

    def capture(self, *, snapshot: bool = False, drop: bool = False) -> Path:
        """The LTX file of what changed since the last capture, or of the whole database."""
        before, content = self._pages, b"" if drop else self.content()
        old_size = self.page_size
        size = self.page_size = DatabaseHeader.parse(content).page_size if content else self.page_size
        pages = [content[at : at + size] for at in range(0, len(content), size)]
        whole = snapshot or old_size != size
        changed = [
            (pgno, page)
            for pgno, page in enumerate(pages, 1)
            if pgno != lock_pgno(size) and (whole or pgno > len(before) or before[pgno - 1] != page)
        ]
        checksum = 0
        for pgno, page in enumerate(pages, 1):
            if pgno != lock_pgno(size):
                checksum ^= page_checksum(pgno, page)
        checksum |= CHECKSUM_FLAG
        self.txid += 1
        first = self.txid == 1 or snapshot
        header = Header(
            flags=FLAG_LZ4,
            page_size=size,
            commit=len(pages),
            min_txid=1 if first else self.txid,
            max_txid=self.txid,
            timestamp_ms=0,
            pre_apply_checksum=0 if first else self.checksum,
        )
        path = self.directory / header.filename
        path.write_bytes(encode(header, changed, checksum))
        self._pages, self.checksum = pages, checksum
        return path


ROWS = 24
"""Rows of the table that `make_rows` makes: some eight pages of 4,096 bytes."""


def make_rows(source: Source) -> Path:
    """A table in which every row holds the same number, in every transaction."""
    return source.execute(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER, pad BLOB)",
        *(f"INSERT INTO t VALUES ({i}, 0, zeroblob(1200))" for i in range(ROWS)),
    )


def bump(source: Source) -> Path:
    """Every row gets the next number, so every page of the table changes."""
    return source.execute("UPDATE t SET v = v + 1, pad = randomblob(1200)")


class Reader:
    """A process that reads without end (reader.py) until it is told to stop, and then says what it saw."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.process = forked.python("-m", "tests.mount.applier.reader", path, json.dumps(options))
        self.said: list[dict[str, Any]] = []

    def line(self) -> dict[str, Any]:
        """The next thing it says."""
        text = self.process.stdout.readline()
        assert text, f"the reader ended with {self.process.wait()}"
        message: dict[str, Any] = json.loads(text)
        self.said.append(message)
        return message

    def tell(self, word: str) -> dict[str, Any]:
        """Say a word to it and take its answer."""
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.line()

    def read_on(self, reads: int) -> None:
        """Let it read so many times more: how fast it reads is the machine's affair, not the test's."""
        before = self.tell("progress")["reads"]
        wait_until(lambda: bool(self.tell("progress")["reads"] >= before + reads), f"{reads} reads more", 60)

    def stop(self) -> dict[str, Any]:
        """Its report: how often it read, the first and last number seen, errors by text, the longest wait."""
        report = self.tell("stop")
        self.process.wait(10)
        return report

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def pid_alive(pid: int) -> bool:
    """Whether the process runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
