"""demo/setup.sh on machines that lack something, played with stand-ins for apt-get, sudo and Python."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder that comes first in PATH; the programs in it write down how they were called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def program(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f'#!/bin/bash\necho "{name} $*" >>"{folder}/calls"\n{body}\n')
    path.chmod(0o755)


def bash(folder: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `script` after setup.sh; `here_lacks A B` makes packages missing until apt-get has run."""
    lacks = (
        "here_lacks() { lacking=($@); }; "
        "find_missing_packages() { missing=(); "
        f'[ -e "{folder}/installed" ] || missing=("${{lacking[@]}}"); }}; '
    )
    whole = f"root={ROOT}; . {ROOT}/demo/setup.sh; {lacks} {script}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", whole, "demo/up"],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
    )


def calls(folder: Path) -> str:
    path = folder / "calls"
    return path.read_text() if path.exists() else ""


def test_nothing_is_called_where_nothing_is_missing(programs: Path) -> None:
    for name in ("apt-get", "sudo"):
        program(programs, name, "exit 1")
    assert bash(programs, "here_lacks; install_packages").returncode == 0
    assert calls(programs) == ""


def test_root_installs_what_is_missing(programs: Path) -> None:
    program(programs, "id", "echo 0")
    program(programs, "apt-get", f'[ "$1" = update ] || touch "{programs}/installed"')
    assert bash(programs, "here_lacks fuse3 libfuse2; install_packages").returncode == 0
    assert "apt-get update -qq\n" in calls(programs)
    assert "apt-get install -y -qq --no-install-recommends fuse3 libfuse2\n" in calls(programs)


def test_sudo_without_a_password_is_used(programs: Path) -> None:
    program(programs, "id", "echo 1000")
    program(programs, "sudo", 'shift; "$@"')
    program(programs, "apt-get", f'[ "$1" = update ] || touch "{programs}/installed"')
    assert bash(programs, "here_lacks sqlite3; install_packages").returncode == 0
    assert "sudo -n apt-get update -qq\n" in calls(programs)
    assert "apt-get install -y -qq --no-install-recommends sqlite3\n" in calls(programs)


def test_others_are_told_the_one_command(programs: Path) -> None:
    program(programs, "id", "echo 1000")
    program(programs, "sudo", "exit 1")
    program(programs, "apt-get", "exit 1")
    done = bash(programs, "here_lacks python3-venv fuse3; install_packages")
    assert done.returncode == 1
    assert done.stderr == (
        "Missing system packages. Run this once, then demo/up again:\n"
        "  sudo apt-get update && sudo apt-get install -y --no-install-recommends python3-venv fuse3\n"
    )
    assert "apt-get" not in calls(programs)


def test_an_install_that_brought_nothing_is_told(programs: Path) -> None:
    program(programs, "id", "echo 0")
    program(programs, "apt-get", "exit 0")
    done = bash(programs, "here_lacks fuse3; install_packages")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "Still missing after apt-get install: fuse3"


def test_an_old_python_is_told(programs: Path) -> None:
    program(programs, "python3", "exit 1")
    done = bash(programs, "find_python", PYTHON="python3")
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr


@pytest.mark.parametrize(
    ("newer", "no_fuse", "expected"),
    [
        (False, "", "python3-venv libfuse2"),
        (True, "", "python3-venv libfuse2t64"),
        (True, "1", "python3-venv"),
    ],
)
def test_the_packages_are_named_as_the_release_names_them(
    programs: Path, newer: bool, no_fuse: str, expected: str
) -> None:
    """A Python that has neither ensurepip nor libfuse; `fuse`, which would replace fuse3, is never named."""
    program(programs, "python3", "exit 1")
    program(programs, "apt-cache", f"exit {0 if newer else 1}")
    for name in ("sqlite3", "fusermount"):
        program(programs, name, "")
    script = f'. {ROOT}/demo/setup.sh; python=python3; find_missing_packages; echo "${{missing[*]}}"'
    assert bash(programs, script, PYLITEFS_NO_FUSE=no_fuse).stdout == f"{expected}\n"


@pytest.mark.parametrize(("no_browser", "expected"), [("", "chromium libatomic1"), ("1", "")])
def test_the_tests_need_a_browser_and_what_drives_it(
    programs: Path, tmp_path: Path, no_browser: str, expected: str
) -> None:
    """Playwright's own Node.js needs libatomic, which Chromium does not bring on Debian 12."""
    program(programs, "python3", '[[ "$*" != *find_library*atomic ]]')
    for name in ("sqlite3", "nginx"):
        program(programs, name, "")
    script = (
        f'. {ROOT}/demo/setup.sh; python=python3; purpose=test; find_missing_packages; echo "${{missing[*]}}"'
    )
    # Without the folders of this machine, which may have Chromium.
    path = f"PATH={programs}; {script}"
    assert (
        bash(programs, path, PYLITEFS_NO_FUSE="1", PYLITEFS_NO_BROWSER=no_browser).stdout == f"{expected}\n"
    )
