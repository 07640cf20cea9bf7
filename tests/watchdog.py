"""Ends a test that hangs where no signal reaches it, and says where it hangs.

pytest-timeout interrupts a test by a signal. Python sees that once the system call is over, and a call on a
mount whose node does not answer is never over: the whole run then hangs with it. So a thread looks at the
time as well. The rule: such a run says which test it was, where every thread of it and of its nodes stood,
and leaves no process and no mount behind; the test has failed, and if even that does not end it, the run has.
"""

import faulthandler
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

GRACE_S = 60.0
"""A test has so long after its signal."""
SILENCE_S = 1200.0
"""So long no worker has to tell of a test: longer than the longest has, but for those of --full."""
ENDING_S = 10.0
"""So long it has to end once the processes are gone that it waits for."""
LOG_LINES = 80
"""So much is told of what a process has said."""


class _Watch:
    """One test at a time, and its deadline."""

    def __init__(self, stderr: int) -> None:
        self._stderr = stderr
        self._folder = Path()
        self._more: Callable[[], str] = str
        self._changed = threading.Condition()
        self._test = ""
        self._deadline: float | None = None
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def begin(self, test: str, seconds: float, folder: Path, more: Callable[[], str] = str) -> None:
        """`folder` is where its mounts are; `more` is told of it."""
        self._folder, self._more = folder, more
        self._set(test, time.monotonic() + seconds)

    def end(self) -> None:
        self._set("", None)

    def _set(self, test: str, deadline: float | None) -> None:
        with self._changed:
            self._test, self._deadline = test, deadline
            self._changed.notify()

    def _run(self) -> None:
        while True:
            hung = self._next()
            self._say(f"\n{hung} hangs. Where the threads stand:\n")
            faulthandler.dump_traceback(self._stderr)
            self._say(self._more())
            self._end_others()
            # A call on a mount is over with its node: then the signal is seen, and the test has failed.
            with self._changed:
                if not self._changed.wait_for(lambda test=hung: self._test != test, ENDING_S):  # type: ignore[misc]
                    os._exit(1)

    def _next(self) -> str:
        """Wait for a test that is past its deadline."""
        with self._changed:
            while True:
                left = None if self._deadline is None else self._deadline - time.monotonic()
                if left is not None and left <= 0:
                    return self._test
                self._changed.wait(left)

    def _say(self, text: str) -> None:
        os.write(self._stderr, text.encode(errors="backslashreplace"))

    def _end_others(self) -> None:
        """What the test has started: SIGABRT makes a node write its threads' stacks to its log."""
        found = [pid for pid in _beneath(os.getpid()) if not _is_nursery(pid)]
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


def _is_nursery(pid: int) -> bool:
    """Whether it is what this process has its nodes forked from: later tests have theirs from it, too."""
    parent = _read(pid, "stat").rpartition(")")[2].split()[1:2]
    return parent == [str(os.getpid())] and "nursery" in _read(pid, "cmdline")


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
    # This process's own standard error: during a test pytest has put another one in its place.
    watch = _Watch(os.dup(2))
    if not config.getoption("numprocesses", None) or hasattr(config, "workerinput"):
        config.pluginmanager.register(_Tests(watch))
    elif not config.getoption("--full", False):
        config.pluginmanager.register(_Workers(watch, config))


class _Tests:
    """Where the tests run."""

    def __init__(self, watch: _Watch) -> None:
        self._watch = watch

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        factory: pytest.TempPathFactory = item.config._tmp_path_factory  # type: ignore[attr-defined]
        self._watch.begin(item.nodeid, _seconds(item) + GRACE_S, factory.getbasetemp())
        try:
            return (yield)
        finally:
            self._watch.end()


class _Workers:
    """Where others run them, and might never tell of one."""

    def __init__(self, watch: _Watch, config: pytest.Config) -> None:
        self._watch = watch
        self._config = config

    def pytest_runtest_logreport(self) -> None:
        self._watch.begin("a worker", SILENCE_S, Path(os.devnull), self._left)

    def pytest_sessionfinish(self) -> None:
        self._watch.end()

    def _left(self) -> str:
        """Which tests no worker has told of."""
        work = getattr(self._config.pluginmanager.getplugin("dsession").sched, "assigned_work", {})
        lines = (
            f"  {worker.gateway.id} has not told of {test}\n"
            for worker, scopes in work.items()
            for tests in scopes.values()
            for test, is_done in tests.items()
            if not is_done
        )
        return "".join(lines)


def _seconds(item: pytest.Item) -> float:
    """What pytest-timeout gives this test."""
    mark = item.get_closest_marker("timeout")
    if mark is not None:
        return float(mark.kwargs.get("timeout", mark.args[0] if mark.args else 0))
    given = item.config.getoption("timeout", None)
    return float(given if given is not None else item.config.getini("timeout") or 0)
