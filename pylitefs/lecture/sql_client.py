"""A shell: one SQLite connection in a process of its own, so that a held commit holds only it.

    python -m pylitefs.lecture.sql_client PATH

Requests come as JSON lines on standard input and are answered in order on standard output:

    {"sql": "SELECT a, b FROM t"}            -> {"rows": [[1, "x"]], "changes": 0}
    {"sql": "INSERT …; INSERT …"}            -> {"rows": [], "changes": 2}      the last statement's rows
    {"sql": "INSERT …", "setup": "PRAGMA …"} with something before it
    {"sql": "SELECT …", "fresh": true}       on a connection of its own, closed afterwards
    …                                        -> {"error": "database is locked"}

The rules: it opens the database as anybody's program would, in autocommit mode and without a busy timeout;
and it ends with its standard input, also in the middle of a statement, which is then interrupted.
"""

import contextlib
import json
import os
import queue
import sqlite3
import sys
import threading
from typing import Any

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
        self._connection: sqlite3.Connection | None = None
        self._now: sqlite3.Connection | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        fresh = bool(request.get("fresh"))
        try:
            if fresh or self._connection is None:
                connection = sqlite3.connect(
                    self._path, timeout=0, isolation_level=None, check_same_thread=False
                )
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
        except (sqlite3.Error, sqlite3.Warning) as error:
            return {"error": str(error)}

    def _run(self, connection: sqlite3.Connection, script: str) -> dict[str, Any]:
        before = connection.total_changes
        rows: list[list[object]] = []
        for statement in statements(script):
            rows = [[_plain(value) for value in row] for row in connection.execute(statement)]
        return {"rows": rows, "changes": connection.total_changes - before}

    def interrupt(self) -> None:
        connection = self._now
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.interrupt()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def _plain(value: object) -> object:
    """A column's value as JSON has it; a blob as SQL writes it."""
    return f"x'{value.hex()}'" if isinstance(value, bytes) else value


def main() -> None:
    """Answer requests until standard input ends."""
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
