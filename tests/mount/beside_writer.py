"""An application that tries again whatever fails: `python beside_writer.py DATABASE ACKNOWLEDGED`.

It opens the database, inserts a number, closes, and then writes the number to the file ACKNOWLEDGED. It
never waits for a mount: what answers under the database's name gets the row. A table is made where there is
none, as web frameworks do.
"""

import contextlib
import sqlite3
import sys
import time


def insert(path: str, number: int) -> None:
    with contextlib.closing(sqlite3.connect(path, timeout=5)) as db:
        db.execute("CREATE TABLE IF NOT EXISTS t (number INTEGER PRIMARY KEY)")
        db.execute("INSERT OR IGNORE INTO t VALUES (?)", (number,))
        db.commit()


def main() -> None:
    path, acknowledged = sys.argv[1:]
    number = 0
    with open(acknowledged, "a", encoding="ascii", buffering=1) as file:
        while True:
            try:
                insert(path, number)
            except (sqlite3.Error, OSError):
                time.sleep(0.0005)
                continue
            file.write(f"{number}\n")
            number += 1


main()
