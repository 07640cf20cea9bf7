"""The shells of a lecture: child processes that hold one SQLite connection each (sql_client.py).

The rule: nobody waits for a shell. A statement is begun, and whether it has come back is looked at; only
`collect` reads, so after it what is known of a shell is what the shell has said.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pylitefs.child_python import python_module
from pylitefs.errors import LessonError

Answer = dict[str, Any]
END_S = 3.0
"""A shell that has not ended so long after its standard input is killed."""


class Shell:
    """A shell on `database`, a path on a node's mount. Not for several threads at once."""

    def __init__(self, name: str, database: Path) -> None:
        self.name = name
        self.sql = ""
        """What runs, or ran last."""
        self.answer: Answer | None = None
        """What it gave: {"rows", "changes"} or {"error"}; None while it runs."""
        self.is_failure_expected = False
        """Whether the lesson has said that its last statement should fail."""
        self.setup = ""
        """SQL that goes before the first statement."""
        self._buffer = b""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYLITEFS_")}
        self._process = subprocess.Popen(
            python_module("pylitefs.lecture.live.sql_client", str(database)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
            env=environment,
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether a statement has not come back, as far as is known."""
        return bool(self.sql) and self.answer is None

    @property
    def state(self) -> str:
        """As `sql/NODE/CONN` has it: running, done or error."""
        if self.answer is None:
            return "running"
        return "error" if "error" in self.answer else "done"

    @property
    def result(self) -> str:
        """The rows, one a line, columns joined by |; or the error's text."""
        return "" if self.answer is None else result_text(self.answer)

    def check_free(self) -> None:
        """LessonError if the statement before has not come back."""
        if self.is_running:
            raise LessonError(
                f"the shell {self.name} still waits for: {self.sql}; let it go on with step or run, "
                f"or use another shell, such as {self.name.partition('/')[0]}/b"
            )

    def begin(self, sql: str, **more: object) -> None:
        """Type a statement. LessonError if the one before has not come back."""
        self.check_free()
        self.sql, self.answer, self.is_failure_expected = sql, None, False
        if self.setup and "halt" not in more:
            more["setup"], self.setup = self.setup, ""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"sql": sql, **more}).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            self.collect()

    def collect(self) -> bool:
        """Read what the shell has answered; whether its statement came back just now. Never waits."""
        if not self.is_running:
            return False
        assert self._process.stdout is not None
        while True:
            try:
                data = os.read(self._process.stdout.fileno(), 65536)
            except BlockingIOError:
                break
            if not data:
                self.answer = {"error": "the shell has ended"}
                break
            self._buffer += data
        line, newline, rest = self._buffer.partition(b"\n")
        if newline:
            self._buffer = rest
            self.answer = json.loads(line)
        return self.answer is not None

    def wait(self, seconds: float, meanwhile: Callable[[], object] = lambda: None) -> Answer | None:
        """Poll until the statement has come back; None if it has not after `seconds`."""
        deadline = time.monotonic() + seconds
        while self.is_running and not self.collect():
            if time.monotonic() > deadline:
                return None
            time.sleep(0.002)
            meanwhile()
        return self.answer

    def kill(self, why: str = "the shell was killed") -> None:
        """End it at once, whatever it does."""
        self._process.kill()
        if self.is_running:
            self.answer = {"error": why}

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def tell_to_end(self) -> None:
        """Close its standard input: it ends by itself once its statement is through."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except OSError:
            pass

    def close(self) -> None:
        """End it; by force if need be."""
        self.tell_to_end()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def result_text(answer: Answer) -> str:
    """As lessons write it: rows joined by newlines, columns by |, NULL empty; an error's text."""
    if "error" in answer:
        return str(answer["error"])
    return "\n".join("|".join("" if value is None else str(value) for value in row) for row in answer["rows"])
