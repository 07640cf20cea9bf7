"""SQLite itself, in the applier's process: it reads a database once, for what only SQLite does.

The rule: its locks belong to this process, so no file of the mount may be closed here meanwhile.
"""

import os
from pathlib import Path

from pylitefs.errors import ApplierError, BusyError
from pylitefs.mount.applier.locks import CLOSING


def have_sqlite_read(root_fd: int, mount_dir: str, name: str, timeout: float) -> None:
    """Open the database with SQLite and read its schema: it rolls back a hot journal, or makes the WAL index
    anew. BusyError if it is locked for longer than `timeout`."""
    import sqlite3

    path = os.path.join(mount_dir, name)
    if os.stat(path).st_dev != os.fstat(root_fd).st_dev:
        raise ApplierError(f"{path} is not on the mount any more: was it unmounted?")
    with CLOSING:
        connection = sqlite3.connect(f"{Path(path).as_uri()}?mode=rw", timeout=timeout, uri=True)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise BusyError(f"{name} is locked: {error}") from None
            raise ApplierError(f"SQLite cannot read {name}: {error}") from None
        finally:
            connection.close()
