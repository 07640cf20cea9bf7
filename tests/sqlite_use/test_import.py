"""Import: another database replaces a live one, as one transaction, under open connections on both nodes."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from pylitefs.child_python import python_module
from tests.sqlite_use.pair import Client, Pair, connect, content, fill, refusals_of, shell

pytestmark = pytest.mark.fuse

MODES = ["delete", "persist", "wal"]


def source(path: Path, *sql: str, rows: int = 300) -> Path:
    """A database on no mount, with `rows` rows and other tables than the live one."""
    shell(path, *(f"{line};" for line in sql), "CREATE TABLE t(a INTEGER PRIMARY KEY, b);", fill(rows) + ";")
    shell(path, "CREATE TABLE u AS SELECT a FROM t;", "CREATE INDEX i ON t(b);")
    return path


def import_(pair: Pair, name: str, data: bytes) -> httpx.Response:
    return pair.http.post(f"{pair.primary.url}/import", params={"name": name}, content=data)


@pytest.mark.parametrize("new_mode", ["delete", "wal"])
@pytest.mark.parametrize("mode", MODES)
def test_it_replaces_a_live_database(pair: Pair, tmp_path: Path, mode: str, new_mode: str) -> None:
    """Connections that stay open on the primary and the replica see the new content, and write it."""
    name = f"live-{mode}-{new_mode}.db"
    path = pair.make(name, f"PRAGMA journal_mode={mode}", rows=20)
    new = source(tmp_path / "new.db", f"PRAGMA journal_mode={new_mode}")
    pos = pair.check(name)
    with connect(path) as here, connect(pair.copy(name)) as there:
        for reader in (here, there):
            assert reader.execute("SELECT count(*) FROM t").fetchone() == (20,)
        here.execute("INSERT INTO t(b) VALUES('before')")
        assert import_(pair, name, new.read_bytes()).status_code == httpx.codes.OK
        assert pair.wait_replica(name).txid == pos.txid + 2
        for reader in (here, there):
            assert reader.execute("SELECT count(*), (SELECT count(*) FROM u) FROM t").fetchone() == (300, 300)
        assert content(pair.copy(name)) == content(new)
        here.execute("INSERT INTO t(b) VALUES('after')")
        pair.wait_replica(name)
        assert there.execute("SELECT count(*) FROM t").fetchone() == (301,)
        shell(path, "PRAGMA busy_timeout=5000;", fill(5) + ";")
        assert here.execute("SELECT count(*) FROM t").fetchone() == (306,)
    here.close()
    there.close()
    pair.check(name)


@pytest.mark.parametrize("size", [512, 8192, 65536])
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_it_brings_another_page_size(pair: Pair, tmp_path: Path, mode: str, size: int) -> None:
    name = f"size-{mode}-{size}.db"
    pair.make(name, f"PRAGMA journal_mode={mode}", rows=20)
    pair.check(name)
    new = source(tmp_path / "new.db", f"PRAGMA page_size={size}", f"PRAGMA journal_mode={mode}", rows=100)
    with connect(pair.path(name)) as here, connect(pair.copy(name)) as there:
        for reader in (here, there):
            assert reader.execute("SELECT count(*) FROM t").fetchone() == (20,)
        assert import_(pair, name, new.read_bytes()).status_code == httpx.codes.OK
        pair.wait_replica(name)
        for reader in (here, there):
            assert reader.execute("SELECT count(*) FROM t").fetchone() == (100,)
        here.execute("INSERT INTO t(b) VALUES('after')")
    here.close()
    there.close()
    pair.check(name)


def test_it_makes_a_new_database_and_brings_back_a_dropped_one(pair: Pair, tmp_path: Path) -> None:
    new = source(tmp_path / "new.db")
    assert import_(pair, "made.db", new.read_bytes()).status_code == httpx.codes.OK
    assert pair.check("made.db").txid == 1
    pair.path("made.db").unlink()
    assert import_(pair, "made.db", new.read_bytes()).status_code == httpx.codes.OK
    assert pair.check("made.db").txid == 3
    assert content(pair.copy("made.db")) == content(new)


def test_it_is_the_file_but_for_two_counters(pair: Pair, tmp_path: Path) -> None:
    """Bytes 24-27 and 40-43 of page 1 are zero, so that open connections read everything anew."""
    data = source(tmp_path / "new.db").read_bytes()
    import_(pair, "same.db", data)
    zero = bytes(4)
    for node in pair.cluster:
        pair.wait_replica("same.db")
        assert pair.export(node, "same.db") == data[:24] + zero + data[28:40] + zero + data[44:]


@pytest.mark.parametrize("mode", MODES)
def test_again_and_again_while_others_read_and_write(pair: Pair, tmp_path: Path, mode: str) -> None:
    """Each reader sees one whole database or the other."""
    name = f"again-{mode}.db"
    one = source(tmp_path / "one.db", f"PRAGMA journal_mode={mode}", rows=100).read_bytes()
    two = source(tmp_path / "two.db", f"PRAGMA journal_mode={mode}", rows=200).read_bytes()
    import_(pair, name, one)
    pair.check(name)
    code = (
        "import sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], timeout=20)\n"
        "print('ready', flush=True)\n"
        "seen = set()\n"
        "while not {100, 200} <= seen:\n"
        "    t, u = db.execute('SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM u)').fetchone()\n"
        "    assert t == u, (t, u)\n"
        "    seen.add(t)\n"
        "print(*sorted(seen))\n"
        "db.close()\n"
    )
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(node.database(name))], stdout=subprocess.PIPE, text=True
        )
        for node in pair.cluster
    ]
    try:
        for reader in readers:
            assert reader.stdout and reader.stdout.readline() == "ready\n"
        for _ in range(3):
            for data in (two, one):
                assert import_(pair, name, data).status_code == httpx.codes.OK
                pair.wait_replica(name)
        for data in (two, one) * 20:
            if all(reader.poll() is not None for reader in readers):
                break
            import_(pair, name, data)
        assert [reader.communicate(timeout=20)[0] for reader in readers] == ["100 200\n"] * 2
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()
    pair.check(name)


def test_it_waits_for_a_writer(pair: Pair, tmp_path: Path) -> None:
    """A transaction that is under way is finished first, and is not lost to the count of TXIDs."""
    path = pair.make("writer.db", rows=20)
    before = pair.check("writer.db")
    new = source(tmp_path / "new.db")
    with Client(path) as client, ThreadPoolExecutor(1) as pool:
        client.tell("BEGIN IMMEDIATE;", "INSERT INTO t(b) VALUES('mine');")
        importing = pool.submit(import_, pair, "writer.db", new.read_bytes())
        with pytest.raises(TimeoutError):
            importing.result(0.3)
        assert client.tell("COMMIT;") == ""
        assert importing.result(10).status_code == httpx.codes.OK
        assert client.tell("SELECT count(*) FROM t;") == "300"
    assert pair.check("writer.db").txid == before.txid + 2


@pytest.mark.parametrize("mode", MODES)
def test_garbage_is_refused_and_changes_nothing(pair: Pair, tmp_path: Path, mode: str) -> None:
    name = f"garbage-{mode}.db"
    path = pair.make(name, f"PRAGMA journal_mode={mode}", rows=20)
    pos = pair.check(name)
    good = source(tmp_path / "new.db").read_bytes()
    with connect(path) as db:
        assert db.execute("SELECT count(*) FROM t").fetchone() == (20,)
        for data in (
            b"",
            b"x",
            b"SQLite format 3\0",
            good[:99],
            good[:5000],
            good[:-1],
            good[:-4096],
            good[1:],
        ):
            answer = import_(pair, name, data)
            assert answer.status_code == httpx.codes.BAD_REQUEST
            assert name in answer.text and answer.text.count("\n") == 1
        db.execute("UPDATE t SET b='x' WHERE a=1")
    db.close()
    assert pair.check(name).txid == pos.txid + 1
    assert import_(pair, f"never-{mode}.db", good[:5000]).status_code == httpx.codes.BAD_REQUEST
    assert not pair.path(f"never-{mode}.db").exists()
    assert not (pair.primary.data / "dbs" / f"never-{mode}.db").exists()


def test_a_replica_refuses_an_import(pair: Pair, tmp_path: Path) -> None:
    data = source(tmp_path / "new.db").read_bytes()
    answer = pair.http.post(f"{pair.replica.url}/import", params={"name": "no.db"}, content=data)
    assert (answer.status_code, answer.text) == (503, "lease expired\n")
    assert not pair.copy("no.db").exists()


def test_an_upload_that_breaks_off_changes_nothing(pair: Pair, tmp_path: Path) -> None:
    pair.make("broken.db", rows=20)
    pos = pair.check("broken.db")
    data = source(tmp_path / "new.db", rows=3000).read_bytes()

    def body() -> "object":
        yield data[: len(data) // 2]
        raise RuntimeError("the client ends here")

    with pytest.raises(RuntimeError):
        pair.http.post(f"{pair.primary.url}/import", params={"name": "broken.db"}, content=body())  # type: ignore[arg-type]
    assert pair.check("broken.db") == pos
    assert not list((pair.primary.data / "tmp").iterdir())


def test_the_command_imports_and_exports(pair: Pair, tmp_path: Path) -> None:
    """`pylitefs import` and `pylitefs export`; what is no whole database is refused with the reason."""
    pylitefs = python_module("pylitefs")
    new, out = source(tmp_path / "new.db"), tmp_path / "out.db"
    where = ["--name", "command.db", "--url", pair.primary.url]
    pair.make("command.db", "PRAGMA journal_mode=wal", rows=20)
    subprocess.run([*pylitefs, "import", *where, new], check=True, capture_output=True)
    pair.check("command.db")
    subprocess.run([*pylitefs, "export", *where, out], check=True, capture_output=True)
    assert content(out) == content(new)
    out.write_bytes(new.read_bytes()[:10000])
    done = subprocess.run([*pylitefs, "import", *where, out], capture_output=True, text=True)
    assert done.returncode and "only 10000 bytes" in done.stderr
    pair.check("command.db")


def test_a_hot_journal_and_an_import(pair: Pair, tmp_path: Path) -> None:
    """What a killed client left is replaced along with the rest, and rolled back by nobody afterwards."""
    path = pair.make("hot.db", rows=300)
    before = pair.check("hot.db")
    with Client(path) as client:
        client.tell("PRAGMA cache_size=5;", "BEGIN;", "UPDATE t SET b=hex(randomblob(200));", "SELECT 1;")
        client.kill()
    with refusals_of(pair.primary):
        assert import_(pair, "hot.db", source(tmp_path / "new.db").read_bytes()).status_code == httpx.codes.OK
    assert pair.check("hot.db").txid == before.txid + 1
    assert shell(path, "SELECT count(*) FROM u") == "300"


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_connection_that_slept_through_imports_and_changes_of_the_schema(
    pair: Pair, tmp_path: Path, mode: str
) -> None:
    """The schema cookie never comes back to a value that it knows: it would read the wrong pages."""
    name = f"slept-{mode}.db"
    path = pair.make(name, f"PRAGMA journal_mode={mode}", "CREATE TABLE x(a)", rows=20)
    new = source(tmp_path / "new.db", f"PRAGMA journal_mode={mode}", rows=50).read_bytes()
    pair.check(name)
    with connect(path) as here, connect(pair.copy(name)) as there:
        for reader in (here, there):
            assert reader.execute("SELECT count(*) FROM t").fetchone() == (20,)
        for changes in (0, 1, 2, 3):
            assert import_(pair, name, new).status_code == httpx.codes.OK
            shell(path, ".timeout 5000", *(f"CREATE INDEX t{n} ON t(a);" for n in range(changes)))
        pair.wait_replica(name)
        for reader in (here, there):
            assert reader.execute("SELECT count(*), (SELECT count(*) FROM u) FROM t").fetchone() == (50, 50)
            assert reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    here.close()
    there.close()
    pair.check(name)


@pytest.mark.full
def test_a_database_that_stays_locked_is_not_imported_into(pair: Pair, tmp_path: Path) -> None:
    """The answer says who has it; nothing happens later either. It takes as long as an import waits."""
    path = pair.make("locked.db", rows=20)
    pos = pair.check("locked.db")
    with Client(path) as client:
        client.tell("PRAGMA locking_mode=EXCLUSIVE;", "BEGIN EXCLUSIVE;", "COMMIT;")
        answer = import_(pair, "locked.db", source(tmp_path / "new.db").read_bytes())
        assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert f"process {client.pid}" in answer.text
    assert pair.check("locked.db") == pos
