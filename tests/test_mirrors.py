"""Each module has its test at the mirrored place (`a/b.py` in `tests/a/test_b.py`), or stands here."""

import pytest

from tests.house import ROOT, modules

TESTS = ROOT.parent / "tests"

NONE = {"__main__.py": "it only calls cli/main.py"}
"""Modules without a test, and why."""

ELSEWHERE = {
    "cli/lecture_live.py": "cli/test_lecture.py",
    "lecture/live/expect.py": "lecture/live/test_director.py",
    "lecture/live/faults.py": "lecture/live/test_director.py",
    "lecture/live/nodes.py": "lecture/live/test_director.py",
    "lecture/live/scene.py": "lecture/live/test_director.py",
    "lecture/live/settling.py": "lecture/live/test_stillness.py",
    "lecture/live/shells.py": "lecture/live/test_clients.py",
    "lecture/live/stepping.py": "lecture/live/test_director.py",
}
"""Modules that another module's test holds, as a part of what it does. The list only gets shorter: a module
that is new, or is worked on, gets a test of its own."""


def mirror(path: str) -> str:
    """Where a module's test stands."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/test_{name}" if folder else f"test_{name}"


@pytest.mark.parametrize("path", [path for path in modules() if not path.endswith("__init__.py")])
def test_a_module_has_its_test(path: str) -> None:
    """And an exception that is none any more leaves the lists."""
    excepted = path in NONE or path in ELSEWHERE
    there = (TESTS / mirror(path)).exists()
    assert there or excepted, f"pylitefs/{path} has no test: write tests/{mirror(path)}"
    assert not (there and excepted), f"tests/{mirror(path)} is there: take pylitefs/{path} off the lists"


def test_what_is_excepted_is_there() -> None:
    assert {*NONE, *ELSEWHERE} <= set(modules())
    missing = {name for name in ELSEWHERE.values() if not (TESTS / name).exists()}
    assert not missing
