"""cp, cat, mv, touch and names: what people do to files, and the one log line where it is refused."""

import os
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from pylitefs.cluster.cluster import wait_until
from tests.sqlite.journals import make_journal
from tests.sqlite_use.pair import Pair, connect, content, fill, refusals_of, run, shell

pytestmark = pytest.mark.fuse


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain.db"
    shell(path, "CREATE TABLE t(a INTEGER PRIMARY KEY, b);", fill(300) + ";")
    return path


def fails(command: str, *words: str) -> None:
    """A shell command that ends with an error which says these words."""
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30)
    assert done.returncode, f"{command} did not fail"
    for word in words:
        assert word in done.stderr


def known(pair: Pair) -> list[set[str]]:
    """The names in either node's data directory."""
    return [set(os.listdir(node.data / "dbs")) for node in pair.cluster]


# Copies onto a new name.


@pytest.mark.parametrize(
    "command",
    [
        "cp {plain} {new}",
        "cat {plain} > {new}",
        "cp -p {plain} {new}",
        "dd if={plain} of={new} bs=777 status=none",
    ],
)
def test_a_copy_onto_a_new_name_is_an_import(pair: Pair, plain: Path, command: str) -> None:
    """One transaction, whole when the command has ended, whatever it wrote in."""
    name = f"{command.split(maxsplit=1)[0]}{len(command)}.db"
    run("bash", "-c", command.format(plain=plain, new=pair.path(name)))
    assert pair.check(name).txid == 1
    assert content(pair.copy(name)) == content(plain)
    shell(pair.path(name), "INSERT INTO t(b) VALUES('after')")
    assert pair.check(name).txid == 2


@pytest.mark.parametrize("size", [512, 65536])
def test_a_copied_database_in_wal_mode_with_another_page_size(pair: Pair, tmp_path: Path, size: int) -> None:
    name = f"wal{size}.db"
    source = tmp_path / name
    shell(
        source, f"PRAGMA page_size={size};", "PRAGMA journal_mode=wal;", "CREATE TABLE t(b);", fill(30) + ";"
    )
    shutil.copyfile(source, pair.path(name))
    pair.check(name)
    shell(pair.path(name), fill(30) + ";")
    assert pair.check(name).txid == 2
    assert shell(pair.copy(name), "PRAGMA journal_mode") == "wal"


def test_mv_of_a_file_from_elsewhere_is_an_import_too(pair: Pair, plain: Path) -> None:
    dump = content(plain)
    run("mv", plain, pair.path("moved-in.db"))
    pair.check("moved-in.db")
    assert content(pair.copy("moved-in.db")) == dump
    assert not plain.exists()


@pytest.mark.parametrize("kept", [1, 99, 4096, 5000, 40960])
def test_an_incomplete_copy_is_not_kept(pair: Pair, plain: Path, kept: int) -> None:
    """The name is free again, and nothing was replicated."""
    name = f"part{kept}.db"
    with pair.refusals(f"{name}|copying a file|not a whole SQLite database|import"):
        pair.path(name).write_bytes(plain.read_bytes()[:kept])
    assert wait_until(lambda: not pair.path(name).exists(), 5)
    assert not any(name in names for names in known(pair))
    shell(pair.path(name), "CREATE TABLE t(a);")
    pair.check(name)


def test_a_copy_that_is_interrupted_is_not_kept(pair: Pair, plain: Path) -> None:
    name = "interrupted.db"
    writer = subprocess.Popen(["bash", "-c", f"exec cat > {pair.path(name)}"], stdin=subprocess.PIPE)
    assert writer.stdin
    writer.stdin.write(plain.read_bytes()[:20000])
    writer.stdin.flush()
    assert wait_until(lambda: pair.path(name).exists() and pair.path(name).stat().st_size > 0, 5)
    with pair.refusals(f"{name}|not a whole SQLite database"):
        writer.kill()
        writer.communicate()
    assert wait_until(lambda: not pair.path(name).exists(), 5)


def test_what_is_no_database_is_not_kept(pair: Pair) -> None:
    with pair.refusals("notes.txt|not a whole SQLite database|import"):
        run("cp", "/etc/passwd", pair.path("notes.txt"))
    assert wait_until(lambda: not pair.path("notes.txt").exists(), 5)
    assert not any("notes.txt" in names for names in known(pair))


