"""NumPy comes without threads of its own, and its variable does not stay."""

import os
import resource
import subprocess
import sys

import pytest

PROGRAM = """
import os
{load}
print(len(os.listdir("/proc/self/task")), os.environ.get("OPENBLAS_NUM_THREADS"))
"""


def loaded(load: str, **environment: str) -> list[str]:
    clean = {key: value for key, value in os.environ.items() if key != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(load=load)],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_it_starts_no_threads_and_leaves_the_environment_alone() -> None:
    assert loaded("from pylitefs.numeric import np") == ["1", "None"]
    for load in ("from pylitefs.numeric import np", "import numpy"):
        before = children_s()
        loaded(load)
        print(f"{load}: {(children_s() - before) * 1000:.0f} ms of processor time")


@pytest.mark.parametrize(
    "load",
    [
        "import pylitefs.store.store",
        "from pylitefs.sqlite.wal import wal_checksum; wal_checksum(bytes(512), 0, 0, False)",
        "import pylitefs.node",
    ],
)
def test_whoever_needs_it_takes_it_from_there(load: str) -> None:
    assert loaded(load) == ["1", "None"]


def test_who_has_set_the_variable_keeps_it() -> None:
    assert loaded("from pylitefs.numeric import np", OPENBLAS_NUM_THREADS="1")[1] == "1"
