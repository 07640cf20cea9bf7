"""Each probe is one attempt, and its result one word; here on a plain directory, which refuses little."""

import os
from pathlib import Path

import pytest

from pylitefs.compare.probes import PROBES, run_probe
from tests.open_files import open_below


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.db").write_bytes(b"content")
    (tmp_path / "a.db-pos").write_bytes(b"00000000000000ff/8000000000000abc\n")
    (tmp_path / "a.db-lock").write_bytes(b"")
    (tmp_path / ".lag").write_bytes(b"+0000000012")
    return tmp_path


@pytest.mark.parametrize("name", PROBES)
def test_every_probe_ends_with_a_word(name: str, folder: Path) -> None:
    """An answer or an errno's name; never an exception, and nothing stays open."""
    result = run_probe(name, folder, "a.db")
    assert result and "\n" not in result
    assert open_below(folder) == []


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("unlink DB-journal that is not there", "ENOENT"),
        ("mkdir", "ok"),
        ("rmdir a name that is not there", "ENOENT"),
        ("a name of 250 letters", "ok"),
        ("create another database", "ok"),
        ("write DB", "1 byte written"),
        ("F_SETLKW the HALT byte twice", "locked"),
        ("stat DB", "-rw-r--r-- 1"),
        ("read DB-pos", r"34 bytes b'nnnnnnnnnnnnnnnn/nnnnnnnnnnnnnnnn\n'"),
        ("read .lag", "11 bytes b'+nnnnnnnnnn'"),
        ("getxattr DB", "ENODATA"),
    ],
)
def test_a_result_is_what_came_of_it_without_figures_that_change(
    name: str, result: str, folder: Path
) -> None:
    os.chmod(folder / "a.db", 0o644)
    assert run_probe(name, folder, "a.db") == result


def test_what_is_written_is_what_was_there(folder: Path) -> None:
    """So a probe that is not refused changes no database."""
    for name in (
        "write DB",
        "truncate DB to its length",
        "open DB for writing",
        "F_SETLKW two bytes of DB-lock",
    ):
        run_probe(name, folder, "a.db")
    assert (folder / "a.db").read_bytes() == b"content"


def test_the_last_probe_drops_the_database() -> None:
    """So everything before it finds one."""
    assert list(PROBES)[-1] == "unlink DB on this node"
