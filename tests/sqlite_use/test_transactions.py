"""What is a transaction and what is none, in the rollback modes and in WAL mode."""

import pytest

from tests.sqlite_use.pair import Client, Pair, connect, fill, shell

pytestmark = pytest.mark.fuse

JOURNAL_MODES = ["delete", "truncate", "persist"]
each_mode = pytest.mark.parametrize("mode", [*JOURNAL_MODES, "wal"])
SPILL = "PRAGMA cache_size=5"
BIG = "UPDATE t SET b=hex(randomblob(200)) WHERE a%2"


@each_mode
def test_each_commit_is_one_transaction(pair: Pair, mode: str) -> None:
    name = f"commits-{mode}.db"
    path = pair.make(name, f"PRAGMA journal_mode={mode}", rows=20)
    before = pair.txid(name)
    with connect(path) as db:
        for n in range(5):
            db.execute("INSERT INTO t(b) VALUES(?)", (n,))
            assert pair.txid(name) == before + n + 1
        db.execute("BEGIN")
        for n in range(5):
            db.execute("INSERT INTO t(b) VALUES(?)", (n,))
        assert pair.txid(name) == before + 5
        db.execute("COMMIT")
    db.close()
    assert pair.check(name).txid == before + 6


@each_mode
@pytest.mark.parametrize("synchronous", ["off", "normal", "full"])
def test_a_rollback_leaves_no_transaction(pair: Pair, mode: str, synchronous: str) -> None:
    """Also after pages were spilled into the database or the WAL, and the journal never synced."""
    name = f"rollback-{mode}-{synchronous}.db"
    path = pair.make(name, f"PRAGMA journal_mode={mode}", rows=200)
    pos = pair.check(name)
    with connect(path) as db:
        db.execute(f"PRAGMA synchronous={synchronous}")
        for settings in ("PRAGMA cache_size=2000", SPILL):
            db.execute(settings)
            db.execute("BEGIN")
            db.execute(BIG)
            db.execute(fill(300))
            db.execute("ROLLBACK")
            assert pair.pos(name) == pos
        db.execute("BEGIN IMMEDIATE")
        db.execute("COMMIT")
        db.execute("BEGIN EXCLUSIVE")
        db.execute("ROLLBACK")
        with pytest.raises(Exception, match="UNIQUE"):
            db.execute("INSERT INTO t VALUES(1000, 'new'), (1, 'old')")
    db.close()
    assert pair.check(name) == pos


@pytest.mark.parametrize("mode", JOURNAL_MODES)
def test_a_rollback_over_free_pages(pair: Pair, mode: str) -> None:
    """SQLite does not restore what was on a free page; whether that is a transaction or not, the replica
    holds the same bytes afterwards."""
    name = f"free-{mode}.db"
    path = pair.make(name, f"PRAGMA journal_mode={mode}", rows=300)
    shell(path, "DELETE FROM t WHERE a>20;")
    before = pair.check(name)
    with connect(path) as db:
        db.execute(SPILL)
        db.execute("BEGIN")
        db.execute(fill(200))
        db.execute("ROLLBACK")
        assert db.execute("SELECT count(*) FROM t").fetchone() == (20,)
    db.close()
    assert pair.check(name).txid <= before.txid + 1


@each_mode
@pytest.mark.parametrize("synchronous", ["off", "full"])
def test_a_big_transaction_with_a_small_cache(pair: Pair, mode: str, synchronous: str) -> None:
    """The journal has several segments, the WAL frames that were written again; it is one transaction."""
    name = f"big-{mode}-{synchronous}.db"
    path = pair.make(name, f"PRAGMA journal_mode={mode}", rows=300)
    pair.check(name)
    before = pair.txid(name)
    with connect(path) as db:
        db.execute(f"PRAGMA synchronous={synchronous}")
        db.execute(SPILL)
        db.execute("BEGIN")
        for _ in range(3):
            db.execute(BIG)
            db.execute(fill(200))
        db.execute("DELETE FROM t WHERE a<100")
        assert pair.txid(name) == before
        db.execute("COMMIT")
        assert pair.txid(name) == before + 1
    db.close()
    pair.check(name)


@each_mode
def test_savepoints(pair: Pair, mode: str) -> None:
    """Rolled back to, released, nested, with spilled pages; the outermost commit is the transaction."""
    name = f"savepoints-{mode}.db"
    path = pair.make(name, f"PRAGMA journal_mode={mode}", rows=200)
    before = pair.txid(name)
    with connect(path) as db:
        db.execute(SPILL)
        db.execute("SAVEPOINT one")
        db.execute(BIG)
        db.execute("SAVEPOINT two")
        db.execute(fill(300))
        db.execute("DELETE FROM t WHERE a%3=0")
        db.execute("ROLLBACK TO two")
        db.execute("INSERT INTO t(b) VALUES('kept')")
        db.execute("RELEASE two")
        assert pair.txid(name) == before
        db.execute("RELEASE one")
        assert pair.txid(name) == before + 1
        db.execute("SAVEPOINT three")
        db.execute(BIG)
        db.execute("ROLLBACK TO three")
        db.execute("RELEASE three")
    db.close()
    pair.check(name)
    assert shell(pair.copy(name), "SELECT count(*) FROM t") == "201"


