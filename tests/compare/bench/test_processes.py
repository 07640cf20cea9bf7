"""What a node's processes take: its own and those below, without the guard that only watches."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pylitefs.compare.bench.processes import memory, processor_time, tree


@contextmanager
def child(*arguments: str) -> Iterator[int]:
    """A process that has a word said, and ends with the block."""
    code = "print('up', flush=True); input()"
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"up\n"
        yield process.pid
        process.kill()


def test_a_process_and_all_below_it_are_counted() -> None:
    own = memory(os.getpid())
    assert own > 5, "MiB of a Python with pytest"
    with child() as pid:
        assert tree(pid) == [pid] and pid in tree(os.getpid())
        assert memory(pid) > 1


def test_a_guard_is_not_the_program_s_own() -> None:
    with child("pylitefs.compare.guard") as pid:
        assert memory(pid) == 0


def test_a_process_that_has_ended_takes_nothing() -> None:
    with child() as pid:
        pass
    assert memory(pid) == 0 and tree(pid) == [pid]


def test_processor_time_grows_with_what_is_computed() -> None:
    before = processor_time(os.getpid())
    while processor_time(os.getpid()) < before + 0.05:
        sum(range(10_000))
    with child() as pid:
        pass
    assert processor_time(pid) == 0
