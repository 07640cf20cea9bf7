"""The sqlite3 shell as people use it: every copy, dump and vacuum, onto a mount and from one."""

import sqlite3
from pathlib import Path

import pytest

from tests.sqlite_use.pair import Pair, connect, content, fill, run, shell

pytestmark = pytest.mark.fuse

SQL = "CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE INDEX i ON t(b);"


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A database that is on no mount."""
    path = tmp_path / "plain.db"
    shell(path, SQL, fill(200) + ";")
    return path


def test_statements_of_one_script_are_one_transaction_each(pair: Pair) -> None:
    path = pair.path("script.db")
    out = shell(path, SQL, "INSERT INTO t(b) VALUES('x');", "SELECT count(*) FROM t;")
    assert out == "1"
    assert pair.check("script.db").txid == 3


def test_backup_from_a_mount(pair: Pair, tmp_path: Path) -> None:
    """Both nodes give the same backup, and taking it is no transaction."""
    pair.make("from.db", rows=300)
    pos = pair.check("from.db")
    for node in pair.cluster:
        saved = tmp_path / f"{node.name}.db"
        shell(node.database("from.db"), f".backup {saved}")
        assert content(saved) == content(pair.path("from.db"))
    assert pair.check("from.db") == pos


def test_backup_onto_a_mount(pair: Pair, plain: Path) -> None:
    """A new name, and over a live database of another size whose reader stays connected."""
    shell(plain, f".backup {pair.path('onto.db')}")
    assert pair.check("onto.db").txid == 1
    live = pair.make("live.db", rows=900)
    pair.check("live.db")
    with connect(pair.copy("live.db")) as reader:
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (900,)
        shell(plain, f".backup {live}")
        pair.check("live.db")
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (200,)
    reader.close()
    assert content(live) == content(plain)


def test_restore_into_a_mount(pair: Pair, plain: Path) -> None:
    path = pair.make("restored.db", rows=3)
    shell(path, f".restore {plain}")
    pair.check("restored.db")
    assert content(path) == content(plain)


def test_vacuum_into(pair: Pair, plain: Path, tmp_path: Path) -> None:
    """Onto a mount, from a mount (either node), and from one database of a mount to another."""
    shell(plain, f"VACUUM INTO '{pair.path('into.db')}'")
    assert pair.check("into.db").txid == 1
    shell(pair.path("into.db"), f"VACUUM INTO '{pair.path('into2.db')}'")
    pair.check("into2.db")
    for node in pair.cluster:
        saved = tmp_path / f"{node.name}.db"
        shell(node.database("into2.db"), f"VACUUM INTO '{saved}'")
        assert content(saved) == content(plain)


def test_clone(pair: Pair, plain: Path, tmp_path: Path) -> None:
    run("/usr/bin/sqlite3", plain, f".clone {pair.path('clone.db')}")
    pair.check("clone.db")
    run("/usr/bin/sqlite3", pair.path("clone.db"), f".clone {tmp_path / 'back.db'}")
    run("/usr/bin/sqlite3", pair.path("clone.db"), f".clone {pair.path('clone2.db')}")
    pair.check("clone2.db")
    assert content(tmp_path / "back.db") == content(plain) == content(pair.copy("clone2.db"))


def test_a_dump_through_a_pipe(pair: Pair, plain: Path) -> None:
    """It is one transaction, as the dump says BEGIN and COMMIT."""
    run("bash", "-c", f"sqlite3 {plain} .dump | sqlite3 {pair.path('piped.db')}")
    assert pair.check("piped.db").txid == 1
    run("bash", "-c", f"sqlite3 {pair.copy('piped.db')} .dump | sqlite3 {pair.path('piped2.db')}")
    pair.check("piped2.db")
    assert content(pair.copy("piped2.db")) == content(plain)


def test_save_and_csv_import(pair: Pair, tmp_path: Path) -> None:
    """`.save` of a database in memory, and `.import` of a file of values."""
    shell(":memory:", SQL, fill(50) + ";", f".save {pair.path('saved.db')}")
    pair.check("saved.db")
    values = tmp_path / "values.csv"
    values.write_text("".join(f"{n},value {n}\n" for n in range(1000, 1300)))
    shell(pair.path("saved.db"), ".mode csv", f".import {values} t")
    pair.check("saved.db")
    assert shell(pair.copy("saved.db"), "SELECT count(*) FROM t") == "350"


def test_attached_databases(pair: Pair, plain: Path) -> None:
    """Reading across databases, and writing one of them, with a plain file or another on the mount."""
    path = pair.make("main.db", rows=10)
    other = pair.make("other.db", "CREATE TABLE u(a, b)")
    shell(
        path,
        f"ATTACH '{plain}' AS plain; ATTACH '{other}' AS other;",
        "INSERT INTO other.u SELECT a, b FROM plain.t;",
        "INSERT INTO t(b) SELECT b FROM other.u LIMIT 5;",
    )
    assert pair.check("main.db").txid == 3
    assert pair.check("other.db").txid == 2
    joined = shell(
        pair.copy("main.db"),
        f"ATTACH '{pair.copy('other.db')}' AS o; SELECT count(*) FROM t JOIN o.u ON t.a=u.a",
    )
    assert joined == "15"


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_auto_vacuum_and_incremental_vacuum(pair: Pair, mode: str) -> None:
    name = f"incremental-{mode}.db"
    path = pair.make(name, "PRAGMA auto_vacuum=INCREMENTAL", f"PRAGMA journal_mode={mode}", rows=500)
    pair.check(name)
    shell(path, "DELETE FROM t WHERE a>20;")
    before = int(shell(path, "PRAGMA page_count"))
    for _ in range(3):
        shell(path, "PRAGMA incremental_vacuum(7);")
        pair.check(name)
    assert int(shell(pair.copy(name), "PRAGMA page_count")) == before - 21
    shell(path, "PRAGMA incremental_vacuum;")
    pair.check(name)
    full = f"auto-{mode}.db"
    path = pair.make(full, "PRAGMA auto_vacuum=FULL", f"PRAGMA journal_mode={mode}", rows=500)
    before = int(shell(path, "PRAGMA page_count"))
    shell(path, "DELETE FROM t WHERE a>100;")
    pair.check(full)
    assert int(shell(pair.copy(full), "PRAGMA page_count")) < before * 0.6


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize("size", [512, 1024, 2048, 8192, 16384, 32768, 65536])
def test_every_page_size(pair: Pair, size: int, mode: str) -> None:
    """4,096 is what every other test has."""
    name = f"ps{size}-{mode}.db"
    path = pair.make(name, f"PRAGMA page_size={size}", f"PRAGMA journal_mode={mode}", rows=200)
    shell(path, "UPDATE t SET b=b||'more' WHERE a%3=0;", "DELETE FROM t WHERE a>150;", "VACUUM;")
    pair.check(name)
    assert shell(pair.copy(name), "PRAGMA page_size") == str(size)


def test_other_things_people_do(pair: Pair) -> None:
    """Settings kept in the header, temporary tables, ALTER, ANALYZE, REINDEX, full-text search."""
    path = pair.make("other-things.db", rows=100)
    shell(
        path,
        "PRAGMA user_version=7;",
        "PRAGMA application_id=11;",
        "CREATE TEMP TABLE x AS SELECT * FROM t;",
        "ALTER TABLE t ADD COLUMN c DEFAULT 3;",
        "ALTER TABLE t RENAME COLUMN b TO d;",
        "ANALYZE;",
        "REINDEX;",
        "PRAGMA optimize;",
    )
    pair.check("other-things.db")
    assert shell(pair.copy("other-things.db"), "PRAGMA user_version") == "7"
    shell(path, "CREATE VIRTUAL TABLE f USING fts5(d);", "INSERT INTO f SELECT d FROM t;")
    pair.check("other-things.db")


@pytest.mark.parametrize("name", ["a\nb.db", "\x1b[31m.db", "gp.\u202eexe"])
def test_a_name_that_steers_a_terminal_makes_no_database(pair: Pair, name: str) -> None:
    """It is refused with a line in the log, in which it is escaped."""
    path = pair.path(name)
    with pytest.raises(sqlite3.OperationalError, match="unable to open database file"):
        connect(path).execute("CREATE TABLE t (x)")
    with pytest.raises(OSError, match="Invalid argument"):
        path.touch()
    assert not path.exists()
    log = pair.primary.log.read_text()
    assert "create: a control character in the name" in log and not {"\x1b", "\u202e"} & set(log)
