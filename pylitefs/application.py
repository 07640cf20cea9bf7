"""The commands of `exec`: the application beside a node, as LiteFS runs it.

The last command is the application; those before it run to their end first, in order. The rule: the
application ends before the mount goes. Signals for the node are passed on to it, and its exit code becomes
the node's. A command's words are split as a shell splits them, but no shell runs.
Reference: https://fly.io/docs/litefs/config/#exec
"""

import logging
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Sequence

from pylitefs.config import ExecCommand
from pylitefs.config.token import VARIABLE
from pylitefs.errors import ConfigError, PylitefsError
from pylitefs.limits import give_back

log = logging.getLogger("pylitefs")

KILL_AFTER_S = 5.0
"""How long an application whose node is gone may take to end."""


class ApplicationError(PylitefsError):
    """A command of `exec` could not be started, or one before the last failed."""


def check(commands: Sequence[ExecCommand]) -> None:
    """Raise ConfigError for a command that cannot be split into words, or that has none."""
    for command in commands:
        words(command.cmd)


def words(text: str) -> list[str]:
    """A command's words. Raises ConfigError."""
    try:
        found = shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"exec: {text!r} cannot be split into words: {error}") from None
    if not found:
        raise ConfigError("exec: a command is empty: name a program")
    return found


class Application:
    """Runs the commands. `run()` in one thread; `signal()` and `end()` from any."""

    def __init__(self, commands: Sequence[ExecCommand], *, candidate: bool, token: str = "") -> None:
        """`token` is the API's: a `pylitefs import` among the commands has to show it."""
        self._commands = commands
        self._environment = {**os.environ, VARIABLE: token} if token else dict(os.environ)
        self._candidate = candidate
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = False

    def run(self) -> int | None:
        """Run them all; the last one's exit code, 128 + N for one ended by signal N. None: there was no last
        one for this node (`if-candidate`). Raises ApplicationError."""
        for number, command in enumerate(self._commands, start=1):
            last = number == len(self._commands)
            if command.if_candidate and not self._candidate:
                log.info("exec: not a candidate, so not run: %s", command.cmd)
                continue
            code = self._run(command.cmd)
            if last or self._ending:
                return code
            if code != 0:
                raise ApplicationError(f"exec: {command.cmd!r} ended with exit code {code}: mend it first")
        return None

    def _run(self, text: str) -> int:
        with self._lock:
            if self._ending:
                return 128 + signal.SIGTERM
            log.info("exec: %s", text)
            try:
                # One call into C between fork and exec, which needs no lock of another thread's.
                self._process = subprocess.Popen(
                    words(text),
                    preexec_fn=give_back(),  # noqa: PLW1509
                    env=self._environment,
                )
            except OSError as error:
                raise ApplicationError(f"exec: {text!r} cannot be run: {error.strerror}") from None
        code = self._process.wait()
        return code if code >= 0 else 128 - code

    def signal(self, number: int) -> bool:
        """Pass a signal on; no further command is begun. False if nothing runs."""
        with self._lock:
            self._ending = True
            process = self._process
        if process is None or process.poll() is not None:
            return False
        process.send_signal(number)
        return True

    def end(self) -> None:
        """The node is gone: SIGTERM, and after KILL_AFTER_S SIGKILL."""
        if self.signal(signal.SIGTERM):
            assert self._process is not None
            try:
                self._process.wait(KILL_AFTER_S)
            except subprocess.TimeoutExpired:
                log.warning("exec: the application goes on after SIGTERM and is killed")
                self._process.kill()
