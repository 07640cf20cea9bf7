"""A shell: one SQLite connection in a process of its own, so that a held commit holds only it.

    python -m pylitefs.lecture.live.sql_client PATH

Requests come as JSON lines on standard input and are answered in order on standard output:

    {"sql": "SELECT a, b FROM t"}            -> {"rows": [[1, "x"]], "changes": 0}
    {"sql": "INSERT …; INSERT …"}            -> {"rows": [], "changes": 2}      the last statement's rows
    {"sql": "INSERT …", "setup": "PRAGMA …"} with something before it
    {"sql": "SELECT …", "fresh": true}       on a connection of its own, closed afterwards
    {"halt": true}, {"halt": false}          the HALT lock: `-lock` is opened and locked; and closed
    …                                        -> {"error": "database is locked"}

The rules: it opens the database as anybody's program would, in autocommit mode and without a busy timeout;
it reaches nothing but the databases beside that one (confined.py), which it finds by their plain names;
and it ends with its standard input, also in the middle of a statement, which is then interrupted.

SQLite calls `fchown` on each WAL that it opens, if it runs as root. The kernel makes that call wait while a
write to the same file is held. So SQLite is told here that it does not run as root.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import queue
import sqlite3
import sys
import threading
from pathlib import Path
from typing import Any

from pylitefs.lecture.live.confined import Confined

HALT_BYTE = 72
END_S = 2.0
"""So long an interrupted statement has to come back once standard input has ended."""


def statements(script: str) -> list[str]:
    """A script's statements, one by one; a last one without its semicolon is one too."""
    found, begun = [], ""
    for piece in script.split(";"):
        begun += piece + ";"
        if sqlite3.complete_statement(begun):
            found.append(begun.strip())
            begun = ""
    rest = begun.strip().removesuffix(";").strip()
    return [one for one in [*found, rest] if one.strip("; \n\t")]


class Shell:
    """One connection, opened at its first statement."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._confined = Confined(Path(path))
        self._connection: sqlite3.Connection | None = None
        self._now: sqlite3.Connection | None = None
        self._halt = -1
        """The descriptor of `-lock`."""

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if "halt" in request:
            return self._halted(wanted=bool(request["halt"]))
        fresh = bool(request.get("fresh"))
        self._confined.why = ""
        try:
            if fresh or self._connection is None:
                connection = sqlite3.connect(
                    self._path, timeout=0, isolation_level=None, check_same_thread=False
                )
                self._confined.watch(connection)
                if not fresh:
                    self._connection = connection
            else:
                connection = self._connection
            self._now = connection
            try:
                if setup := str(request.get("setup", "")):
                    self._run(connection, setup)
                return self._run(connection, str(request["sql"]))
            finally:
                self._now = None
                if fresh:
                    connection.close()
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError) as error:
            # The last three are Python's: text that is no Unicode, a value too large for it.
            return {"error": self._confined.why or str(error)}

    def _run(self, connection: sqlite3.Connection, script: str) -> dict[str, Any]:
        before = connection.total_changes
        rows: list[list[object]] = []
        for statement in statements(script):
            rows = [[_plain(value) for value in row] for row in connection.execute(statement)]
        return {"rows": rows, "changes": connection.total_changes - before}

    def _halted(self, *, wanted: bool) -> dict[str, Any]:
        """Take the HALT lock as LiteFS's client libraries do, or give it back."""
        if wanted == (self._halt >= 0):
            return {"error": f"this shell has {'the' if wanted else 'no'} HALT lock"}
        try:
            if wanted:
                fd = os.open(f"{self._path}-lock", os.O_RDWR)
                try:
                    fcntl.lockf(fd, fcntl.LOCK_EX, 1, HALT_BYTE)
                except BaseException:
                    os.close(fd)
                    raise
                self._halt = fd
            else:
                fd, self._halt = self._halt, -1
                os.close(fd)
        except OSError as error:
            return {"error": str(error.strerror)}
        return {"rows": [], "changes": 0}

    def interrupt(self) -> None:
        connection = self._now
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.interrupt()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._halt >= 0:
            self._halted(wanted=False)


def _plain(value: object) -> object:
    """A column's value as JSON has it; a blob as SQL writes it."""
    return f"x'{value.hex()}'" if isinstance(value, bytes) else value


class _Vfs(ctypes.Structure):
    """The beginning of `sqlite3_vfs`, up to what is needed; https://www.sqlite.org/c3ref/vfs.html"""

    _fields_ = [
        ("version", ctypes.c_int),
        ("sizes", ctypes.c_int * 2),
        ("pointers", ctypes.c_void_p * 15),
        ("current_time_int64", ctypes.c_void_p),
        (
            "set_system_call",
            ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p),
        ),
    ]


_GETEUID = ctypes.CFUNCTYPE(ctypes.c_uint)(lambda: 65534)


def be_nobody_to_sqlite() -> bool:
    """Have SQLite take this process for one that is not root's; whether that could be done."""
    import _sqlite3

    try:
        find = ctypes.CDLL(_sqlite3.__file__).sqlite3_vfs_find
    except (OSError, AttributeError):
        return False
    find.restype = ctypes.POINTER(_Vfs)
    vfs = find(None)
    if not vfs or vfs.contents.version < 3 or not vfs.contents.set_system_call:
        return False
    done = vfs.contents.set_system_call(
        ctypes.addressof(vfs.contents), b"geteuid", ctypes.cast(_GETEUID, ctypes.c_void_p)
    )
    return int(done) == sqlite3.SQLITE_OK


def main() -> None:
    """Answer requests until standard input ends."""
    if os.geteuid() == 0:
        be_nobody_to_sqlite()
    with contextlib.suppress(OSError):  # the node is gone: so is what a name would stand for
        os.chdir(Path(sys.argv[1]).parent)
    shell = Shell(sys.argv[1])
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            requests.put(line)
        # A statement that waits for a lock or a gate would never see the end by itself.
        ending = threading.Timer(END_S, os._exit, (1,))
        ending.daemon = True
        ending.start()
        requests.put("")
        shell.interrupt()

    threading.Thread(target=read, daemon=True).start()
    while line := requests.get():
        print(json.dumps(shell.answer(json.loads(line))), flush=True)
    shell.close()


if __name__ == "__main__":
    main()
