"""Each module has its test at the mirrored place (`a/b.py` in `tests/a/test_b.py`), or stands here."""

from tests.house import ROOT, modules

TESTS = ROOT.parent / "tests"

NONE = {"__main__.py": "it only calls cli/main.py"}
"""Modules without a test, and why."""

DIRECTOR = "lecture/live/test_director.py"
ELSEWHERE = {
    "lecture/live/expect.py": (DIRECTOR, "what an expectation looks at is what running nodes and shells say"),
    "lecture/live/faults.py": (
        DIRECTOR,
        "a fault is a cut link, a killed node, a damaged file of a running one",
    ),
    "lecture/live/settling.py": (
        DIRECTOR,
        "whether all is still is asked of the nodes, links and shells together",
    ),
    "lecture/live/shells.py": (DIRECTOR, "they are processes on nodes' mounts, and end with their nodes"),
    "lecture/live/stepping.py": (
        DIRECTOR,
        "a step lets a node's thread go on and waits for all that follows",
    ),
}
"""Modules that another module's test holds, as a part of what it does: that test, and why it is there. The
list only gets shorter: a module that is new, or is worked on, gets a test of its own."""


def mirror(path: str) -> str:
    """Where a module's test stands."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/test_{name}" if folder else f"test_{name}"


def test_a_module_has_its_test() -> None:
    """And an exception that is none any more leaves the lists."""
    wrong = []
    for path in modules():
        excepted = path.endswith("__init__.py") or path in NONE or path in ELSEWHERE
        there = (TESTS / mirror(path)).exists()
        if not there and not excepted:
            wrong.append(f"pylitefs/{path} has no test: write tests/{mirror(path)}")
        if there and (path in NONE or path in ELSEWHERE):
            wrong.append(f"tests/{mirror(path)} is there: take pylitefs/{path} off the lists")
    assert not wrong


def test_what_is_excepted_is_there() -> None:
    assert {*NONE, *ELSEWHERE} <= set(modules())
    for name, why in ELSEWHERE.values():
        assert (TESTS / name).exists() and why, name
