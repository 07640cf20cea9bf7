"""The other end of `client.py`: starts such a process, asks it things, and never waits for good.

The rule: a client that does not answer in time is given up, and not waited for. A mount that hangs keeps even
a killed client, until the mount's node is gone. So a client is killed, and nobody waits for its end.
"""

import contextlib
import itertools
import json
import queue
import subprocess
import threading
import zlib
from typing import Any

from pylitefs.child_python import python_module
from pylitefs.errors import PylitefsError

ANSWER_SECONDS = 60.0
SILENT = "no answer"
ENDED = "the client process ended"
_START_SECONDS = 20.0


class Driver:
    """A client process. `seed_text` decides SQLite's random numbers, the same for every system."""

    def __init__(self, seed_text: str) -> None:
        seed = zlib.crc32(seed_text.encode()) & 0x7FFFFFFF or 1
        self._process = subprocess.Popen(
            python_module("pylitefs.compare.client", str(seed)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            process_group=0,
        )
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        self._silent = False
        try:
            hello = json.loads(self._answers.get(timeout=_START_SECONDS))
        except (queue.Empty, ValueError):
            self.kill()
            raise PylitefsError("a client process did not start; run it by hand to see why") from None
        self.seeded = bool(hello["seeded"])
        self.sqlite = str(hello["sqlite"])

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put(json.dumps({"error": ENDED}))

    def ask(self, op: str, seconds: float = ANSWER_SECONDS, **arguments: object) -> dict[str, Any]:
        """Its answer; `{"error": "no answer in N s"}` from one that hangs, then and ever after."""
        if self._silent:
            return {"error": SILENT}
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"op": op, **arguments}) + "\n")
            self._process.stdin.flush()
            answer = json.loads(self._answers.get(timeout=seconds))
        except queue.Empty:
            self._silent = True
            return {"error": f"{SILENT} in {seconds:.0f} s"}
        except (BrokenPipeError, ValueError):
            return {"error": ENDED}
        assert isinstance(answer, dict)
        return answer

    @property
    def is_silent(self) -> bool:
        return self._silent

    def kill(self) -> None:
        """As a crash would: nothing is rolled back or closed."""
        self._process.kill()
        self._end(2.0)

    def close(self) -> None:
        """Close the connection and end."""
        if not self._silent:
            self.ask("close", 10.0)
        with contextlib.suppress(BrokenPipeError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        self._end(0.2 if self._silent else 5.0)

    def _end(self, seconds: float) -> None:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()


class Connections:
    """The named connections of one system, and an observer for each of its nodes."""

    def __init__(self, salt: str = "") -> None:
        self._salt = salt
        self._drivers: dict[str, Driver] = {}
        self._numbers = itertools.count()

    def get(self, name: str) -> Driver:
        """The client of that name, started when it is first asked for."""
        if name not in self._drivers:
            self._drivers[name] = Driver(f"{self._salt}/{name}/{next(self._numbers)}")
        return self._drivers[name]

    def end(self, name: str, *, kill: bool = False) -> None:
        driver = self._drivers.pop(name, None)
        if driver is not None:
            driver.kill() if kill else driver.close()

    def close(self) -> None:
        """End them all."""
        for name in list(self._drivers):
            self.end(name)
