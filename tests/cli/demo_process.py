"""A demo in a process of its own, for tests: its output line by line, and its end."""

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from pylitefs.child_python import python_module

READY = "Every transaction is a line from here on"


def surroundings(temp_dir: Path) -> dict[str, str]:
    """Environment variables for a user whose folders are all in `temp_dir`."""
    return {"TMPDIR": str(temp_dir), "HOME": str(temp_dir), "XDG_RUNTIME_DIR": ""}


class DemoProcess:
    """`pylitefs demo` under `temp_dir` (its TMPDIR). `lines` grows while it runs."""

    def __init__(self, temp_dir: Path, arguments: Sequence[str] = ()) -> None:
        self.temp_dir = temp_dir
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            python_module("pylitefs", "demo", *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **surroundings(temp_dir), "PYTHONUNBUFFERED": "1"},
            process_group=0,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def base(self) -> Path:
        """Where it says that it lives."""
        return Path(self.wait_for(r"^Starting .* in (/.*) …$")[1])

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def wait_for(self, pattern: str, seconds: float = 40.0) -> re.Match[str]:
        """Wait until `pattern` is in the output; the match."""
        deadline = time.monotonic() + seconds
        while not (match := re.search(pattern, self.text, re.MULTILINE)):
            ended = self.process.poll() is not None
            if ended:
                self._reader.join(10)
            found = re.search(pattern, self.text, re.MULTILINE)
            assert found or (not ended and time.monotonic() < deadline), (
                f"{pattern!r} does not come:\n{self.text}"
            )
            time.sleep(0.02)
        return match

    def ctrl_c(self) -> int:
        """What the terminal does: SIGINT to the demo's process group; the exit code."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGINT)
        code = self.process.wait(40)
        self._reader.join(10)
        return code

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as output:
            for line in output:
                self.lines.append(line)


@contextlib.contextmanager
def running_demo(temp_dir: Path, *arguments: str) -> Iterator[DemoProcess]:
    """A demo that is ready, and ended at the end."""
    demo = DemoProcess(temp_dir, arguments)
    try:
        demo.wait_for(READY)
        yield demo
    finally:
        demo.ctrl_c()
