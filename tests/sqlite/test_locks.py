"""The lock bytes are those that SQLite locks."""

import os
from contextlib import suppress
from pathlib import Path

from pylitefs.sqlite import locks
from tests.sqlite.samples import make_database


def locks_on(path: Path) -> set[tuple[str, int, int]]:
    """(READ or WRITE, first byte, last byte) of every lock this process holds on a file."""
    inode = str(path.stat().st_ino)
    found = set()
    # Not /proc/locks: that leaves a lock out now and then, while others come and go.
    for name in os.listdir("/proc/self/fdinfo"):
        with suppress(FileNotFoundError):
            for line in Path("/proc/self/fdinfo", name).read_text().splitlines():
                fields = line.split()[1:]
                if line.startswith("lock:") and fields[1] == "POSIX" and fields[5].split(":")[2] == inode:
                    found.add((fields[3], int(fields[6]), int(fields[7])))
    return found


def test_in_the_database(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    database = make_database(path)
    shared = (locks.SHARED_FIRST, locks.SHARED_FIRST + locks.SHARED_SIZE - 1)
    database.execute("BEGIN")
    database.execute("SELECT * FROM t").fetchone()
    assert locks_on(path) == {("READ", *shared)}
    database.execute("DELETE FROM t WHERE id = 1")
    assert locks_on(path) == {("WRITE", locks.RESERVED_BYTE, locks.RESERVED_BYTE), ("READ", *shared)}
    database.execute("COMMIT")
    database.execute("BEGIN EXCLUSIVE")
    assert locks_on(path) == {("WRITE", locks.PENDING_BYTE, shared[1])}
    database.close()


def test_in_the_wal_index(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    database = make_database(path, mode="wal")
    database.execute("BEGIN IMMEDIATE")
    held = locks_on(tmp_path / "a.db-shm")
    assert ("WRITE", locks.WAL_WRITE_LOCK, locks.WAL_WRITE_LOCK) in held
    assert ("READ", locks.WAL_DMS_LOCK, locks.WAL_DMS_LOCK) in held
    readers = {first for kind, first, _ in held if kind == "READ"} - {locks.WAL_DMS_LOCK}
    assert readers and readers <= set(locks.WAL_READ_LOCKS)
    database.close()


def test_names() -> None:
    assert [locks.lock_name(byte) for byte in (120, 121, 122, 123, 127, 128, 5)] == [
        "WRITE", "CKPT", "RECOVER", "READ0", "READ4", "DMS", "5",
    ]  # fmt: skip
    assert locks.lock_name(locks.PENDING_BYTE) == "PENDING"
    assert locks.lock_name(locks.SHARED_FIRST + 509) == "SHARED"
    assert locks.lock_name(locks.SHARED_FIRST + 510) == str(locks.SHARED_FIRST + 510)
