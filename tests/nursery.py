"""The process that a test's nodes and programs are forked from: it has loaded what they need.

    python -m tests.nursery FD

pylitefs/cli/nursery.py does the forking; there a fork becomes `pylitefs`. Here it may also become a Python
program of the tests, as it stands on Python's command line: `-m MODULE ...`, `-c TEXT ...`, `FILE ...`. The
rule: what runs in a fork cannot tell it from a Python that was started. forked.py is the side that asks.
"""

import gc
import importlib
import io
import os
import runpy
import socket
import sys
from typing import cast

from pylitefs.cli.main import run
from pylitefs.cli.nursery import LOADED, leave, serve

PROGRAMS = (
    "tests.cluster.client",
    "tests.crash.writer",
    "tests.mount.applier.mounted",
    "tests.mount.applier.reader",
    "tests.mount.node_process",
)
"""What is forked most often."""

STDERR, NAMES = "PYLITEFS_FORK_STDERR", "PYLITEFS_FORK_NAMES"
"""Environment variables for the fork: the number of its standard error, and which of the others it keeps."""


def main() -> None:
    """Serve until the channel ends; in a fork, be the program."""
    for name in (*LOADED, *PROGRAMS):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        forked = serve(channel, set())
    if forked is None:
        return
    if STDERR not in os.environ:
        leave(run())
    error = int(os.environ.pop(STDERR))
    os.dup2(error, 2)
    os.close(error)
    own = os.environ.pop(NAMES).split("=")
    for name in set(os.environ).difference(own):
        del os.environ[name]
    code = 0
    try:
        be_python(forked["arguments"])
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        code = end.code or 0
    gc.collect()  # What it left open is closed now, such as a database.
    leave(code)


def be_python(arguments: list[str]) -> None:
    """Run the program that Python would with these arguments."""
    what, *rest = arguments
    cast(io.TextIOWrapper, sys.stdout).reconfigure(line_buffering=True)
    if what == "-m":
        sys.argv = [str(importlib.import_module(rest[0]).__file__), *rest[1:]]
        sys.modules[rest[0]].main()
    elif what == "-c":
        sys.argv = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = arguments
        sys.path.insert(0, os.path.dirname(what))
        runpy.run_path(what, run_name="__main__")


if __name__ == "__main__":
    main()
