"""The house's floors: a module imports from its own floor and the floors below, and never in a circle."""

import ast
from fnmatch import fnmatch

import pytest

from tests.house import (
    ALSO,
    FLOORS,
    INSIDE,
    PAGE,
    ROOT,
    circle,
    drawn_in_docs,
    folder,
    graph,
    imports,
    modules,
    picture,
)

#: Bytes and values in, bytes and values out: no I/O, threads, clocks or sockets.
PURE = ("sqlite/*.py", "replication/frames.py", "replication/catchup.py")
IMPURE_MODULES = {
    "asyncio",
    "fcntl",
    "httpx",
    "pathlib",
    "select",
    "socket",
    "subprocess",
    "tempfile",
    "threading",
    "time",
}

MODULES = modules()


def floor(name: str) -> int:
    for number, rooms in enumerate(FLOORS):
        if name in rooms:
            return number
    raise AssertionError(
        f"pylitefs/{name} has no floor: add it to FLOORS in tests/house.py and to {PAGE.name}"
    )


def test_a_module_imports_nothing_from_above() -> None:
    wrong = []
    for path in MODULES:
        own = floor(path.partition("/")[0].removesuffix(".py")) if path != "__init__.py" else len(FLOORS)
        for line, name in imports(path):
            package, _, inside = name.partition(".")
            room = inside.partition(".")[0]
            if package == "pylitefs" and room and not room.startswith("__") and floor(room) > own:
                wrong.append(f"pylitefs/{path}:{line} imports {name} from a floor above its own")
    assert not wrong


def test_no_files_import_each_other_in_a_circle() -> None:
    """Imports under TYPE_CHECKING, and inside functions, count too: a reader has to follow them as well."""
    assert not circle(), " imports ".join(circle())


def test_a_folder_inside_a_floor_keeps_to_what_it_may_know() -> None:
    """So nothing that shows a lecture knows a live node, and a lesson's language knows nothing of either."""
    wrong = []
    for path in MODULES:
        own = folder(path)
        allowed = INSIDE.get(own, set()) | ALSO.get(path, set())
        for other in graph()[path] if own in INSIDE else ():
            same_floor = other.partition("/")[0] == own.partition("/")[0] and folder(other) != own
            if same_floor and not {other, folder(other)} & allowed:
                wrong.append(f"pylitefs/{path} imports {other}: see INSIDE in tests/house.py")
    assert not wrong


def test_the_picture_in_the_docs_is_the_code_s() -> None:
    assert drawn_in_docs() == picture(), f"{PAGE.name} is stale: draw it anew with `python -m tests.house`"


def test_only_a_node_has_the_applier() -> None:
    """All others reach it by the store's own words for it (store/applying.py)."""
    outside = {path for path in MODULES if not path.startswith("mount/applier/")}
    users = {path for path in outside if any(one.startswith("mount/applier/") for one in graph()[path])}
    assert users == {"node.py"}


def test_only_the_mount_knows_fuse() -> None:
    """And what it is mounted with."""
    knows = {
        path
        for path in MODULES
        if {name for _, name in imports(path) if name.partition(".")[0] in {"fuse", "mfusepy"}}
    }
    assert not {path for path in knows if not path.startswith("mount/")}


@pytest.mark.parametrize("path", [path for path in MODULES if any(fnmatch(path, glob) for glob in PURE)])
def test_the_formats_and_the_protocol_do_no_io(path: str) -> None:
    assert not {name for _, name in imports(path) if name.partition(".")[0] in IMPURE_MODULES}
    calls = {
        node.attr
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
    }
    assert calls <= {"fsdecode", "fsencode"}, "of os, only the names' encoding is no I/O"


def test_a_module_opens_by_saying_what_it_is_for() -> None:
    full = [path for path in MODULES if (ROOT / path).stat().st_size]
    assert not [path for path in full if not ast.get_docstring(ast.parse((ROOT / path).read_text()))]


MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 60


def test_a_module_and_its_functions_are_short_enough_to_be_shown() -> None:
    """What is longer is asking to be two."""
    long = []
    for path in MODULES:
        source = (ROOT / path).read_text(encoding="utf-8")
        if (lines := len(source.splitlines())) > MOST_LINES:
            long.append(f"pylitefs/{path} has {lines} lines")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > MOST_LINES_OF_A_FUNCTION:
                    long.append(f"pylitefs/{path}: {node.name} has {lines} lines")
    assert not long
