"""What the docs and the modules' opening words name is there: modules, files, programs, options, attributes.

So no name leads a reader nowhere, and no module of the store is without a line.
"""

import ast
import importlib.util
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache

import click
import pytest

from pylitefs.cli.main import cli
from tests.house import FLOORS, PAGE, modules
from tests.house import ROOT as PACKAGE

ROOT = PACKAGE.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

#: Names that are of another program, or made up for an example.
NOT_OURS = {"Node.js", "mine.md", "./x.js", "app/server.js", "mnt/install.sh"}


@cache
def files() -> tuple[str, ...]:
    """Every file that a text may name, as a path from the repository's root."""
    folders = ("pylitefs", "tests", "docs", "demo")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    return tuple(f"/{path.relative_to(ROOT).as_posix()}" for path in found)


def texts() -> Iterator[tuple[str, str]]:
    """Each page of the docs, and each module's docstring, with where it is."""
    for page in PAGES:
        yield page.relative_to(ROOT).as_posix(), page.read_text()
    for path in modules():
        yield f"pylitefs/{path}", ast.get_docstring(ast.parse((PACKAGE / path).read_text())) or ""


def rows(heading: str) -> list[list[str]]:
    """The names in backticks in the first column of the first table after `heading` in architecture.md."""
    table = PAGE.read_text().partition(heading)[2].partition("\n\n| ")[2].partition("\n\n")[0]
    return [re.findall(r"`([^`]+)`", line.split(" | ")[0]) for line in table.splitlines()[2:]]


def test_each_module_of_the_store_stands_once_in_its_table() -> None:
    """A row may name several by a pattern, such as `recovery_*.py`."""
    named = [name for row in rows("`store/` in turn") for name in row]
    assert named, f"{PAGE.name} has no table of the store"
    for path in sorted(one.name for one in (PACKAGE / "store").glob("*.py") if one.stem != "__init__"):
        hits = [name for name in named if fnmatch(path, name)]
        assert len(hits) == 1, f"{PAGE.name}: store/{path} stands in {len(hits)} rows"
    for name in named:
        assert any(fnmatch(one, f"store/{name}") for one in modules()), f"{PAGE.name}: store/{name} is gone"


def test_each_floor_of_the_house_stands_once_in_its_table() -> None:
    """FLOORS in tests/house.py and the table at the top of architecture.md name the same rooms."""
    named = [name.rstrip("/").removesuffix(".py") for row in rows("## The house") for name in row]
    # No line of their own: how the command starts, and the demo's data.
    wanted = set().union(*FLOORS) - {"__main__", "sample"}
    assert sorted(named) == sorted(wanted)


def test_every_file_that_is_named_is_there() -> None:
    """A path may begin in any folder around it, as `live/session.py` does."""
    for where, text in texts():
        for name in re.findall(
            r"(?:[\w.]+/)*\w[\w.-]*\.(?:py|js|md|yaml|sh)\b", re.sub(r"https?://\S+", "", text)
        ):
            if name not in NOT_OURS and not name.startswith(("/", "tmp/")):
                inside = re.sub(r"^(?:\.\.?/)+", "", name)
                found = any(path.endswith(f"/{inside}") for path in (*files(), "/README.md"))
                assert found, f"{where}: {name}"


@pytest.mark.parametrize("folder", ["tests", "demo", "docs"])
def test_every_folder_of_ours_that_is_named_is_there(folder: str) -> None:
    """With what a command line says after it: `tests/run tests/store`, `tests/golden/`."""
    for where, text in texts():
        for name in re.findall(rf"(?<![\w/.-]){folder}/[\w./-]*\w", text):
            assert (ROOT / name).exists() or list(ROOT.glob(f"{name}.*")), f"{where}: {name}"


def test_every_program_that_gives_a_figure_is_there() -> None:
    """`python -m …` in a text names a module that can be run; pytest's paths are held above."""
    for where, text in texts():
        for name in re.findall(r"python3? -m ([\w.]+)", text):
            assert importlib.util.find_spec(name.rstrip(".")) is not None, f"{where}: python -m {name}"


def test_every_option_in_a_command_line_of_the_docs_is_there() -> None:
    """`pylitefs compare --bench --measure import` and the like: each option is the command's own."""
    for page in PAGES:
        for name, rest in re.findall(r"\bpylitefs ([a-z]+)((?: [^`|#\n]*)?)", page.read_text()):
            command = cli.get_command(click.Context(cli), name)
            if command is None:
                continue  # "pylitefs keeps them" is no command: tests/test_docs.py has those in backticks.
            known = {
                option for one in _all(command) for p in one.params for option in (*p.opts, *p.secondary_opts)
            } | {"--help"}
            for option in re.findall(r"(?<=[ \[])--?[a-z][\w.-]*", rest):
                # LiteFS's options have one dash, as Go's do.
                assert option in known or f"-{option}" in known, f"{page.name}: pylitefs {name} {option}"


def _all(command: click.Command) -> list[click.Command]:
    return [command, *(command.commands.values() if isinstance(command, click.Group) else ())]


def test_every_attribute_of_a_class_that_is_named_is_there() -> None:
    """`DatabaseState.advance` in a text is a name that its class's module has."""
    owners: dict[str, str] = {}
    for path in modules():
        source = (PACKAGE / path).read_text()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef):
                owners[node.name] = owners.get(node.name, "") + source
    for where, text in texts():
        for owner, name in re.findall(r"(?<![\w.])([A-Z]\w+)\.([a-z_]\w*)", text):
            if owner in owners and name not in ("js", "py"):
                assert re.search(rf"\b{name}\b", owners[owner]), f"{where}: {owner} has no {name}"
