"""The house as its own imports draw it: who imports whom, on which floor each stands, and the picture.

    python -m tests.house            writes the picture in docs/architecture.md anew

The rule: nothing is said here that the code does not say. `FLOORS` and `INSIDE` are what is allowed;
tests/test_layers.py compares the code with them, and the picture in the docs with the code.
"""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pylitefs

ROOT = Path(pylitefs.__file__).parent
PAGE = ROOT.parent / "docs" / "architecture.md"

#: From the ground up. A name is a module or a folder of the package.
FLOORS = (
    {
        "trace",
        "errors",
        "limits",
        "sample",
        "child_python",
        "signals",
        "shown",
        "numeric",
        "portable",
        "config",
        "control",
    },
    {"sqlite"},
    {"ltx"},
    {"rows"},
    {"store"},
    {"mount", "vfs"},
    {"lease"},
    {"replication", "backup"},
    {"http"},
    {"parts"},
    {"node", "embedded", "application", "cluster", "doctor", "roles"},
    {"compare", "lecture"},
    {"cli", "__main__"},
)

#: What a folder inside a floor may import of that floor: folders, or single modules.
INSIDE: Mapping[str, set[str]] = {
    "lecture": {"lecture/language"},
    "lecture/language": set(),
    "lecture/anatomy": {"lecture/model.py"},
    "lecture/history": {"lecture/model.py", "lecture/invariants.py", "lecture/anatomy"},
    "lecture/live": {"lecture/model.py", "lecture/looking.py", "lecture/history", "lecture/language"},
    "lecture/show": {
        "lecture/model.py",
        "lecture/recording.py",
        "lecture/looking.py",
        "lecture/language/verbs.py",
        "lecture/language/look.py",
    },
    "mount": set(),
    "mount/applier": {"mount"},
    "mount/observed": {"mount"},
}
#: Modules that may import more than their folder: a legend names all that the others can show.
ALSO: Mapping[str, set[str]] = {
    "lecture/show/layouts.py": {"lecture/anatomy", "lecture/history/sentences.py"}
}

#: Folders that the picture shows as a part of the one around them: each imports the other.
_TOGETHER = {"compare/bench": "compare"}
_BEGIN, _END = "<!-- the house, by `python -m tests.house` -->\n", "<!-- end of the house -->\n"
_EVERYWHERE = {
    "child_python.py",
    "errors.py",
    "limits.py",
    "numeric.py",
    "portable.py",
    "sample.py",
    "shown.py",
    "signals.py",
    "trace.py",
}
"""Not in the picture: they import nothing, and everybody may import them."""


@cache
def modules() -> tuple[str, ...]:
    """Every file of the package, as a path in it."""
    return tuple(sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py")))


def imports(path: str) -> Iterator[tuple[int, str]]:
    """Every module that the file imports, anywhere in it: line and dotted name."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import hides its floor"
            assert node.module is not None
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [name for name in inside if _file(name)]
            yield from ((node.lineno, name) for name in found)
            if len(found) < len(inside) or not found:
                yield node.lineno, node.module


def _file(name: str) -> str | None:
    """The file of a dotted name of the package; None if it is none."""
    package, _, inside = name.partition(".")
    place = inside.replace(".", "/")
    known = set(modules())
    candidates = [f"{place}.py", f"{place}/__init__.py"] if place else ["__init__.py"]
    return next((one for one in candidates if package == "pylitefs" and one in known), None)


@cache
def graph() -> Mapping[str, frozenset[str]]:
    """Each file and the files that it imports, under TYPE_CHECKING and inside functions too."""
    return {
        path: frozenset(found for _, name in imports(path) if (found := _file(name)) and found != path)
        for path in modules()
    }


def circle() -> list[str]:
    """Files that import each other in a circle, in its order; [] if there is none."""
    left = dict(graph())
    while done := [path for path, needed in left.items() if not needed & left.keys()]:
        for path in done:
            del left[path]
    way: list[str] = []
    at = min(left, default="")
    while at and at not in way:
        way.append(at)
        at = min(left[at] & left.keys())
    return [*way[way.index(at) :], at] if at else []


def folder(path: str) -> str:
    """The folder of a file; a file at the root is a room of its own."""
    return path.rpartition("/")[0] or path


def rooms() -> dict[str, set[str]]:
    """The picture's rooms, and which of them each imports."""
    found: dict[str, set[str]] = {}
    for path, needed in graph().items():
        own = _room(path)
        if own is not None:
            others = found.setdefault(own, set())
            others |= {room for one in needed if (room := _room(one)) and room != own}
    return found


def _room(path: str) -> str | None:
    own = _TOGETHER.get(folder(path), folder(path))
    return None if own in _EVERYWHERE or own.startswith("__") else own


def picture() -> str:
    """Every room with those that it imports: a line a room, from the roof down."""
    drawn = rooms()
    order: list[str] = []
    while len(order) < len(drawn):
        above = {needed for room in drawn if room not in order for needed in drawn[room]}
        free = [room for room in drawn if room not in order and room not in above]
        # The highest floor first; of one floor, what imports most.
        order.append(max(free, key=lambda room: (_floor(room), len(drawn[room]), room)))
    width = max(map(len, order))
    lines = [f"{'':{width}}  {' '.join(f'{number:2}' for number in range(1, len(order) + 1))}"]
    for number, room in enumerate(order, 1):
        row = [
            f"{number:2}" if one == room else " ●" if one in drawn[room] else " ·" if at >= number else "  "
            for at, one in enumerate(order, 1)
        ]
        lines.append(f"{room:{width}}  {' '.join(row)}".rstrip())
    return "```text\n" + "\n".join(lines) + "\n```\n"


def _floor(room: str) -> int:
    name = room.partition("/")[0].removesuffix(".py")
    return next(number for number, names in enumerate(FLOORS) if name in names)


def drawn_in_docs() -> str:
    """The picture as docs/architecture.md has it."""
    return PAGE.read_text().partition(_BEGIN)[2].partition(_END)[0]


def main() -> None:
    text = PAGE.read_text()
    before, mark, rest = text.partition(_BEGIN)
    assert mark, f"{PAGE} has no line {_BEGIN.strip()}"
    PAGE.write_text(before + mark + picture() + _END + rest.partition(_END)[2])


if __name__ == "__main__":
    main()
