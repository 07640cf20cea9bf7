"""A process with threads, each of which opens a connection for each thing it does, as web servers do.

    python threads.py DATABASE SECONDS READERS

One thread inserts rows for so long, READERS others read meanwhile. Prints how many inserts were
acknowledged, and each error but "database is locked" on a line of its own.

A writer changes many pages, and waits for no disk: so its journal has a valid header from its first byte on,
and for most of the transaction's time only RESERVED keeps others from it.
"""

import sqlite3
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

path, seconds, readers = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
INSERT = [
    "PRAGMA synchronous=OFF",
    "BEGIN IMMEDIATE",
    "INSERT INTO seen(b) VALUES(hex(randomblob(200)))",
    "UPDATE seen SET b=hex(randomblob(200)) WHERE a > (SELECT max(a) FROM seen) - 200",
    "COMMIT",
]
written = threading.Event()
errors: list[str] = []
acknowledged = 0


def attempt(*statements: str) -> bool:
    """Whether all statements went through, on a connection of their own."""
    try:
        with closing(sqlite3.connect(path, timeout=20, isolation_level=None)) as db:
            for sql in statements:
                db.execute(sql).fetchall()
    except sqlite3.Error as error:
        if "is locked" not in str(error):
            errors.append(f"{statements[-1]}: {error}")
        return False
    return True


def write() -> None:
    global acknowledged
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            acknowledged += attempt(*INSERT)
    finally:
        written.set()


def read() -> None:
    while not written.is_set():
        attempt("SELECT max(a) FROM seen")


threads = [threading.Thread(target=write), *(threading.Thread(target=read) for _ in range(readers))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(acknowledged, *sorted(set(errors)), sep="\n")
