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


@pytest.mark.parametrize("path", [path for path in MODULES if path != "__init__.py"])
def test_a_module_imports_nothing_from_above(path: str) -> None:
    own = floor(path.partition("/")[0].removesuffix(".py"))
    for line, name in imports(path):
        package, _, inside = name.partition(".")
        room = inside.partition(".")[0]
        if package == "pylitefs" and room and not room.startswith("__"):
            assert floor(room) <= own, f"pylitefs/{path}:{line} imports {name} from a floor above its own"


def test_no_files_import_each_other_in_a_circle() -> None:
    """Imports under TYPE_CHECKING, and inside functions, count too: a reader has to follow them as well."""
    assert not circle(), " imports ".join(circle())


@pytest.mark.parametrize("path", [path for path in MODULES if folder(path) in INSIDE])
def test_a_folder_inside_a_floor_keeps_to_what_it_may_know(path: str) -> None:
    """So nothing that shows a lecture knows a live node, and a lesson's language knows nothing of either."""
    own = folder(path)
    allowed = INSIDE[own] | ALSO.get(path, set())
    for other in graph()[path]:
        if other.partition("/")[0] == own.partition("/")[0] and folder(other) != own:
            assert {other, folder(other)} & allowed, (
                f"pylitefs/{path} imports {other}: see INSIDE in tests/house.py"
            )


def test_the_picture_in_the_docs_is_the_code_s() -> None:
    assert drawn_in_docs() == picture(), f"{PAGE.name} is stale: draw it anew with `python -m tests.house`"


def test_only_a_node_has_the_applier() -> None:
    """All others reach it by the store's own words for it (store/applying.py)."""
    outside = {path for path in MODULES if not path.startswith("mount/applier/")}
    users = {path for path in outside if any(one.startswith("mount/applier/") for one in graph()[path])}
    assert users == {"node.py"}


@pytest.mark.parametrize("path", MODULES)
def test_only_the_mount_knows_fuse(path: str) -> None:
    if not path.startswith("mount/"):
        assert not {name for _, name in imports(path) if name.partition(".")[0] in {"fuse", "mfusepy"}}


@pytest.mark.parametrize("path", [path for path in MODULES if any(fnmatch(path, glob) for glob in PURE)])
def test_the_formats_and_the_protocol_do_no_io(path: str) -> None:
    assert not {name for _, name in imports(path) if name.partition(".")[0] in IMPURE_MODULES}
    calls = {
        node.attr
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
    }
    assert calls <= {"fsdecode", "fsencode"}, "of os, only the names' encoding is no I/O"


@pytest.mark.parametrize("path", [path for path in MODULES if (ROOT / path).stat().st_size])
def test_a_module_opens_by_saying_what_it_is_for(path: str) -> None:
    assert ast.get_docstring(ast.parse((ROOT / path).read_text())), f"{path} has no opening docstring"


MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 60


@pytest.mark.parametrize("path", MODULES)
def test_a_module_and_its_functions_are_short_enough_to_be_shown(path: str) -> None:
    """What is longer is asking to be two."""
    source = (ROOT / path).read_text(encoding="utf-8")
    assert len(source.splitlines()) <= MOST_LINES, f"pylitefs/{path} is too long: make it two"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= MOST_LINES_OF_A_FUNCTION, f"pylitefs/{path}: {node.name} has {lines} lines"
