"""SQLite on the front end without a mount: the judge is plain SQLite beside it, and the positions' bytes."""

import shutil
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from pylitefs.store.store import Store
from pylitefs.vfs.files import File, Files
from pylitefs.vfs.front import Front
from tests.store.support import assert_position_is_the_bytes_own, opened
from tests.vfs.random_program import prepare, rows, steps
from tests.vfs.shipping import ship


def run_beside_plain_sqlite(seed: int, folder: Path, length: int) -> None:
    """One program on a primary, whose replica follows at each step, and on a plain file."""
    with opened(folder / "primary") as store, opened(folder / "replica", primary=False) as other:
        front, replica = Front(store), Front(other)
        db = front.connect("a.db")
        plain = apsw.Connection(str(folder / "plain.db"))
        reader: apsw.Connection | None = None
        for one in (db, plain):
            prepare(one, seed)
        for number, piece in enumerate(steps(seed, length)):
            for sql in piece:
                for one in (db, plain):
                    one.execute(sql).fetchall()
            if number % 5 == 0:
                ship(store, other, "a.db")
                reader = reader or replica.connect("a.db")
                assert rows(reader) == rows(db) == rows(plain), (seed, number, piece)
                assert_position_is_the_bytes_own(store.require("a.db"))
        ship(store, other, "a.db")
        assert reader is not None and rows(reader) == rows(plain), seed
        assert reader.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        for one in (db, plain, reader):
            one.close()
        assert_position_is_the_bytes_own(store.require("a.db"))
        assert_position_is_the_bytes_own(other.require("a.db"))
        front.close()
        replica.close()
    assert (folder / "primary/dbs/a.db/database").read_bytes() == (folder / "plain.db").read_bytes()


@pytest.mark.parametrize("seed", [0, 3, 4, 5])
def test_a_random_program_gives_what_plain_sqlite_gives(seed: int, tmp_path: Path) -> None:
    """Rows at each step on primary and replica, and at the end the very bytes of the file."""
    run_beside_plain_sqlite(seed, tmp_path, 15)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(100, 140))
def test_many_random_programs(seed: int, tmp_path: Path) -> None:
    run_beside_plain_sqlite(seed, tmp_path, 120)


class CopiesBeforeDeletes:
    """Files that keep what the directory is like before each file is removed: what a kill leaves there."""

    def __init__(self, files: Files, folder: Path) -> None:
        self._files = files
        self._folder = folder
        self.copies: list[Path] = []

    def open(self, name: str | None, flags: int) -> File:
        return self._files.open(name, flags)

    def exists(self, name: str) -> bool:
        return self._files.exists(name)

    def delete(self, name: str) -> None:
        self._keep(f"before {name}")
        self._files.delete(name)
        self._keep(f"after {name}")

    def _keep(self, when: str) -> None:
        self.copies.append(self._folder / f"{len(self.copies)} {when}")
        shutil.copytree(self._files.store.data_dir, self.copies[-1])


def test_a_transaction_over_two_databases_is_in_both_or_in_none(store: Store, tmp_path: Path) -> None:
    """Killed before and after each removal of a journal, and of the super-journal, which is the commit."""
    made: list[CopiesBeforeDeletes] = []

    def wrap(files: Files) -> CopiesBeforeDeletes:
        made.append(CopiesBeforeDeletes(files, tmp_path / str(len(made))))
        return made[-1]

    front = Front(store, wrap=wrap)
    with closing(front.connect("a.db")) as db:
        db.execute("ATTACH 'b.db' AS b; CREATE TABLE t (x); CREATE TABLE b.t (x)")
        del made[0].copies[:]
        db.execute("BEGIN; INSERT INTO t VALUES (1); INSERT INTO b.t VALUES (1); COMMIT")
    front.close()
    seen = []
    for folder in made[0].copies:
        with opened(folder, mount_dir=Path("/")) as left:
            again = Front(left)
            with closing(again.connect("a.db")) as db:
                db.execute("ATTACH 'b.db' AS b")
                both = db.execute("SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM b.t)").get
            again.close()
            for name in ("a.db", "b.db"):
                assert_position_is_the_bytes_own(left.require(name))
        assert both in [(0, 0), (1, 1)], folder.name
        seen.append(both[0])
    assert seen == sorted(seen) and set(seen) == {0, 1}, "once committed, it stays"
