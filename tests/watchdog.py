"""Ends a test that hangs where no signal reaches it, and says where it hangs.

pytest-timeout interrupts a test by a signal. Python sees that once the system call is over, and a call on a
mount whose node does not answer is never over: the whole run then hangs with it. So a thread looks at the
time as well. The rule: such a run says which test it was, where every thread of it and of its nodes stood,
leaves no process and no mount behind, and goes on (a new worker takes the rest) or ends.
"""

import faulthandler
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

GRACE_S = 60.0
"""A test has so long after its signal."""
LOG_LINES = 80
"""So much is told of what a process has said."""


class _Watch:
    """One test at a time, and its deadline."""

    def __init__(self, stderr: int) -> None:
        self._stderr = stderr
        self._folder = Path()
        self._changed = threading.Condition()
        self._test = ""
        self._deadline: float | None = None
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def begin(self, test: str, seconds: float, folder: Path) -> None:
        """`folder` is where its mounts are."""
        self._folder = folder
        self._set(test, time.monotonic() + seconds)

    def end(self) -> None:
        self._set("", None)

    def _set(self, test: str, deadline: float | None) -> None:
        with self._changed:
            self._test, self._deadline = test, deadline
            self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while True:
                left = None if self._deadline is None else self._deadline - time.monotonic()
                if left is not None and left <= 0:
                    break
                self._changed.wait(left)
            test = self._test
        self._say(f"\n{test} hangs, and no signal reaches it. Where its threads stand:\n")
        faulthandler.dump_traceback(self._stderr)
        self._end_others()
        os._exit(1)

    def _say(self, text: str) -> None:
        os.write(self._stderr, text.encode(errors="backslashreplace"))

    def _end_others(self) -> None:
        """What the test has started: SIGABRT makes a node write its threads' stacks to its log."""
        found = _beneath(os.getpid())
        logs = {pid: _log(pid) for pid in found}
        for pid in found:
            self._say(f"\nprocess {pid}: {_read(pid, 'cmdline')}\n  waits in {_waits(pid)}\n")
            _send(pid, signal.SIGABRT)
        latest = time.monotonic() + 2
        while time.monotonic() < latest and any(_read(pid, "cmdline") for pid in found):
            time.sleep(0.02)
        for pid in found:
            _send(pid, signal.SIGKILL)
        for path in sorted({path for path in logs.values() if path is not None}):
            self._say(f"\n{path}:\n{_tail(path)}\n")
        for mount in _mounts(self._folder):
            subprocess.run(["fusermount", "-uz", mount], check=False, timeout=10)


def _beneath(pid: int) -> list[int]:
    """The processes that it has started, and those that they have."""
    parents: dict[int, list[int]] = {}
    for one in filter(str.isdigit, os.listdir("/proc")):
        status = _read(int(one), "stat").rpartition(")")[2].split()
        if len(status) > 1:
            parents.setdefault(int(status[1]), []).append(int(one))
    found = [*parents.get(pid, ())]
    for one in found:
        found.extend(parents.get(one, ()))
    return found


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def _waits(pid: int) -> str:
    """What the kernel's name is for what each thread waits in."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return "nothing: it has ended"
    return ", ".join(
        f"{_read(pid, f'task/{one}/wchan')} ({_read(pid, f'task/{one}/comm')})" for one in threads
    )


def _log(pid: int) -> Path | None:
    """The file that its standard error goes to."""
    try:
        path = Path(os.readlink(f"/proc/{pid}/fd/2"))
    except OSError:
        return None
    return path if path.is_file() else None


def _tail(path: Path) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-LOG_LINES:])
    except OSError as error:
        return str(error)


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        pass


def _mounts(folder: Path) -> list[str]:
    """Those below it, the newest first."""
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [point for point in reversed(points) if point.startswith(f"{folder}/")]


def pytest_configure(config: pytest.Config) -> None:
    """`-n` has the tests run in other processes, each of which comes here too."""
    if not config.getoption("numprocesses", None) or hasattr(config, "workerinput"):
        # The worker's own standard error: during a test pytest has put another one in its place.
        config.stash[_WATCH] = _Watch(os.dup(2))


_WATCH = pytest.StashKey[_Watch]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    watch = item.config.stash.get(_WATCH, None)
    if watch is not None:
        factory: pytest.TempPathFactory = item.config._tmp_path_factory  # type: ignore[attr-defined]
        watch.begin(item.nodeid, _seconds(item) + GRACE_S, factory.getbasetemp())
    try:
        return (yield)
    finally:
        if watch is not None:
            watch.end()


def _seconds(item: pytest.Item) -> float:
    """What pytest-timeout gives this test."""
    mark = item.get_closest_marker("timeout")
    if mark is not None:
        return float(mark.kwargs.get("timeout", mark.args[0] if mark.args else 0))
    given = item.config.getoption("timeout", None)
    return float(given if given is not None else item.config.getini("timeout") or 0)
