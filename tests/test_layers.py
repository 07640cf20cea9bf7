"""The house's floors: a module imports from its own floor and the floors below, never upwards."""

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

import pylitefs

ROOT = Path(pylitefs.__file__).parent

#: From the ground up. A name is a module or a folder of the package.
FLOORS = (
    {
        *("trace", "errors", "config", "config_expand", "config_model", "config_yaml", "sample"),
        *("control", "control_node", "control_events", "application", "limits"),
    },
    {"sqlite"},
    {"ltx"},
    {"store"},
    {"mount"},
    {"lease"},
    {"replication"},
    {"http"},
    {"node", "cluster", "nursery", "ending"},
    {"compare", "lecture"},
    {"cli", "__main__"},
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

MODULES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))


def imports(path: str) -> Iterator[tuple[int, str]]:
    """Every module that the file imports, anywhere in it: line and dotted name."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import hides its floor"
            assert node.module is not None
            yield node.lineno, node.module
            if node.module == "pylitefs":
                yield from ((node.lineno, f"pylitefs.{alias.name}") for alias in node.names)


def floor(name: str) -> int:
    for number, rooms in enumerate(FLOORS):
        if name in rooms:
            return number
    raise AssertionError(f"pylitefs/{name} has no floor: add it to FLOORS and to docs/architecture.md")


@pytest.mark.parametrize("path", [path for path in MODULES if path != "__init__.py"])
def test_a_module_imports_nothing_from_above(path: str) -> None:
    own = floor(path.partition("/")[0].removesuffix(".py"))
    for line, name in imports(path):
        package, _, inside = name.partition(".")
        room = inside.partition(".")[0]
        if package == "pylitefs" and room and not room.startswith("__"):
            assert floor(room) <= own, f"pylitefs/{path}:{line} imports {name} from a floor above its own"


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