@each_mode
def test_a_killed_client_s_transaction_is_rolled_back_by_the_next_reader(pair: Pair, mode: str) -> None:
    """It left a hot journal and spilled pages, or frames without a commit: nobody's transaction."""
    name = f"killed-{mode}.db"
    path = pair.make(name, f"PRAGMA journal_mode={mode}", rows=300)
    pos = pair.check(name)
    dump = shell(pair.copy(name), ".dump")
    with Client(path) as client:
        assert client.tell(SPILL + ";", "BEGIN;", BIG + ";", fill(100) + ";", "SELECT 'in';") == "in"
        client.kill()
    left = path.with_name(f"{name}-{'wal' if mode == 'wal' else 'journal'}")
    assert left.stat().st_size > 40_000
    assert pair.pos(name) == pos
    assert shell(path, ".dump") == dump
    assert pair.check(name) == pos
    shell(path, "DELETE FROM t WHERE a=1;")
    assert pair.check(name).txid == pos.txid + 1


@pytest.mark.parametrize("mode", JOURNAL_MODES)
def test_a_hot_journal_and_an_export_before_any_reader(pair: Pair, mode: str) -> None:
    name = f"hot-{mode}.db"
    path = pair.make(name, f"PRAGMA journal_mode={mode}", rows=300)
    pos = pair.check(name)
    before = pair.export(pair.replica, name)
    with Client(path) as client:
        assert client.tell(SPILL + ";", "BEGIN;", BIG + ";", "SELECT 'in';") == "in"
        client.kill()
    assert pair.export(pair.primary, name) == before
    assert pair.check(name) == pos


@pytest.mark.parametrize("mode", JOURNAL_MODES)
def test_a_hot_journal_of_the_very_first_transaction(pair: Pair, mode: str) -> None:
    name = f"hot-first-{mode}.db"
    path = pair.path(name)
    with Client(path) as client:
        mode_set = f"PRAGMA journal_mode={mode};"
        script = [
            mode_set,
            SPILL + ";",
            "BEGIN;",
            "CREATE TABLE t(a INTEGER PRIMARY KEY, b);",
            fill(300) + ";",
        ]
        assert client.tell(*script, "SELECT 'in';").endswith("in")
        client.kill()
    assert pair.txid(name) == 0
    assert shell(path, "SELECT count(*) FROM sqlite_master") == "0"
    assert pair.txid(name) == 0
    shell(path, "CREATE TABLE u(a);")
    assert pair.check(name).txid == 1


@pytest.mark.parametrize("mode", JOURNAL_MODES)
def test_exclusive_locking_in_a_rollback_mode(pair: Pair, mode: str) -> None:
    """The lock and the journal are kept from commit to commit; each is captured as it is made."""
    name = f"exclusive-{mode}.db"
    path = pair.make(name, f"PRAGMA journal_mode={mode}", rows=50)
    pair.check(name)
    before = pair.txid(name)
    with connect(path) as db:
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        for n in range(3):
            db.execute("INSERT INTO t(b) VALUES(?)", (n,))
            assert pair.txid(name) == before + n + 1
            pair.wait_replica(name)
        db.execute("BEGIN")
        db.execute(BIG)
        db.execute("ROLLBACK")
        db.execute(SPILL)
        db.execute(BIG)
        assert pair.txid(name) == before + 4
        assert len(pair.export(pair.primary, name)) > 0
    db.close()
    pair.check(name)


@each_mode
def test_a_commit_that_changes_no_byte_is_none_or_has_the_same_checksum(pair: Pair, mode: str) -> None:
    """SQLite counts a transaction in page 1 (in WAL mode not always), so nearly every commit changes one."""
    name = f"same-{mode}.db"
    path = pair.make(name, f"PRAGMA journal_mode={mode}", rows=5)
    pair.check(name)
    shell(path, "UPDATE t SET b=b WHERE a=1;")
    pair.check(name)


def test_several_databases_several_connections_several_processes(pair: Pair) -> None:
    """Writers of two databases in two processes each, by turns and at once; nothing is lost."""
    names = ["many-1.db", "many-2.db"]
    pair.make(names[0], "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    pair.make(names[1], "PRAGMA journal_mode=wal", "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    pair.check(names[1])
    clients = [Client(pair.path(name)) for name in names for _ in range(2)]
    for client in clients:
        client.send(".timeout 20000")
    rows = 40
    for n in range(rows):
        for client in clients:
            client.send(f"INSERT INTO t(b) VALUES('{client.pid}-{n}');")
    with connect(pair.copy(names[1])) as db:
        seen = [db.execute("SELECT count(*) FROM t").fetchone()[0] for _ in range(20)]
    db.close()
    assert seen == sorted(seen)
    for client in clients:
        assert client.tell() == ""
        client.end()
    for name in names:
        pair.check(name)
        assert shell(pair.copy(name), "SELECT count(DISTINCT b) FROM t") == str(2 * rows)
        assert pair.txid(name) >= 2 * rows
