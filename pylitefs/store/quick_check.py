"""SQLite's own judgement of a file's content: a program, `python -I -S quick_check.py FILE SECONDS`.

The rule: it imports nothing but the standard library, and touches nothing but the file, which it only reads.
It is a process because the file is a stranger's: old versions of SQLite cannot be stopped in their check, and
a crash of it must not be the node's. Exit code 0: no objection; 1: standard output says what is wrong.

Only damage counts. Rows that break a CHECK or a NOT NULL are the application's business, and what takes a
function, a collation or a module that only the application has is passed over.
"""

import re
import sqlite3
import sys
from contextlib import closing
from urllib.parse import quote

MEMORY = 1 << 30
"""Bytes; a bit a page is needed, and SQLite's cache of 2 MB."""
_CORRUPT, _NOTADB = 11, 26
_CONTENT = re.compile(r"NULL value in |CHECK constraint failed in |(non-\w+|NUMERIC|TEXT) value in ")


def objection(path: str) -> str:
    """What is wrong with the database at `path`; "" if nothing is. Raises sqlite3.Error."""
    with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro&immutable=1", uri=True)) as db:
        db.execute("PRAGMA trusted_schema=OFF")
        db.execute("PRAGMA ignore_check_constraints=ON")
        try:
            names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type='table'")]
            return _check(db, "PRAGMA quick_check")
        except sqlite3.Error as error:
            if _is_damage(error):
                return str(error)
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_ERROR:
                raise
        # Something of it needs what only the application has: then each table for itself.
        return next((text for name in names if (text := _check_table(db, name))), "")


def _check_table(db: sqlite3.Connection, name: str) -> str:
    try:
        return _check(db, "PRAGMA quick_check('{}')".format(name.replace("'", "''")))
    except sqlite3.Error as error:
        return str(error) if _is_damage(error) else ""


def _check(db: sqlite3.Connection, statement: str) -> str:
    for (text,) in db.execute(statement):
        if text != "ok" and not _CONTENT.match(text):
            return " ".join(text.split())
    return ""


def _is_damage(error: sqlite3.Error) -> bool:
    return error.sqlite_errorcode & 0xFF in (_CORRUPT, _NOTADB)


def _limit(seconds: int) -> None:
    try:
        import resource
    except ImportError:
        return  # Windows: who started this ends it.
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(path: str, seconds: str) -> int:
    """Check within so much memory and processor time, also when nobody waits any more."""
    _limit(int(seconds))
    try:
        text = objection(path)
    except (sqlite3.Error, MemoryError) as error:
        text = f"it cannot be checked: {error or type(error).__name__}"
    sys.stdout.write(text.encode("ascii", "backslashreplace").decode())
    return int(bool(text))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
