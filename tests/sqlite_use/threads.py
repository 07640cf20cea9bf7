"""A process with threads, each of which opens a connection for each thing it does, as web servers do.

    python threads.py DATABASE ROWS READERS

One thread inserts ROWS rows, READERS others read until it is through. Prints how many inserts were
acknowledged, and each error but "database is locked" on a line of its own.
"""

import sqlite3
import sys
import threading
from contextlib import closing
from pathlib import Path

path, rows, readers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
written = threading.Event()
errors: list[str] = []
acknowledged = 0


def attempt(sql: str, *values: object) -> bool:
    """Whether a statement went through, on a connection of its own."""
    try:
        with closing(sqlite3.connect(path, timeout=20, isolation_level=None)) as db:
            db.execute(sql, values).fetchall()
    except sqlite3.Error as error:
        if "is locked" not in str(error):
            errors.append(f"{sql}: {error}")
        return False
    return True


def write() -> None:
    global acknowledged
    try:
        for _ in range(rows):
            acknowledged += attempt("INSERT INTO seen(b) VALUES(hex(randomblob(200)))")
    finally:
        written.set()


def read() -> None:
    while not written.is_set():
        attempt("SELECT count(*), max(b) FROM seen")


threads = [threading.Thread(target=write), *(threading.Thread(target=read) for _ in range(readers))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(acknowledged, *sorted(set(errors)), sep="\n")
