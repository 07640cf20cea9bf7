"""Databases, journals and WALs that the real SQLite library writes on a plain disk."""

import shutil
import sqlite3
from pathlib import Path

from pylitefs.sqlite import ReadAt

PAGE_SIZES = [512 << i for i in range(8)]


def make_database(
    path: Path, *, page_size: int = 4096, mode: str = "delete", rows: int = 40, psow: bool = True
) -> sqlite3.Connection:
    """An open database with a table of `rows` rows; `psow=False` gives journals with sectors of 4,096."""
    database = sqlite3.connect(
        f"file:{path}?psow={int(psow)}", uri=True, isolation_level=None, check_same_thread=False
    )
    database.execute(f"PRAGMA page_size={page_size}")
    database.execute(f"PRAGMA journal_mode={mode}")
    database.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
    database.execute("BEGIN")
    database.executemany("INSERT INTO t VALUES (?, randomblob(1500))", ((one,) for one in range(rows)))
    database.execute("COMMIT")
    return database


def copy_database(path: Path, to: Path) -> Path:
    """Copy a database and what lies beside it, as a crash would leave it."""
    to.mkdir(parents=True, exist_ok=True)
    for suffix in ("", "-journal", "-wal"):
        if Path(f"{path}{suffix}").exists():
            shutil.copyfile(f"{path}{suffix}", f"{to / path.name}{suffix}")
    return to / path.name


def read_at(data: bytes) -> ReadAt:
    return lambda offset, size: data[offset : offset + size]
