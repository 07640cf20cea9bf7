"""What many replicas cost one primary: `python -m pylitefs.compare.bench.fan_out --replicas 100`.

    this process    a client that commits at a steady rate, on a real mount
    the node        a primary, a process of its own
    `--listen`      a process that has all the streams, and notes when the newest LTX file came on each

The rule: a stream is a replica's own request and connection, but who listens applies nothing: what is
measured is the primary. Both sides read the same monotonic clock. The lag of a commit on a stream is from
SQLite's answer until its LTX file has come.
"""

import argparse
import json
import os
import selectors
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from pylitefs.child_python import python_module
from pylitefs.cluster.cluster import Cluster, ClusterNode
from pylitefs.compare.bench.processes import memory, processor_time
from pylitefs.limits import raise_open_files
from pylitefs.ltx.header import HEADER_SIZE, LTX_MAGIC, Header
from pylitefs.replication.frames import encode_positions
from pylitefs.replication.http2 import Post

DATABASE = "fan.db"
COMMITS = 1000
RATE = 100.0
"""Commits a second."""
_FRAME_HEADER, _DATA = 9, 0
"""Of HTTP/2: https://www.rfc-editor.org/rfc/rfc9113#name-frame-format"""


@dataclass(frozen=True, slots=True)
class FanOut:
    """What came out. Times in milliseconds, but for processor time."""

    replicas: int
    rate: float
    """Commits a second that were made."""
    p50: float
    p99: float
    worst: float
    processor_us: float
    """Of the node, for each commit."""
    memory_mib: float
    """Of the node, at the end."""

    def __str__(self) -> str:
        return (
            f"{self.replicas:4} replicas, {self.rate:4.0f} commits/s: there after {self.p50:5.1f} ms "
            f"(p99 {self.p99:6.1f}, at most {self.worst:6.1f}); primary {self.processor_us:6.0f} µs a commit "
            f"and {self.memory_mib:4.0f} MiB"
        )


@dataclass
class _Stream:
    """One stream as it comes: HTTP/2 frames, in them the replication's, in them LTX files."""

    raw: bytes = b""
    body: bytes = b""
    txid: int = 0
    """Of the newest LTX file that has begun to come."""

    def take(self, data: bytes) -> None:
        self.raw += data
        while len(self.raw) >= _FRAME_HEADER:
            end = _FRAME_HEADER + int.from_bytes(self.raw[:3], "big")
            if len(self.raw) < end:
                return
            if self.raw[3] == _DATA:
                self.body += self.raw[_FRAME_HEADER:end]
            self.raw = self.raw[end:]
        at = self.body.rfind(LTX_MAGIC)
        if at >= 0 and len(self.body) - at >= HEADER_SIZE:
            self.txid = max(self.txid, Header.unpack(self.body[at : at + HEADER_SIZE]).max_txid)
            at += HEADER_SIZE
        self.body = self.body[max(at, len(self.body) - HEADER_SIZE) :]


@dataclass
class Listener:
    """All streams of one primary, in this process. `arrived` has for each its TXIDs and their times."""

    url: str
    count: int
    arrived: list[list[tuple[int, float]]] = field(default_factory=list)

    def listen(self, last: int) -> None:
        """Say `ready`, and read until each stream has come to `last`."""
        with ExitStack() as stack, selectors.DefaultSelector() as selector:
            for number in range(self.count):
                found: list[socket.socket] = []
                headers = {"Litefs-Id": f"{number + 1:016X}"}
                post = Post(
                    f"{self.url}/stream",
                    encode_positions({}),
                    params={},
                    headers=headers,
                    connect_timeout=10,
                    on_socket=found.append,
                )
                stack.enter_context(post)
                selector.register(found[0], selectors.EVENT_READ, (number, _Stream()))
                self.arrived.append([])
            print("ready", flush=True)
            left = self.count
            while left:
                for key, _ in selector.select():
                    number, stream = key.data
                    before = stream.txid
                    stream.take(key.fileobj.recv(1 << 16))  # type: ignore[union-attr]
                    if stream.txid > before:
                        self.arrived[number].append((stream.txid, time.monotonic()))
                        left -= before < last <= stream.txid


def measure(replicas: int, commits: int = COMMITS, rate: float = RATE) -> FanOut:
    """Start a primary and its listeners, and commit."""
    raise_open_files()
    with (
        tempfile.TemporaryDirectory(prefix="pylitefs-fan-") as folder,
        Cluster(Path(folder), replicas=0) as cluster,
    ):
        return _measure(cluster.primary, replicas, commits, rate)


def _measure(node: ClusterNode, replicas: int, commits: int, rate: float) -> FanOut:
    assert node.pid
    with closing(sqlite3.connect(node.database(DATABASE), isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=wal")
        db.execute("CREATE TABLE t (x)")
        first = int((node.mount / f"{DATABASE}-pos").read_text()[:16], 16) + 1
        command = python_module(
            "pylitefs.compare.bench.fan_out", "--listen", node.url, str(replicas), str(first + commits - 1)
        )
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listener:
            try:
                assert listener.stdout and listener.stdout.readline() == "ready\n"
                before = processor_time(node.pid)
                done = _commit(db, commits, rate)
                arrived = json.loads(listener.stdout.readline())
                processor = processor_time(node.pid) - before
                held = memory(node.pid)
            finally:
                listener.kill()
    lags = sorted(lag for stream in arrived for lag in _lags(stream, first, done))
    assert len(lags) == replicas * commits
    return FanOut(
        replicas,
        (commits - 1) / (done[-1] - done[0]),
        statistics.median(lags),
        lags[len(lags) * 99 // 100],
        lags[-1],
        processor / commits * 1e6,
        held,
    )


def _commit(db: sqlite3.Connection, commits: int, rate: float) -> list[float]:
    """When each commit was answered."""
    done = []
    start = time.monotonic()
    for number in range(commits):
        time.sleep(max(0.0, start + number / rate - time.monotonic()))
        db.execute("INSERT INTO t VALUES (randomblob(100))")
        done.append(time.monotonic())
    return done


def _lags(stream: list[tuple[int, float]], first: int, done: list[float]) -> list[float]:
    """Of each commit, in ms; one that came before SQLite's answer is at 0."""
    lags = []
    at = 0
    for txid, answered in enumerate(done, start=first):
        while stream[at][0] < txid:
            at += 1
        lags.append(max(0.0, stream[at][1] - answered) * 1000)
    return lags


def main() -> None:
    """Print a line for each number of replicas."""
    if sys.argv[1:2] == ["--listen"]:
        raise_open_files()
        listener = Listener(sys.argv[2], int(sys.argv[3]))
        listener.listen(int(sys.argv[4]))
        print(json.dumps(listener.arrived), flush=True)
        os._exit(0)  # Its connections end with it.
    parser = argparse.ArgumentParser(description="what many replicas cost one primary")
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--commits", type=int, default=COMMITS)
    parser.add_argument("--rate", type=float, default=RATE, help="commits a second")
    options = parser.parse_args()
    for replicas in options.replicas:
        print(measure(replicas, options.commits, options.rate), flush=True)


if __name__ == "__main__":
    main()
