"""Nothing that lies in the folder one stands in is executed: each command, from a folder with traps."""

import ast
import os
import subprocess
from pathlib import Path

import pytest

import pylitefs
from pylitefs.child_python import python, python_module

ROOT = Path(pylitefs.__file__).resolve().parent.parent
SCRIPT = Path(python()[0]).with_name("pylitefs")
#: Modules of the standard library, and of ours, that a homework may be called like.
TRAPS = ("json", "socket", "subprocess", "click", "sqlite3", "ctypes", "venv", "ensurepip", "random")


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with traps, and with a clone called `pylitefs`: each that is imported leaves its name."""
    folder = tmp_path / "homework"
    (folder / "pylitefs").mkdir(parents=True)
    (folder / "pylitefs" / "README.md").write_text("a clone")
    for name in TRAPS:
        trap = f"open({str(tmp_path / 'sprung')!r}, 'a').write({name + ' '!r})\nraise SystemExit('sprung')\n"
        (folder / f"{name}.py").write_text(trap)
    return folder


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {
        key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "PYTHONSAFEPATH"}
    }
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=100, env=environment, input=""
    )
    assert not (folder.parent / "sprung").exists(), (folder.parent / "sprung").read_text()
    return done


@pytest.mark.parametrize(
    "arguments",
    [
        ("version",),
        ("lecture", "--list"),
        ("compare", "--list"),
        ("demo", "--help"),
        ("mount", "--help"),
        ("status", "--url", "http://127.0.0.1:1"),
        ("ltx", "--help"),
    ],
    ids=" ".join,
)
def test_a_command_imports_installed_code_alone(hostile: Path, arguments: tuple[str, ...]) -> None:
    for program in ([str(SCRIPT)], python_module("pylitefs")):
        done = run(hostile, *program, *arguments)
        assert "bug in pylitefs" not in done.stderr and done.returncode == (arguments[0] == "status"), (
            done.stderr
        )


@pytest.mark.fuse
def test_a_lecture_and_what_it_starts_import_installed_code_alone(hostile: Path) -> None:
    """The trial mount, the nursery, nodes, appliers and shells, as typed in the folder above a clone."""
    done = run(hostile, str(SCRIPT), "lecture", "ltx-file", "--headless")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.fuse
def test_a_comparison_s_programs_import_installed_code_alone(hostile: Path) -> None:
    """Nodes, clients and commands of both sides; pylitefs itself is the other program."""
    more = ("--litefs", str(SCRIPT), "--dir", str(hostile.parent / "work"))
    listed = run(hostile, str(SCRIPT), "compare", "--list").stdout.split()
    done = run(hostile, str(SCRIPT), "compare", listed[0], *more)
    assert done.returncode == 0, done.stdout + done.stderr


def test_setting_up_imports_installed_code_alone(hostile: Path) -> None:
    """demo/setup.sh asks Python what is missing, from wherever it was called."""
    script = f"root={ROOT}; . {ROOT}/demo/setup.sh; find_python; find_missing_packages"
    done = run(hostile, "bash", "-euo", "pipefail", "-c", script)
    assert done.returncode == 0, done.stderr


def test_every_python_of_ours_is_started_by_one_function() -> None:
    """No other place writes `-m` beside a module of ours, or `sys.executable` without `-P` or `-I`."""
    for path in (ROOT / "pylitefs").rglob("*.py"):
        if path.name == "child_python.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.List | ast.Tuple):
                words = [ast.unparse(one) for one in node.elts]
                assert "sys.executable" not in words or "'-I'" in words, f"{path}:{node.lineno}"
                assert "'-m'" not in words, f"{path}:{node.lineno}: use child_python.python_module"
    for path in (ROOT / "tests").rglob("*.py"):
        if path != Path(__file__).resolve():
            assert '"-m", "pylitefs' not in path.read_text(), path
