"""Super-journals: where they lie, that their unlink is durable, and when recovery may remove them."""

import io
import sqlite3
from pathlib import Path

import pytest

from pylitefs.errors import InvalidNameError
from pylitefs.store import super_journals
from pylitefs.store.store import Store
from tests.store.serving import Served

NAME = "a.db-mj0123456AB"


@pytest.fixture
def lying(tmp_path: Path) -> Path:
    path = super_journals.path_of(tmp_path, NAME)
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_it_lies_beside_the_database_it_is_named_after(tmp_path: Path) -> None:
    assert super_journals.path_of(tmp_path, NAME) == tmp_path / "dbs" / "a.db" / "mj0123456AB"
    for name in ("a.db", "a.db-journal", "a.db-mj", "../a.db-mj0123456AB"):
        with pytest.raises(InvalidNameError):
            super_journals.path_of(tmp_path, name)


def test_its_unlink_is_durable_before_sqlite_goes_on(
    lying: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the commit point of several databases."""
    synced: list[tuple[Path, bool]] = []
    monkeypatch.setattr(super_journals, "sync_directory", lambda path: synced.append((path, lying.exists())))
    super_journals.remove(tmp_path, NAME)
    assert synced == [(lying.parent, False)]
    with pytest.raises(FileNotFoundError):
        super_journals.remove(tmp_path, NAME)


def test_the_names_of_what_it_commits_are_durable_before_it_goes(
    store: Store, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite has synced the files. An import has given one its name by a rename, and that may still be lost:
    then the transaction would be in the other database alone."""
    db = served.connect("a.db", "page_size=1024")
    db.execute("CREATE TABLE t (x)")
    new = sqlite3.connect(tmp_path / "new.db")
    new.execute("CREATE TABLE t (x)")
    new.close()
    content = (tmp_path / "new.db").read_bytes()
    store.import_database("b.db", io.BytesIO(content), len(content))
    db.execute("ATTACH ? AS b", (served.uri("b.db"),))
    synced: list[tuple[str, bool]] = []

    def sync(directory: Path) -> None:
        synced.append((directory.name, any((store.data_dir / "dbs" / "a.db").glob("mj*"))))

    monkeypatch.setattr(super_journals, "sync_directory", sync)
    for statement in ("BEGIN", "INSERT INTO main.t VALUES (1)", "INSERT INTO b.t VALUES (1)", "COMMIT"):
        db.execute(statement)
    assert sorted(synced[:-1]) == [("a.db", True), ("b.db", True)] and synced[-1] == ("a.db", False)


def test_after_recovery_they_go_and_nothing_else_does(lying: Path, tmp_path: Path) -> None:
    other = lying.parent / "mjolnir-is-no-super-journal.txt"
    other.touch()
    super_journals.remove_all(tmp_path, ["a.db", "gone.db"], [])
    assert not lying.exists() and other.exists()


def test_the_journal_of_a_database_set_aside_may_hang_on_one(lying: Path, tmp_path: Path) -> None:
    journal = tmp_path / "dbs" / "bad.db" / "journal"
    super_journals.remove_all(tmp_path, [], [])
    journal.parent.mkdir()
    journal.touch()
    super_journals.remove_all(tmp_path, ["a.db"], ["bad.db"])
    assert lying.exists()
    journal.unlink()
    super_journals.remove_all(tmp_path, ["a.db"], ["bad.db"])
    assert not lying.exists()
