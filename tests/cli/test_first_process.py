"""`pylitefs` as process 1 of a PID namespace, as in a container."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pylitefs.child_python import python, python_module

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a PID namespace takes root")

CONTAINER = ["unshare", "--fork", "--kill-child", "--pid", "--mount-proc"]

#: Leaves three orphans that die, and waits until nothing dead is left. Then it tells process 1 to end.
APPLICATION = """
import os, pathlib, signal, subprocess, sys, time

def dead():
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        found += [stat.parent.name] * (fields[:2] == ["Z", "1"])
    return found

def end(number, frame):
    print(signal.Signals(number).name, flush=True)
    sys.exit(7)

signal.signal(signal.SIGTERM, end)
for _ in range(3):
    reading, writing = os.pipe()
    if os.fork() == 0:
        if os.fork() == 0:
            while os.getppid() != 1:
                time.sleep(0.01)
        os._exit(0)
    os.close(writing)
    os.wait()
    os.read(reading, 1)  # until the orphan has died
deadline = time.monotonic() + 5
while dead() and time.monotonic() < deadline:
    time.sleep(0.01)
print("dead:", *dead(), flush=True)
print("of its own:", subprocess.run(["sh", "-c", "exit 3"]).returncode, flush=True)
os.kill(1, signal.SIGTERM)
time.sleep(20)
"""


@pytest.mark.fuse
def test_orphans_are_buried_and_every_exit_code_is_whose_it_is(tmp_path: Path) -> None:
    """A node's first command ends well, the application leaves orphans; a signal to process 1 reaches it,
    and its exit code is the container's."""
    script = tmp_path / "application.py"
    script.write_text(APPLICATION)
    config = tmp_path / "litefs.yml"
    config.write_text(
        f"fuse: {{dir: {tmp_path}/mnt}}\ndata: {{dir: {tmp_path}/data}}\nhttp: {{addr: '127.0.0.1:0'}}\n"
        f"lease: {{type: static}}\nexec:\n  - cmd: 'true'\n  - cmd: {sys.executable} {script}\n"
    )
    command = [*CONTAINER, *python_module("pylitefs", "mount", "-config", str(config))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "dead:\nof its own: 3\nSIGTERM\n", done.stderr
    assert done.returncode == 7


@pytest.mark.parametrize(("arguments", "code"), [(["version"], 0), (["vershun"], 2)])
def test_a_command_is_what_it_always_is(arguments: list[str], code: int) -> None:
    """Its output and its exit code."""
    both = [
        subprocess.run([*start, *python_module("pylitefs", *arguments)], capture_output=True, check=False)
        for start in ([], CONTAINER)
    ]
    assert both[0].returncode == both[1].returncode == code
    assert (both[0].stdout, both[0].stderr) == (both[1].stdout, both[1].stderr)


def test_a_command_that_a_signal_ends_gives_128_and_its_number() -> None:
    """Also SIGKILL, of which a container is told by nothing else."""
    code = (
        "import os; from pylitefs.cli.first_process import step_aside; step_aside(); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([*CONTAINER, *python("-c", code)], timeout=30, check=False)
    assert done.returncode == 128 + signal.SIGKILL


def test_elsewhere_nothing_is_forked() -> None:
    """A program of its own stays one process."""
    code = "import os; from pylitefs.cli.first_process import step_aside; a = os.getpid(); step_aside(); "
    done = subprocess.run(python("-c", f"{code}print(a == os.getpid())"), capture_output=True, check=True)
    assert done.stdout == b"True\n"