def test_a_file_that_is_edited_in_place_and_no_database_is_refused_once(pair: Pair) -> None:
    """An editor's swap file, for one: it may lie there, it is no transaction, and it can be removed."""
    name = "swap.swp"
    with pair.refusals(f"{name}|not a SQLite database|keep it elsewhere"):
        with open(pair.path(name), "w+b", buffering=0) as file:
            file.write(b"b0VIM 9.0" + bytes(4087))
            file.seek(0)
            assert file.read(5) == b"b0VIM"
        assert wait_until(lambda: name in pair.primary.log_tail(), 5)
    pair.path(name).unlink()
    assert not pair.path(name).exists()
    assert not any(name in names for names in known(pair))


# Copies over a live database, and renaming.


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_copy_over_a_database_is_refused(pair: Pair, plain: Path, mode: str) -> None:
    """And nothing has changed, not even where the copy does not truncate first."""
    name = f"over-{mode}.db"
    path = pair.make(name, f"PRAGMA journal_mode={mode}", rows=20)
    pos = pair.check(name)
    with connect(path) as db:
        db.execute("SELECT 1 FROM t").fetchone()
        for command in (f"cp {plain} {path}", f"cat {plain} > {path}", f"truncate -s 0 {path}"):
            with pair.refusals(f"{name}|truncating|live database|import"):
                fails(command, "Operation not permitted")
        with pair.refusals(f"{name}|copying over|live database|import"):
            fails(f"dd if={plain} of={path} bs=4096 count=1 conv=notrunc", "")
    db.close()
    assert pair.check(name) == pos


def test_a_copy_over_an_empty_file_is_an_import(pair: Pair, plain: Path) -> None:
    run("touch", pair.path("empty.db"))
    run("cp", plain, pair.path("empty.db"))
    assert pair.check("empty.db").txid == 1


def test_renaming_is_refused(pair: Pair) -> None:
    path = pair.make("old.db", rows=3)
    pair.make("target.db", rows=4)
    pos = pair.check("old.db")
    for new in ("new.db", "target.db"):
        with pair.refusals(f"old.db|rename to {new}|keep their names|import -name {new}"):
            fails(f"mv {path} {pair.path(new)}", "Operation not permitted")
    assert pair.check("old.db") == pos
    pair.check("target.db")


def test_other_refused_operations_log_one_line_each(pair: Pair) -> None:
    mount = pair.primary.mount
    pair.make("one.db", rows=1)
    for command, words in {
        f"mkdir {mount}/folder": "folder|directory|databases only|elsewhere",
        f"mkdir {mount}/.one.db-litestream": "directory|databases only|Litestream's meta-path for one.db",
        f"mkfifo {mount}/pipe": "pipe|databases only",
        f"ln -s one.db {mount}/soft.db": "soft.db|symbolic link",
        f"ln {mount}/one.db {mount}/hard.db": "hard.db|hard link",
        f"rm -f {mount}/one.db-pos": "one.db-pos|unlink|mount itself",
        f"echo > {mount}/other-pos": "other-pos|create|mount's own|another name",
        f"echo > {mount}/.primary": ".primary|create|mount's own",
    }.items():
        with pair.refusals(words):
            fails(command)
    pair.check("one.db")


