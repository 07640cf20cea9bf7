"""What a client process measures for `pylitefs compare --bench`: rates, times, and commit to visible.

The rule: the clock runs in the process that works, around that work alone, and the same loop runs on every
system and on plain SQLite, so that what Python itself costs is in all of them.
"""

import os
import sqlite3
import time
from typing import Any

Request = dict[str, Any]
Answer = dict[str, Any]

_BATCH = 10


class Measures:
    """Requests that answer with figures; `connection` is the session's own."""

    def __init__(self) -> None:
        self.connection: sqlite3.Connection | None = None

    def rate(self, request: Request) -> Answer:
        """Run a statement over and over for `seconds`: how many times a second."""
        assert self.connection is not None
        execute, text = self.connection.execute, request["text"]
        count, start = 0, time.perf_counter()
        end = start + request["for_seconds"]
        while (now := time.perf_counter()) < end:
            for _ in range(_BATCH):
                execute(text).fetchall()
            count += _BATCH
        return {"value": count / (now - start)}

    def duration(self, request: Request) -> Answer:
        """Run statements once: the milliseconds they took."""
        assert self.connection is not None
        start = time.perf_counter()
        for text in request["texts"]:
            self.connection.execute(text).fetchall()
        return {"value": (time.perf_counter() - start) * 1000}

    def scan(self, request: Request) -> Answer:
        """Read a whole table through a new connection, `cold` without the mount's cached pages: in ms."""
        if request["cold"]:
            with open(request["path"], "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        start = time.perf_counter()
        connection = sqlite3.connect(request["path"])
        connection.execute(request["text"]).fetchall()
        took = time.perf_counter() - start
        connection.close()
        return {"value": took * 1000}

    def visible(self, request: Request) -> Answer:
        """From a commit's return until the replica's position has it, in ms: of `times` the one that `part`
        (0.5: half) of them do not exceed."""
        assert self.connection is not None
        mine = os.open(request["primary"], os.O_RDONLY)
        other = os.open(request["replica"], os.O_RDONLY)
        took = []
        try:
            for _ in range(request["times"]):
                self.connection.execute(request["text"]).fetchall()
                start = time.perf_counter()
                wanted = os.pread(mine, 16, 0)
                while os.pread(other, 16, 0) < wanted and time.perf_counter() - start < 10:
                    pass
                took.append(time.perf_counter() - start)
                time.sleep(0.003)
        finally:
            os.close(mine)
            os.close(other)
        return {"value": sorted(took)[min(int(len(took) * request["part"]), len(took) - 1)] * 1000}

    def sustained(self, request: Request) -> Answer:
        """Commit `times` times without a rest: how many transactions the replica is behind then, and how many
        a second it has applied once it has all."""
        assert self.connection is not None
        execute, text, times = self.connection.execute, request["text"], request["times"]
        with open(request["primary"], "rb", 0) as mine, open(request["replica"], "rb", 0) as other:
            start = time.perf_counter()
            for _ in range(times):
                execute(text).fetchall()
            wanted = _txid(mine.fileno())
            behind = wanted - _txid(other.fileno())
            while _txid(other.fileno()) < wanted and time.perf_counter() - start < 100:
                time.sleep(0.002)
            return {"behind": behind, "applied": times / (time.perf_counter() - start)}


def _txid(fd: int) -> int:
    return int(os.pread(fd, 16, 0), 16)
