"""No decoder ends in anything but a result or a named error, whatever bytes it is given."""

import random
import subprocess
import sys

import pytest

from tests.fuzz.__main__ import FOUND
from tests.fuzz.mutating import mutated
from tests.fuzz.samples import ROOT
from tests.fuzz.targets import TARGETS, shown

NAMES = sorted(TARGETS)
#: A node reads LiteFS 0.5's format alone; the samples have the others, too.
READS_NOT_ALL = {"ltx-v1"}
SECONDS = 60


@pytest.mark.parametrize("name", NAMES)
def test_what_real_programs_wrote_is_read(name: str) -> None:
    target = TARGETS[name]
    read = [target.run(sample) for sample in target.samples()]
    assert any(read) if name in READS_NOT_ALL else all(read)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_a_little_wrong_is_read_or_refused(name: str) -> None:
    """300 changes of the samples, the same in each run."""
    target, chance = TARGETS[name], random.Random(name)
    for _ in range(300):
        data = mutated(target.samples(), chance)
        try:
            target.run(data)
        except Exception as error:
            raise AssertionError(f"{name} of {shown(data)}: {error!r}") from error


def test_what_a_fuzzer_found_once_is_not_found_again() -> None:
    """Each file is named after its decoder; git has it since the day it was found."""
    for path in FOUND.glob("*-*"):
        name = path.name.rpartition("-")[0]
        if name in TARGETS:
            TARGETS[name].run(path.read_bytes())


@pytest.mark.full
@pytest.mark.timeout(SECONDS * 4)
@pytest.mark.parametrize("name", NAMES)
def test_a_fuzzer_finds_nothing_in_a_minute(name: str) -> None:
    """Guided by the lines that are run. Needs `pip install -e '.[fuzz]'`."""
    command = [sys.executable, "-m", "tests.fuzz", name, "--seconds", str(SECONDS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
