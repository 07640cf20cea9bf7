"""Super-journals: where they lie, that their unlink is durable, and when recovery may remove them."""

from pathlib import Path

import pytest

from pylitefs.errors import InvalidNameError
from pylitefs.store import super_journals

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
