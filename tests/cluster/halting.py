"""A counter that several nodes count up, each by SQLite on its mount; on a replica with the HALT lock.

`python halting.py DATABASE TIMES` counts; it imports nothing of ours, as any program.
"""

import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pylitefs.cluster.cluster import Cluster, ClusterNode

COUNTER = "CREATE TABLE c(n); INSERT INTO c VALUES(0); CREATE TABLE filler(x)"
BUSY_S = 60.0


def connect(path: "Path | str", timeout: float = BUSY_S) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=timeout)


def made(cluster: "Cluster", mode: str, name: str = "c.db") -> "Path":
    """A counter at 0 on every node; its path on the primary."""
    path = cluster.primary.database(name)
    db = connect(path)
    db.execute(f"PRAGMA journal_mode={mode}")
    db.executescript(COUNTER)
    db.close()
    wait_level(cluster, name)
    return path


def wait_level(cluster: "Cluster", name: str) -> None:
    """Every node is at the same position, also one of real LiteFS."""
    end = time.monotonic() + 20.0
    while len({_position(node.database(f"{name}-pos")) for node in cluster}) > 1:
        assert time.monotonic() < end, "the nodes do not come to one position"
        time.sleep(0.01)


def _position(path: "Path") -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def bump(db: sqlite3.Connection) -> int:
    """Read the number, and write it one higher, in one transaction; what it is then."""
    db.execute("BEGIN IMMEDIATE")
    try:
        number = counted(db) + 1
        db.execute("UPDATE c SET n = ?", (number,))
        db.execute("COMMIT")
    except sqlite3.Error:
        if db.in_transaction:
            try:
                db.execute("ROLLBACK")
            except sqlite3.Error:
                pass
        raise
    return number


def counted(db: sqlite3.Connection) -> int:
    (number,) = db.execute("SELECT n FROM c").fetchone()
    return int(number)


@contextmanager
def halted(node: "ClusterNode", name: str) -> Iterator[None]:
    fd = os.open(node.database(f"{name}-lock"), os.O_RDWR)
    try:
        yield
    finally:
        os.fsync(fd)
        os.close(fd)


def main() -> None:
    path, times = sys.argv[1], int(sys.argv[2])
    lock = f"{path}-lock" if "--no-lock" not in sys.argv else os.devnull
    done = 0
    while done < times:
        fd = os.open(lock, os.O_RDWR)  # On the primary it does nothing.
        db = connect(path)
        try:
            bump(db)
            done += 1
        except sqlite3.OperationalError as error:
            # Without the lock somebody else may have been quicker.
            if lock != os.devnull or "locked" not in str(error):
                raise
        db.close()
        os.close(fd)


if __name__ == "__main__":
    main()