def test_a_replica_refuses_every_write_with_one_line(pair: Pair, plain: Path) -> None:
    """But for one in WAL mode: that SQLite refuses itself, in words, for the WAL opens to be read alone."""
    pair.make("there.db", rows=5)
    wal = pair.make("there-wal.db", "PRAGMA journal_mode=wal", rows=5)
    positions = [pair.check(name) for name in ("there.db", wal.name)]
    copy, mount = pair.copy("there.db"), pair.replica.mount
    for command, words in {
        f"sqlite3 {copy} 'DELETE FROM t'": "there.db|journal|replica|write on the primary",
        f"sqlite3 {copy} 'PRAGMA journal_mode=wal'": "there.db|journal|replica|primary",
        f"rm -f {copy}": "there.db|removing|replica|primary",
        f"cp {plain} {copy}": "there.db|writing|replica|primary",
        f"cp {plain} {mount}/new.db": "new.db|create|replica|primary",
        f"touch {mount}/touched": "touched|create|replica|primary",
        f"sqlite3 {mount}/mistyped.db 'SELECT * FROM t'": "mistyped.db|create|replica|primary",
        f"mv {copy} {mount}/renamed.db": "there.db|rename",
    }.items():
        with refusals_of(pair.replica, words):
            fails(command)
    with refusals_of(pair.replica):
        fails(f"sqlite3 {pair.copy(wal.name)} 'DELETE FROM t'", "readonly database")
    assert not {"new.db", "touched", "mistyped.db"} & known(pair)[1]
    assert [pair.check(name) for name in ("there.db", wal.name)] == positions


# Names.


@pytest.mark.parametrize(
    "name",
    [
        "a/b", "/etc/passwd", "..", ".", "../../../tmp/x", "dbs/../../x", "a\0b", "x" * 241, "",
        "one.db-wal", "one.db-journal", "one.db-shm", "one.db-pos", "one.db-lock", ".primary", ".lag",
        "one.db-mj012345678",
    ],
)  # fmt: skip
def test_names_over_http(pair: Pair, plain: Path, name: str) -> None:
    """Nothing is made or read outside the data directory, nor under a name that means another file."""
    before = [sorted(path for path in node.dir.rglob("*") if path.suffix != ".ltx") for node in pair.cluster]
    imported = pair.http.post(f"{pair.primary.url}/import", params={"name": name}, content=plain.read_bytes())
    assert imported.status_code == httpx.codes.BAD_REQUEST
    assert imported.text.count("\n") == 1
    for node in pair.cluster:
        exported = pair.http.get(f"{node.url}/export", params={"name": name})
        assert exported.status_code in (400, 404), exported.text
    after = [sorted(path for path in node.dir.rglob("*") if path.suffix != ".ltx") for node in pair.cluster]
    assert before == after


def test_strange_but_good_names(pair: Pair, plain: Path) -> None:
    """Blanks, no ending, UTF-8, a dot first, names that contain a suffix, the longest."""
    for name in (
        "two words.db",
        "noending",
        "dätä ☃.sqlite",
        ".hidden.db",
        "a-wal.db",
        "b-journal-x",
        "m" * 240,
    ):
        shutil.copyfile(plain, pair.path(name))
        shell(pair.path(name), "DELETE FROM t WHERE a>10;")
        assert pair.check(name).txid == 2
        assert name in os.listdir(pair.replica.mount)


def test_touched_and_mistyped_names_are_gone_after_a_restart(pair: Pair) -> None:
    """On the primary an empty file is there until then; it is in no position map, and on no replica."""
    run("touch", pair.path("touched"))
    fails(f"sqlite3 {pair.path('mistyped.db')} 'SELECT * FROM t'", "no such table")
    assert pair.path("touched").stat().st_size == 0
    assert "touched" not in pair.primary.positions()
    run("rm", pair.path("touched"))
    assert "touched" not in known(pair)[0]
    run("touch", pair.path("touched"))
    pair.primary.restart()
    assert not {"touched", "mistyped.db"} & (known(pair)[0] | known(pair)[1])
    assert not pair.path("touched").exists()
    shell(pair.path("touched"), "CREATE TABLE t(a);")
    pair.check("touched")


def test_a_journal_copied_beside_a_database_stops_nobody(pair: Pair, tmp_path: Path) -> None:
    """One that is not the database's: SQLite would roll back by it, and leave what is no database."""
    name = "planted.db"
    pair.make(name, rows=300)
    before = content(pair.path(name))
    (tmp_path / "journal").write_bytes(make_journal([[1, 2, 3]], page_size=4096))
    with pair.refusals("rolling back by planted.db-journal|journal.removed"):
        run("cp", tmp_path / "journal", f"{pair.path(name)}-journal")
        assert content(pair.path(name)) == before
    assert pair.check(name).txid == 2
    shell(pair.path(name), "INSERT INTO t(b) VALUES('after');")
    assert pair.check(name).txid == 3
