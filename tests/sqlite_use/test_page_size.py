"""Another page size for a database that is in use: by VACUUM, by an import's rows, by making it anew."""

import pytest

from tests.sqlite_use.pair import Pair, connect, fill, shell

pytestmark = pytest.mark.fuse


@pytest.mark.parametrize("size", [512, 1024, 8192, 65536])
@pytest.mark.parametrize("mode", ["delete", "truncate", "persist"])
def test_vacuum_live(pair: Pair, mode: str, size: int) -> None:
    """With readers connected on both nodes, and more transactions by the same connection."""
    name = f"vacuum-{mode}-{size}.db"
    path = pair.make(name, f"PRAGMA journal_mode={mode}", rows=100)
    before = pair.check(name)
    with connect(path) as db, connect(path) as here, connect(pair.copy(name)) as there:
        for reader in (here, there):
            assert reader.execute("SELECT count(*) FROM t").fetchone() == (100,)
        db.execute(f"PRAGMA page_size={size}")
        db.execute("VACUUM")
        assert pair.txid(name) == before.txid + 1
        db.execute(fill(20))
        pair.check(name)
        for reader in (here, there):
            assert reader.execute("SELECT count(*) FROM t").fetchone() == (120,)
            assert reader.execute("PRAGMA page_size").fetchone() == (size,)
        here.execute(fill(20))
        db.execute("DELETE FROM t WHERE a%2")
        db.execute("VACUUM")
        pair.check(name)
        assert there.execute("SELECT count(*) FROM t").fetchone() == (70,)
    for one in (db, here, there):
        one.close()


def test_there_and_back(pair: Pair) -> None:
    name = "back.db"
    path = pair.make(name, rows=100)
    for size in (8192, 512, 4096, 65536, 4096):
        shell(path, f"PRAGMA page_size={size};", "VACUUM;", fill(10) + ";", "VACUUM;")
        pair.check(name)
        assert shell(pair.copy(name), "PRAGMA page_size") == str(size)
    assert shell(pair.copy(name), "SELECT count(*) FROM t") == "150"


def test_out_of_wal_mode_and_into_it_again(pair: Pair) -> None:
    """In WAL mode SQLite keeps the page size, so people leave it, vacuum and return."""
    name = "wal.db"
    path = pair.make(name, "PRAGMA journal_mode=wal", rows=100)
    with connect(path) as db:
        db.execute("PRAGMA page_size=1024")
        db.execute("VACUUM")
        pair.check(name)
        assert db.execute("PRAGMA page_size").fetchone() == (4096,)
        db.execute("PRAGMA journal_mode=delete")
        db.execute("PRAGMA page_size=1024")
        db.execute("VACUUM")
        db.execute("PRAGMA journal_mode=wal")
        db.execute(fill(10))
        pair.check(name)
        assert shell(pair.copy(name), "PRAGMA page_size") == "1024"
    db.close()
    pair.check(name)


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_dropped_and_made_again_with_another_page_size(pair: Pair, mode: str) -> None:
    name = f"anew-{mode}.db"
    path = pair.make(name, f"PRAGMA journal_mode={mode}", rows=50)
    for size in (8192, 512):
        pair.check(name)
        path.unlink()
        pair.check(name)
        pair.make(name, f"PRAGMA page_size={size}", f"PRAGMA journal_mode={mode}", rows=30)
        pair.check(name)
        assert shell(pair.copy(name), "PRAGMA page_size") == str(size)


def test_a_replica_that_was_away_catches_up_over_a_change_of_page_size(pair: Pair) -> None:
    name = "away.db"
    path = pair.make(name, rows=100)
    pair.check(name)
    pair.replica.kill9()
    shell(path, "DELETE FROM t WHERE a<10;", "PRAGMA page_size=1024;", "VACUUM;", fill(10) + ";")
    pair.replica.restart()
    pair.check(name)
    assert shell(pair.copy(name), "PRAGMA page_size") == "1024"
