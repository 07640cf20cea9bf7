"""How many files may be open: all that the system allows, children as before, and one line if short."""

import errno
import logging
import os
import resource
import subprocess
import sys

import pytest

from pylitefs import limits

PROGRAM = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (50, 400))
from pylitefs import limits
assert limits.give_back() is None, "nothing was raised yet"
assert limits.raise_open_files() == limits.open_files_limit() == 400
assert limits.raise_open_files() == 400
import subprocess, sys
child = [sys.executable, "-c", "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE))"]
print(subprocess.run(child, preexec_fn=limits.give_back(), capture_output=True, text=True).stdout)
"""


def test_the_limit_is_raised_and_a_child_gets_the_old_one_back() -> None:
    """In a process of its own: a limit is the whole process's."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.stdout.strip() == "(50, 400)", done.stderr


@pytest.mark.parametrize(
    ("limit", "most"), [(50, 4), (1024, 64), (512, 32), (1_048_576, limits.MOST_DATABASES)]
)
def test_the_lower_the_limit_the_fewer_databases_keep_descriptors(
    limit: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, limit))
    assert limits.most_databases() == most


def test_a_shortage_is_told_once_until_it_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It ends when nothing met it for a while; what happens in between prolongs it."""
    now = 1000.0
    monkeypatch.setattr("pylitefs.limits.time.monotonic", lambda: now)
    monkeypatch.setattr(limits, "_last_told", now - limits.QUIET_S)
    caplog.set_level(logging.ERROR)
    short = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    for step in (0, limits.QUIET_S - 1, limits.QUIET_S - 1):
        now += step
        assert limits.note(short)
    assert len(caplog.records) == 1
    now += limits.QUIET_S
    assert limits.note(short) and len(caplog.records) == 2
    assert not limits.note(OSError(errno.ENOENT, "")) and len(caplog.records) == 2


def test_the_limit_and_the_remedy_are_named() -> None:
    own = limits.explain(OSError(errno.EMFILE, ""))
    assert f"of this process is {limits.open_files_limit()}" in own and "ulimit -Hn" in own
    assert "sysctl fs.file-max" in limits.explain(OSError(errno.ENFILE, ""))


FAULTS = """
import resource, sys
from pylitefs import limits
if sys.argv[1] == "kept":
    limits.keep_buffers()
def work():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(200):
        buffers = [bytearray(b"x") * 300_000 for _ in range(3)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
work()
print(work())
"""


def test_memory_of_buffers_is_not_fetched_anew_each_time() -> None:
    """600 buffers of 300 KB are 44,000 pages; kept ones cost the kernel nothing."""

    def faults(how: str) -> int:
        done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
        return int(done.stdout)

    print(faults("as it is"), faults("kept"))
    assert faults("kept") < 5000
