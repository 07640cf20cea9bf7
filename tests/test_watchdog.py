"""A test that no signal reaches ends all the same, and the run says where it hung."""

import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = """
from tests import watchdog

watchdog.GRACE_S, watchdog.SILENCE_S, watchdog.ENDING_S = {limits}, 1.0
pytest_plugins = ["tests.watchdog"]
"""
HANGS = """
import signal, subprocess, sys, time
from pathlib import Path

PROGRAM = '''
import time
def asleep():
    time.sleep(600)
asleep()
'''

def test_it_hangs():
    # As in a call on a mount, of which no signal is seen until it is over.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    with open("log", "w") as log:
        child = subprocess.Popen([sys.executable, "-X", "faulthandler", "-c", PROGRAM], stderr=log)
    Path("pid").write_text(str(child.pid))
    child.wait()
    if FOR_EVER:
        time.sleep(600)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})

def test_after_it(): pass
"""


@pytest.mark.parametrize("workers", [0, 1])
def test_it_has_failed_once_what_it_waits_for_is_ended_and_the_others_are_run(
    tmp_path: Path, workers: int
) -> None:
    done = run(tmp_path, workers, (0.5, 60.0))
    assert done.returncode == 1, done.stdout + done.stderr
    says_where(done, "test_hangs.py::test_it_hangs hangs")
    assert "Timeout (>1.0s)" in done.stdout and "1 failed, 1 passed" in done.stdout
    nothing_is_left(tmp_path)


def test_where_nothing_ends_it_the_run_ends(tmp_path: Path) -> None:
    done = run(tmp_path, 0, (0.5, 60.0), for_ever=True)
    assert done.returncode == 1, done.stdout + done.stderr
    says_where(done, "test_hangs.py::test_it_hangs hangs")
    nothing_is_left(tmp_path)


def test_a_worker_that_tells_nothing_is_told_of_by_the_tests_it_had(tmp_path: Path) -> None:
    done = run(tmp_path, 1, (60.0, 5.0))
    says_where(done, "a worker hangs")
    assert "gw0 has not told of test_hangs.py::test_it_hangs" in done.stderr
    assert done.returncode == 1, done.stdout + done.stderr
    nothing_is_left(tmp_path)


def run(
    folder: Path, workers: int, limits: tuple[float, float], *, for_ever: bool = False
) -> "subprocess.CompletedProcess[str]":
    (folder / "conftest.py").write_text(CONFTEST.format(limits="{}, {}".format(*limits)))
    (folder / "test_hangs.py").write_text(f"FOR_EVER = {for_ever}\n{HANGS}")
    # Its own folder: the numbered ones may be many, of other runs, and the oldest are removed first.
    options = ["--rootdir=.", "--basetemp=base", "-p", "no:cacheprovider", "--timeout=1"]
    workers_options = ["-n", str(workers), "--dist=loadfile", "--max-worker-restart=0"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *workers_options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


def says_where(done: "subprocess.CompletedProcess[str]", what: str) -> None:
    assert what in done.stderr
    assert "in test_it_hangs" in done.stderr, "the test's own stack"
    assert "in asleep" in done.stderr, "what the process that it started has logged at its end"


def nothing_is_left(folder: Path) -> None:
    left = Path("/proc", (folder / "pid").read_text(), "cmdline")
    assert not left.exists() or left.read_bytes() == b"", "it runs"
