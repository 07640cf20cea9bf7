"""Whether processes are still is seen in the kernel's counts, not guessed from silence."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator

import pytest

from pylitefs.lecture.live.stillness import APART_S, Process, children, look

PROGRAM = """
import sys, time
for line in sys.stdin:
    end = time.monotonic() + float(line)
    while time.monotonic() < end:
        pass
    print("through", flush=True)
"""


def is_still(processes: Iterable[Process], apart: float = APART_S) -> bool:
    """Whether nothing happened in these processes for `apart` seconds, nor is about to."""
    processes = tuple(processes)
    before = look(processes)
    if before is None:
        return False
    time.sleep(apart)
    return look(processes) == before


@pytest.fixture
def worker() -> Iterator["subprocess.Popen[str]"]:
    """A process that works for as many seconds as it is told to, and waits in between."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as one:
        yield one
        one.kill()


def test_a_process_that_waits_is_still(
    worker: "subprocess.Popen[str]", eventually: Callable[..., None]
) -> None:
    eventually(lambda: is_still([Process(worker.pid)]), "it has started and waits")


def test_a_process_that_works_is_not(
    worker: "subprocess.Popen[str]", eventually: Callable[..., None]
) -> None:
    eventually(lambda: is_still([Process(worker.pid)]))
    assert worker.stdin and worker.stdout
    worker.stdin.write("1\n")
    for _ in range(5):
        assert not is_still([Process(worker.pid)])
    assert worker.stdout.readline() == "through\n"
    eventually(lambda: is_still([Process(worker.pid)]))


def test_work_between_two_looks_is_seen(
    worker: "subprocess.Popen[str]", eventually: Callable[..., None]
) -> None:
    eventually(lambda: is_still([Process(worker.pid)]))
    before = look([Process(worker.pid)])
    assert before and worker.stdin and worker.stdout
    worker.stdin.write("0\n")
    assert worker.stdout.readline() == "through\n"
    eventually(lambda: look([Process(worker.pid)]) is not None)
    assert look([Process(worker.pid)]) != before


def test_a_process_that_is_gone_is_still() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as one:
        pass
    assert is_still([Process(one.pid)]) and children(one.pid) == []


def test_children_are_found(worker: "subprocess.Popen[str]") -> None:
    assert worker.pid in children(os.getpid())
