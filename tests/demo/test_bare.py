"""A bare Debian with python3 and nothing else: demo/up and tests/run see to the rest.

Of the tests a part runs that takes two or three minutes, about what differs between releases: SQLite, FUSE,
Python, NGINX and Chromium.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.demo.docker_engine import Engine
from tests.test_docs import commands

ROOT = Path(__file__).resolve().parents[2]
#: In a work tree, but no part of the project.
LEFT_OUT = {".git", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", "build", "dist"}
#: Each with what it must bring: its Python and its SQLite.
RELEASES = {"bookworm": ("3.11", "3.40"), "trixie": ("3.13", "3.46")}
VERSIONS = "import platform, sqlite3; print(platform.python_version(), sqlite3.sqlite_version)"
PART = (
    # What setup.sh has installed: libfuse, NGINX, Chromium.
    "tests/test_programs.py tests/test_setup.py tests/demo/test_front.py "
    "tests/lecture/show/test_replay_html.py "
    # SQLite, on a mount and on what it writes.
    "tests/sqlite tests/sqlite_use tests/store tests/cluster/test_cluster.py "
    "--ignore tests/sqlite_use/test_threads.py --ignore tests/store/test_crash_points.py "
    "--ignore tests/store/test_faults.py "
    # The kernel: mounts, locks, who may.
    "tests/mount/test_libfuse.py tests/mount/test_session.py tests/mount/test_bare_directory.py "
    "tests/mount/test_kernel_locks.py tests/mount/test_ordinary_user.py tests/mount/observed "
    "tests/mount/applier/test_process.py "
    # Python: its processes, threads and sockets, the command line, a lecture on real nodes.
    "tests/test_child_python.py tests/test_forked.py tests/test_trace.py tests/test_application.py "
    "tests/config tests/control tests/http tests/replication/test_http2.py tests/cli "
    "--ignore tests/cli/test_demo.py --ignore tests/cli/test_lecture.py tests/lecture/test_first_commit.py"
)

#: Until the sample's last transaction is told.
START = """
set -m
demo/up --dir ~/pylitefs-demo >/tmp/demo.log 2>&1 </dev/null &
echo $! >/tmp/demo.pid
until grep -q "TXID 0000000000000005" /tmp/demo.log; do
    kill -0 $! 2>/dev/null || { cat /tmp/demo.log; exit 1; }
    sleep 0.1
done
"""
STOP = """
kill -INT -- -$(cat /tmp/demo.pid)
while kill -0 $(cat /tmp/demo.pid) 2>/dev/null; do sleep 0.1; done
! grep ^pylitefs /proc/mounts && [ ! -e ~/pylitefs-demo ]
"""

pytestmark = [pytest.mark.docker, pytest.mark.timeout(2400)]


@dataclass
class Machine:
    """A container that has the project's files; a command in it must end without an error."""

    engine: Engine
    container: str

    def bash(self, script: str, seconds: float = 60) -> str:
        run = ("exec", "--workdir", "/pylitefs", self.container, "bash", "-c", script)
        return self.engine.docker(*run, timeout=seconds).stdout


@pytest.fixture(scope="module", params=RELEASES)
def machine(
    request: pytest.FixtureRequest, docker: Engine, release: Callable[[str], str]
) -> Iterator[Machine]:
    network = ["--network", "host"] if docker.own else []
    rights = ["--device", "/dev/fuse", "--cap-add", "SYS_ADMIN", "--security-opt", "apparmor:unconfined"]
    start = ["run", "--detach", "--init", "--workdir", "/pylitefs", *network, *rights]
    container = docker.docker(*start, release(request.param), "sleep", "infinity").stdout.strip()
    try:
        for path in sorted(ROOT.iterdir()):
            if path.name not in LEFT_OUT and path.suffix != ".egg-info":
                docker.docker("cp", str(path), f"{container}:/pylitefs/{path.name}")
        made = Machine(docker, container)
        made.bash("apt-get update -qq && apt-get install -y -qq --no-install-recommends python3", 300)
        python, sqlite = RELEASES[request.param]
        found = made.bash(f"python3 -c '{VERSIONS}'").split()
        assert found[0].startswith(f"{python}.") and found[1].startswith(f"{sqlite}.")
        yield made
    finally:
        docker.docker("rm", "--force", "--volumes", container)


def test_the_demo_is_all_that_the_tour_needs(machine: Machine) -> None:
    """Every command of the README in its order; Ctrl-C then leaves no process and no mount.

    They are as written, but for the first node's port: another demo of this machine may have the usual one.
    """
    machine.bash(START, 300)
    written = [line for line in commands(ROOT / "README.md") if not line.startswith(("demo/", "tests/"))]
    assert len(written) > 8
    url = json.loads(machine.bash("cat ~/pylitefs-demo/cluster.json"))["nodes"][0]["url"]
    tour = [re.sub(r"pylitefs (export|import) ", rf"pylitefs \1 -url {url} ", line) for line in written]
    machine.bash("\n".join(["set -ex", *tour]), 120)
    machine.bash(STOP)


def test_a_part_of_the_tests_passes(machine: Machine) -> None:
    """With ruff and mypy: `tests/run` says 1 if these find something."""
    machine.bash(f"tests/run {PART}", 1800)
