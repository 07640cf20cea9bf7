"""Eyes on the WAL index: what SQLite's readers see, by SQLite's own -shm on a plain disk."""

import os
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.mount.applier import index_eyes
from pylitefs.mount.applier.index_eyes import IndexEyes
from pylitefs.sqlite.wal import WalHeader
from tests.open_files import open_below

DB = "a.db"


@pytest.fixture
def eyes(tmp_path: Path) -> Iterator[IndexEyes]:
    eyes = IndexEyes()
    eyes.root_fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield eyes
    os.close(eyes.root_fd)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A WAL of two frames, one a transaction."""
    with closing(sqlite3.connect(tmp_path / DB, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=wal")
        for _ in range(2):
            db.execute("PRAGMA user_version=1")
        yield db


def shown(eyes: IndexEyes, path: Path, frame: int, generation: int = 1, other: int = 0) -> object:
    header = WalHeader.parse((path / f"{DB}-wal").read_bytes()[:32])
    salts = [header.salt1 + other, header.salt2]
    answer = eyes.shows({"db": DB, "generation": generation, "salts": salts, "frame": frame})
    return "unclear" if answer.get("unclear") else answer["shown"]


def test_a_frame_is_shown_once_its_commit_is_published(
    eyes: IndexEyes, db: sqlite3.Connection, tmp_path: Path
) -> None:
    assert [shown(eyes, tmp_path, frame) for frame in (1, 2, 3)] == [True, True, False]
    db.execute("PRAGMA user_version=2")
    assert shown(eyes, tmp_path, 3) is True


def test_another_wal_is_not_this_one(eyes: IndexEyes, db: sqlite3.Connection, tmp_path: Path) -> None:
    assert shown(eyes, tmp_path, 1, other=1) is None
    db.execute("PRAGMA wal_checkpoint(RESTART)")
    assert shown(eyes, tmp_path, 2) is True, "the WAL that is there is done with, and still this one"
    before = WalHeader.parse((tmp_path / f"{DB}-wal").read_bytes()[:32])
    db.execute("PRAGMA user_version=3")
    message = {"db": DB, "generation": 1, "salts": [before.salt1, before.salt2], "frame": 2}
    assert eyes.shows(message)["shown"] is None


def test_an_index_that_is_not_there_shows_nothing(eyes: IndexEyes, tmp_path: Path) -> None:
    message = {"db": DB, "generation": 1, "salts": [1, 2], "frame": 1}
    assert eyes.shows(message)["shown"] is None


def test_an_index_that_is_made_anew_says_nothing_of_a_frame(
    eyes: IndexEyes, db: sqlite3.Connection, tmp_path: Path
) -> None:
    """The first client of a WAL empties what lies there, and reads the WAL: then the frame is shown again."""
    del db
    shm, whole = tmp_path / "b.db-shm", (tmp_path / f"{DB}-shm").read_bytes()  # A copy: nobody has it mapped.
    salts = list(struct.unpack_from("<2I", whole, 32))
    for begun in (whole[:3], whole[:4] + bytes(len(whole) - 4), whole[:47] + bytes(1) + whole[48:]):
        shm.write_bytes(begun)
        message = {"db": "b.db", "generation": 1, "salts": salts, "frame": 1}
        assert eyes.shows(message) == {"shown": False, "unclear": True}


def test_a_new_generation_is_another_file(eyes: IndexEyes, db: sqlite3.Connection, tmp_path: Path) -> None:
    """A kept descriptor would lead to the index that was removed."""
    assert shown(eyes, tmp_path, 1) is True
    (tmp_path / f"{DB}-shm").rename(tmp_path / "old")
    (tmp_path / f"{DB}-shm").write_bytes(bytes(32768))
    assert shown(eyes, tmp_path, 1) is True
    assert shown(eyes, tmp_path, 1, generation=2) == "unclear"


def test_few_files_stay_open(eyes: IndexEyes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the databases that were looked at last."""
    monkeypatch.setattr(index_eyes, "most_databases", lambda: 3)
    for number in range(10):
        (tmp_path / f"{number}.db-shm").write_bytes(bytes(32768))
        message = {"db": f"{number}.db", "generation": 1, "salts": [1, 2], "frame": 1}
        assert eyes.shows(message)["shown"] is False
    assert open_below(tmp_path) == [".", "7.db-shm", "8.db-shm", "9.db-shm"]
