"""The bytes SQLite locks, in the database file and in the `-shm`, and the page they fall on.

A lock on these bytes says something to other processes; the bytes themselves are never read or
written. The database's lie at 1 GiB, so a database that large has one page that holds no data: the
lock page. Formats: https://www.sqlite.org/lockingv3.html#how_locks_are_implemented and
https://www.sqlite.org/walformat.html#wal_locks
"""

# In the database file.
PENDING_BYTE = 0x40000000
"""Held by a writer that waits for the readers to go; turns new readers away."""
RESERVED_BYTE = PENDING_BYTE + 1
"""Held by the one connection that means to write."""
SHARED_FIRST = PENDING_BYTE + 2
SHARED_SIZE = 510
"""Readers share this range; who writes the database file holds it exclusively."""

# In the `-shm` file: one byte each.
WAL_WRITE_LOCK = 120
WAL_CKPT_LOCK = 121
WAL_RECOVER_LOCK = 122
WAL_READ_LOCK0 = 123
WAL_READ_LOCK1 = 124
WAL_READ_LOCK2 = 125
WAL_READ_LOCK3 = 126
WAL_READ_LOCK4 = 127
WAL_READ_LOCKS = (WAL_READ_LOCK0, WAL_READ_LOCK1, WAL_READ_LOCK2, WAL_READ_LOCK3, WAL_READ_LOCK4)
WAL_DMS_LOCK = 128
"""The dead man's switch: shared by every connection to the WAL; who gets it exclusively is alone."""

LOCK_NAMES = {
    WAL_WRITE_LOCK: "WRITE",
    WAL_CKPT_LOCK: "CKPT",
    WAL_RECOVER_LOCK: "RECOVER",
    WAL_READ_LOCK0: "READ0",
    WAL_READ_LOCK1: "READ1",
    WAL_READ_LOCK2: "READ2",
    WAL_READ_LOCK3: "READ3",
    WAL_READ_LOCK4: "READ4",
    WAL_DMS_LOCK: "DMS",
    PENDING_BYTE: "PENDING",
    RESERVED_BYTE: "RESERVED",
    SHARED_FIRST: "SHARED",
}
"""SQLite's name of the lock that begins at a byte, for people."""


def lock_pgno(page_size: int) -> int:
    """The number of the page at PENDING_BYTE: never stored, never sent, checksum 0."""
    return PENDING_BYTE // page_size + 1


def lock_name(offset: int) -> str:
    """SQLite's name for the lock byte at `offset`, or the offset itself where SQLite has none."""
    if SHARED_FIRST <= offset < SHARED_FIRST + SHARED_SIZE:
        return "SHARED"
    return LOCK_NAMES.get(offset, str(offset))


def names_of_locks(first: int, last: int, *, write: bool) -> list[str]:
    """SQLite's names of the locks on the bytes from `first` to `last`; SHARED for writing is EXCLUSIVE.

    Where SQLite has none, the bytes themselves: `["5-9"]`.
    """
    found = []
    for byte, name in LOCK_NAMES.items():
        end = byte + SHARED_SIZE - 1 if byte == SHARED_FIRST else byte
        if byte <= last and first <= end:
            found.append("EXCLUSIVE" if write and byte == SHARED_FIRST else name)
    return found or [str(first) if first == last else f"{first}-{last}"]
