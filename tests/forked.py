"""Python programs that are there at once: `python("-m", "tests.cluster.client", path)`.

Most of a small program's processor time is its Python's start, and a run starts thousands of them. So they
are forked from a process that has loaded all they need (nursery.py); each worker of the tests has one. What
comes back is used like a `subprocess.Popen` with pipes. The rule: a test that is about a start itself, or
about memory, starts its programs.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, cast

from pylitefs.cluster.nursery import ForkedProcess, Nursery
from tests.nursery import NAMES, STDERR

_shared: list[Nursery] = []


class Program(ForkedProcess):
    """A Python program in a fork. Its pipes are text; its standard error is the test's, or one of them."""

    stdin: IO[str]  # type: ignore[assignment]

    def __init__(self, nursery: Nursery, pid: int, stdin: int, stdout: int, stderr: int | None) -> None:
        super().__init__(nursery, pid, cast(IO[bytes], os.fdopen(stdin, "w", 1)))
        self.stdout: IO[str] = os.fdopen(stdout, "r")
        self.stderr: IO[str] | None = None if stderr is None else os.fdopen(stderr, "r")

    def end(self, timeout: float = 10.0) -> str:
        """End its input; what it printed until its own end."""
        self.stdin.close()
        with self.stdout:
            printed = self.stdout.read()
        self.wait(timeout)
        return printed


class _Nursery(Nursery):
    """The asking side of nursery.py."""

    def __init__(self) -> None:
        super().__init__("tests.nursery")

    def python(self, arguments: list[str], directory: Path, stderr: bool) -> Program:
        (stdin, to_it), (from_it, stdout) = os.pipe(), os.pipe()
        errors, error = os.pipe() if stderr else (None, os.dup(2))
        environment = {**os.environ, NAMES: "=".join(os.environ)}
        request: Mapping[str, object] = {
            "arguments": arguments,
            "directory": str(directory),
            "environment": environment,
            "descriptors": [STDERR],
        }
        try:
            pid = int(self._ask(request, [stdin, stdout, error])["pid"])
        finally:
            for fd in (stdin, stdout, error):
                os.close(fd)
        return Program(self, pid, to_it, from_it, errors)


def shared() -> Nursery:
    """This process's nursery. It begins when somebody wants it first."""
    if not _shared:
        _shared.append(_Nursery())
    return _shared[0]


def close() -> None:
    """End it."""
    while _shared:
        _shared.pop().close()


def python(*arguments: object, directory: Path | None = None, stderr: bool = False) -> Program:
    """`python ARGUMENTS`, which begin with `-m MODULE`, `-c TEXT` or a file; `stderr` makes that a pipe."""
    nursery = shared()
    assert isinstance(nursery, _Nursery)
    return nursery.python([str(one) for one in arguments], directory or Path.cwd(), stderr)
