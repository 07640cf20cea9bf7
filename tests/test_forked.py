"""A forked program cannot tell itself from one that was started."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import forked

LOOK = """
import json, os, sys, signal
fds = {fd: os.path.exists(f"/proc/self/fd/{fd}") for fd in range(3, 60)}
print(json.dumps({
    "argv": sys.argv[1:], "name": __name__, "cwd": os.getcwd(), "environment": dict(os.environ),
    "fds": [fd for fd, there in fds.items() if there],
    "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
}), flush=True)
print("typed:", sys.stdin.read(), flush=True)
print("an error", file=sys.stderr)
sys.exit(3)
"""


@pytest.mark.parametrize("how", ["text", "file"])
def test_a_fork_is_as_a_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Arguments, directory, environment, descriptors, signals, both outputs and the exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASKED", "yes")
    forked.shared()
    monkeypatch.delenv("PATH")
    (tmp_path / "look.py").write_text(LOOK)
    command = ["-c", LOOK, "a", "b"] if how == "text" else ["look.py", "a", "b"]
    fork = forked.python(*command, stderr=True)
    assert fork.stderr
    found = json.loads(fork.stdout.readline())
    fork.stdin.write("Hello")
    rest = fork.end(), fork.stderr.read(), fork.returncode
    fork.stderr.close()
    done = subprocess.run([sys.executable, *command], input="Hello", capture_output=True, text=True)
    first, line = done.stdout.splitlines()
    expected = json.loads(first)
    for one in (found, expected):
        for name in ("LC_CTYPE", "COLUMNS", "LINES"):  # Python and readline set them for those they start.
            one["environment"].pop(name, None)
    assert found == expected and found["environment"]["ASKED"] == "yes"
    assert rest == (f"{line}\n", done.stderr, done.returncode)


def test_a_module_is_run_by_its_name() -> None:
    client = forked.python("-m", "tests.cluster.client", ":memory:", '{"role": "shell"}')
    assert client.stdout.readline() == '{"ready": true}\n'
    client.stdin.write('{"do": "sql", "sql": ["SELECT 1"]}\n')
    assert client.stdout.readline() == '{"rows": [[1]]}\n'
    client.stdin.close()
    assert client.wait(10) == 0
    client.stdout.close()


def test_a_fork_ends_with_its_nursery(eventually: Callable[..., None]) -> None:
    """As its input does, when the test's process is gone."""
    script = (
        "from tests import forked\n"
        "one = forked.python('-c', 'import sys; sys.stdin.read()')\n"
        "print(one.pid, forked.shared().pid, flush=True)\n"
        "import os; os._exit(0)\n"
    )
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=root, env=dict(os.environ)
    )
    pids = done.stdout.split()
    assert len(pids) == 2, done.stderr
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "both have ended")
