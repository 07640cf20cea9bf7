"""A test that no signal reaches ends all the same, and the run says where it hung."""

import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = """
from tests import watchdog

watchdog.GRACE_S = 0.5
pytest_plugins = ["tests.watchdog"]
"""
HANGS = """
import signal, subprocess, sys, time
from pathlib import Path

def test_it_hangs():
    # As in a system call that no signal interrupts.
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    with open("log", "w") as log:
        child = subprocess.Popen([sys.executable, "-X", "faulthandler", "-c", PROGRAM], stderr=log)
    Path("pid").write_text(str(child.pid))
    time.sleep(600)

def test_after_it(): pass

PROGRAM = '''
import time
def asleep():
    time.sleep(600)
asleep()
'''
"""


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_that_hangs_says_where_and_ends_all_that_it_started(tmp_path: Path, workers: int) -> None:
    """With workers, the others' tests are run; without, the run ends there."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_hangs.py").write_text(HANGS)
    command = [sys.executable, "-m", "pytest", "--rootdir=.", "-p", "no:cacheprovider", "--timeout=1"]
    done = subprocess.run(
        [*command, "-n", str(workers)], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "test_hangs.py::test_it_hangs hangs" in done.stderr
    assert "in test_it_hangs" in done.stderr, "its own stack"
    assert "in asleep" in done.stderr, "what the process that it started has logged at its end"
    left = Path("/proc", (tmp_path / "pid").read_text(), "cmdline")
    assert not left.exists() or left.read_bytes() == b"", "it runs"
    if workers:
        assert "1 failed, 1 passed" in done.stdout
