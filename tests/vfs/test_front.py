"""SQLite on the front end without a mount: the judge is plain SQLite beside it, and the positions' bytes."""

from pathlib import Path

import apsw
import pytest

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
    run_beside_plain_sqlite(seed, tmp_path, 20)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(100, 140))
def test_many_random_programs(seed: int, tmp_path: Path) -> None:
    run_beside_plain_sqlite(seed, tmp_path, 120)
