"""One connection of SQLite's, or one observer of a mount, in a process of its own.

    python -m pylitefs.compare.client SEED        requests and answers: a JSON object a line

The rule: whatever the mount does, it is this process that waits for it, so that the one who compares can
go on. SQLite's random numbers begin at SEED: `randomblob()`, the salts of a WAL and the nonces of a journal
are the same on every system. https://sqlite.org/c3ref/c_testctrl_always.html (SQLITE_TESTCTRL_PRNG_SEED)
"""

import ctypes
import errno
import fcntl
import hashlib
import json
import os
import sqlite3
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pylitefs.compare.bench.client_measures import Answer, Measures, Request
from pylitefs.compare.probes import run_probe

_PRNG_SEED = 28
_HALT_BYTE = 72
_LONGEST = 2000
"""Rows that take more characters than this are answered as a digest."""


def seed_sqlite(seed: int) -> bool:
    """Have SQLite's random numbers begin at `seed`; False where this SQLite cannot."""
    try:
        import _sqlite3

        control = ctypes.CDLL(_sqlite3.__file__).sqlite3_test_control
    except (ImportError, AttributeError, OSError):
        return False
    control(_PRNG_SEED, ctypes.c_int(seed), None)
    return True


class Session(Measures):
    """What the requests of one process share: the connection, and a `-lock` file."""

    lock_fd = -1

    def open(self, request: Request) -> Answer:
        self.connection = sqlite3.connect(
            request["path"], timeout=request.get("timeout", 5.0), isolation_level=None, uri=True
        )
        return {"rows": []}

    def sql(self, request: Request) -> Answer:
        """Run one statement; its rows, shortened where they are long."""
        answer = self.all(request)
        return {"rows": shortened(answer["rows"])} if "rows" in answer else answer

    def all(self, request: Request) -> Answer:
        """Run one statement; all its rows."""
        if self.connection is None:
            return {"error": "the database could not be opened"}
        rows = self.connection.execute(request["text"], request.get("values", ())).fetchall()
        return {"rows": [[as_json(value) for value in row] for row in rows]}

    def close(self, request: Request) -> Answer:
        del request
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        return {"rows": []}

    def read(self, request: Request) -> Answer:
        """A small file's text and when it was last changed."""
        path = Path(request["path"])
        return {"text": path.read_bytes().decode("latin-1"), "mtime_ms": path.stat().st_mtime_ns // 1_000_000}

    def halt(self, request: Request) -> Answer:
        """Open a `-lock` file and lock its byte 72: that blocks until the lock is there."""
        self.lock_fd = os.open(request["path"], os.O_RDWR)
        fcntl.lockf(self.lock_fd, fcntl.LOCK_EX, 1, _HALT_BYTE)
        return {"rows": []}

    def unhalt(self, request: Request) -> Answer:
        del request
        fcntl.lockf(self.lock_fd, fcntl.LOCK_UN, 1, _HALT_BYTE)
        os.close(self.lock_fd)
        return {"rows": []}

    def unlink(self, request: Request) -> Answer:
        os.unlink(request["path"])
        return {"rows": []}

    def touch(self, request: Request) -> Answer:
        Path(request["path"]).touch()
        return {"rows": []}

    def copy(self, request: Request) -> Answer:
        """As `cp` does: read one, write the other, close."""
        data = Path(request["path"]).read_bytes()
        with open(request["to"], "wb", buffering=0) as target:
            target.write(data)
        return {"rows": []}

    def list(self, request: Request) -> Answer:
        """Each name of a directory that begins with one of `prefixes`, with its type, mode and size."""
        folder = Path(request["path"])
        prefixes = tuple(request["prefixes"])
        found = {}
        for name in sorted(os.listdir(folder)):
            if name.startswith(prefixes):
                facts = os.lstat(folder / name)
                found[name] = f"{stat.filemode(facts.st_mode)} {facts.st_size}"
        return {"names": found, "mode": stat.filemode(os.stat(folder).st_mode)}

    def probe(self, request: Request) -> Answer:
        """One of the refusals of the mount table."""
        return {"text": run_probe(request["name"], Path(request["path"]), request["database"])}


def as_json(value: object) -> object:
    return f"x'{value.hex()}'" if isinstance(value, bytes) else value


def shortened(rows: list[list[object]]) -> list[list[object]]:
    text = json.dumps(rows)
    if len(text) <= _LONGEST:
        return rows
    return [[f"{len(rows)} rows", hashlib.sha256(text.encode()).hexdigest()[:16]]]


def answer(do: Callable[[Request], Answer], request: Request) -> Answer:
    """Do it; an error is an answer, named as SQLite or the kernel names it."""
    try:
        return do(request)
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        return {"error": f"{name}: {error}"}
    except OSError as error:
        return {"error": errno.errorcode.get(error.errno or 0, str(error))}


def main() -> None:
    """Answer requests until standard input ends."""
    seeded = seed_sqlite(int(sys.argv[1]))
    session = Session()
    print(json.dumps({"seeded": seeded, "sqlite": sqlite3.sqlite_version}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        before = time.monotonic()
        done = answer(getattr(session, request["op"]), request)
        print(json.dumps({**done, "began": before, "ended": time.monotonic()}), flush=True)


if __name__ == "__main__":
    main()
