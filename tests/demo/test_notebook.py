"""The notebook, and the Python in docs/vfs.md: each cell runs, in order, and says what it is shown to say."""

import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "demo/notebook.ipynb"


def cells() -> list[dict[str, Any]]:
    made: dict[str, Any] = json.loads(NOTEBOOK.read_text())
    assert (made["nbformat"], made["nbformat_minor"]) == (4, 5)
    return [cell for cell in made["cells"] if cell["cell_type"] == "code"]


def shape(text: str) -> str:
    """What is the same in each run: no checksums, times, places, ports, nor what is counted in bytes."""
    text = re.sub(r"/[^\s:,]*/pylitefs-notebook[\w-]*", "FOLDER", text)
    text = re.sub(r"\b[0-9a-fA-F]{16}\b", "HEX", text)
    text = re.sub(r"(?m)^ +\d+ +(?:[0-9a-f]{2} )+ *", "", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z|127\.0\.0\.1:\d+|\d+ bytes", "…", text)
    return text.strip()


@pytest.fixture(autouse=True)
def _log() -> Iterator[None]:
    """The notebook's program has a log of its own."""
    log = logging.getLogger("pylitefs")
    level = log.level
    yield
    log.setLevel(level)


def test_the_notebook_runs_and_says_what_it_shows() -> None:
    """A primary and a replica, a commit, its LTX file, a broken replica and the reason; without Jupyter."""
    names: dict[str, object] = {"__name__": "__main__"}
    for cell in cells():
        said = io.StringIO()
        with redirect_stdout(said):
            exec(compile("".join(cell["source"]), f"{NOTEBOOK.name} {cell['id']}", "exec"), names)
        shown = "".join("".join(output["text"]) for output in cell["outputs"])
        assert shape(said.getvalue()) == shape(shown), cell["id"]


def test_the_python_of_the_docs_runs(tmp_path: Path) -> None:
    text = (ROOT / "docs/vfs.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "docs/vfs.md", "exec"), {"folder": tmp_path})
