"""What is imported is a database that SQLite can read, or nothing happens."""

import io
import os
from pathlib import Path

import pytest

from pylitefs.errors import PylitefsError, SqliteFormatError
from pylitefs.store import content, quick_check
from pylitefs.store.store import Store
from tests.store.serving import Served
from tests.store.test_imports import database


def test_a_garbage_schema_page_is_refused_before_anything_is_replaced(
    store: Store, served: Served, tmp_path: Path
) -> None:
    """The header of the first 100 bytes is whole; of a new name nothing is left either."""
    served.connect("a.db").execute("CREATE TABLE t (x)")
    before = store.positions()
    whole = database(tmp_path / "source")
    for name in ("a.db", "new.db"):
        with pytest.raises(
            SqliteFormatError, match=rf"cannot import {name}: .*malformed.*nothing was imported"
        ):
            store.import_database(name, io.BytesIO(whole[:100] + os.urandom(3996) + whole[4096:]))
    assert store.positions() == before and store.names() == ["a.db"]
    assert not list((store.data_dir / "tmp").iterdir())


def stand_in(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program in the check's place."""
    program = folder / "program.py"
    program.write_text(text)
    monkeypatch.setattr(quick_check, "__file__", str(program))


@pytest.mark.parametrize("ends", [False, True])
def test_a_check_without_an_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, ends: bool
) -> None:
    """By its bound, and by the node's end. Its process is gone."""
    stand_in(
        tmp_path,
        f"import os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)",
        monkeypatch,
    )
    monkeypatch.setattr(content, "CHECK_S", 600 if ends else 1)
    path = tmp_path / "a.db"
    database(path)

    def stopping(_: float) -> bool:
        return ends and (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != ""

    said = "this node ends" if ends else "SQLite's check takes over 1 s"
    with pytest.raises(PylitefsError, match=said):
        content.check(path, "a.db", stopping)
    if (tmp_path / "pid").exists():
        assert not Path(f"/proc/{(tmp_path / 'pid').read_text()}").exists()


def test_a_check_that_dies_is_no_consent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As SQLite itself may, over a file that was made for it."""
    stand_in(tmp_path, "import os; os.kill(os.getpid(), 11)", monkeypatch)
    database(tmp_path / "a.db")
    with pytest.raises(SqliteFormatError, match="ended with code -11"):
        content.check(tmp_path / "a.db", "a.db", lambda _: False)


def test_a_check_imports_nothing_from_where_the_node_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is called like a module of Python's, in the working directory or on PYTHONPATH."""
    (tmp_path / "sqlite3.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    database(tmp_path / "a.db")
    content.check(tmp_path / "a.db", "a.db", lambda _: False)
