"""The data directory's disk is full: commits fail for SQLite, nothing is inconsistent, and with room again
everything goes on. On a real mount, over a small tmpfs."""

import os
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from pylitefs.cli import main
from pylitefs.cluster.cluster import Cluster, ClusterNode, node_facts, wait_until
from pylitefs.cluster.nursery import Nursery
from tests.crash.harness import ROW, Writer, ask, assert_equal_everywhere

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk"),
]

SIZE = 4 << 20
READ_ONLY = ("disk I/O error", "unable to open database file", "attempt to write a readonly database")


@pytest.fixture
def small_disk(tmp_path: Path, nursery: Nursery | None) -> Iterator[Cluster]:
    """A primary whose data directory is a disk of its own, and a replica."""
    settings = {"lease": {"reconnect-delay": "100ms"}}
    cluster = Cluster(tmp_path, replicas=1, controlled=True, settings=settings, nursery=nursery)
    data = cluster.primary.data
    data.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", data], check=True)
    try:
        with cluster:
            yield cluster
    finally:
        subprocess.run(["umount", data], check=True)


def import_meets_full_disk(
    primary: ClusterNode, name: str, source: Path, tracepoint: str, ballast: Path
) -> list[httpx.Response]:
    """Import while the disk is filled up at a tracepoint; the answer, if one came."""
    assert primary.control is not None
    gate = primary.control.gate(tracepoint, database=name)
    answers: list[httpx.Response] = []

    def send() -> None:
        url, data = f"{primary.url}/import", source.read_bytes()
        answers.append(httpx.post(url, params={"name": name}, content=data, timeout=60, trust_env=False))

    sending = threading.Thread(target=send)
    sending.start()
    try:
        assert gate.wait(20) is not None
        fill(ballast, leave=0)
    finally:
        gate.close()
        sending.join(30)
    return answers


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_commits_fail_while_the_disk_is_full_and_work_again_after(small_disk: Cluster, mode: str) -> None:
    primary, name = small_disk.primary, "a.db"
    writer = Writer(primary.database(name))
    try:
        writer.run(f"PRAGMA journal_mode={mode}", "CREATE TABLE t (id INTEGER PRIMARY KEY, x)", ROW)
        rows = 1
        errors: list[str] = []
        ballast = primary.data / "ballast"
        ballast.write_bytes(bytes(2 << 20))
        while len(errors) < 5:
            writer.send(ROW)
            answer = writer.answer()
            if "ok" in answer:
                assert not errors, "with a full disk nothing works that did not work just before"
                rows += 1
            else:
                errors.append(answer["error"])
        assert set(errors) <= {"disk I/O error", "database or disk is full"}
        assert writer.run("SELECT count(*), max(id) FROM t") == [[rows, rows]]
        assert ask(primary.database(name), "PRAGMA integrity_check") == [["ok"]]
        small_disk.wait_synced(60)  # Some two hundred transactions, each synced twice.
        assert ask(small_disk.replicas[0].database(name), "SELECT count(*) FROM t") == [[rows]]
        ballast.unlink()
        for _ in range(3):
            writer.run(ROW)
        assert writer.run("SELECT count(*), max(id) FROM t") == [[rows + 3, rows + 3]]
    finally:
        writer.end()
    assert_equal_everywhere(small_disk, [name])
    primary.kill9()
    primary.restart()
    assert ask(primary.database(name), "SELECT count(*) FROM t") == [[rows + 3]]
    assert_equal_everywhere(small_disk, [name])


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_an_import_without_room_for_its_pages_is_finished_once_there_is_room(
    small_disk: Cluster, tmp_path: Path, mode: str
) -> None:
    """Until then nobody sees it: not the position, no reader, no replica. And nobody reads a half."""
    primary, name = small_disk.primary, "a.db"
    assert primary.control is not None
    ask(primary.database(name), f"PRAGMA journal_mode={mode}", "CREATE TABLE t (x)", ROW)
    small_disk.wait_synced()
    before = primary.positions()
    source = tmp_path / "source"
    with closing(sqlite3.connect(source)) as db, db:
        db.execute("CREATE TABLE t (x)")
        db.executemany("INSERT INTO t VALUES (zeroblob(?))", [(4000,)] * 200)
    answers: list[httpx.Response] = []

    def send() -> None:
        url = f"{primary.url}/import"
        data = source.read_bytes()
        answers.append(httpx.post(url, params={"name": name}, content=data, timeout=60, trust_env=False))

    gate = primary.control.gate("ltx.commit", database=name)
    sending = threading.Thread(target=send)
    sending.start()
    ballast = primary.data / "ballast"
    try:
        assert gate.wait(20) is not None
        fill(ballast, leave=128 << 10)
        gate.close()
        assert wait_until(lambda: "written in part and waits: No space left" in primary.log.read_text(), 20)
        for _ in range(3):
            with pytest.raises(AssertionError, match="database is locked"):
                ask(primary.database(name), "PRAGMA busy_timeout=200", "SELECT count(*) FROM t")
            assert primary.positions() == before == small_disk.replicas[0].positions()
        assert not answers
        assert "is full" in node_facts(primary.url)["disk"]
    finally:
        gate.close()
        ballast.unlink(missing_ok=True)
        sending.join(30)
    assert [answer.status_code for answer in answers] == [200]
    assert ask(primary.database(name), "SELECT count(*) FROM t") == [[200]]
    assert primary.positions()[name].txid == before[name].txid + 1
    assert_equal_everywhere(small_disk, [name])
    assert primary.log.read_text().count("written in part and waits") == 1
    assert node_facts(primary.url)["disk"] == ""


def test_a_full_disk_is_one_line_when_it_begins_and_one_when_it_ends(
    small_disk: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    """However many commits fail; and `status` says it."""
    primary, name = small_disk.primary, "a.db"
    ask(primary.database(name), "CREATE TABLE t (id INTEGER PRIMARY KEY, x)", ROW)
    ballast = primary.data / "ballast"
    fill(ballast, leave=0)
    for _ in range(4):
        with pytest.raises(AssertionError, match=r"disk I/O error|is full|unable to open"):
            ask(primary.database(name), ROW)
    full = f"the disk of {primary.data} is full: make room"
    assert primary.log.read_text().count(full) == 1
    assert main.run(["status", "--url", primary.url]) == 0
    assert full in capfd.readouterr().err
    assert ask(primary.database(name), "SELECT count(*) FROM t") == [[1]]
    ballast.unlink()
    ask(primary.database(name), ROW)
    assert primary.log.read_text().count(f"the disk of {primary.data} takes transactions again") == 1


def test_on_a_disk_that_became_read_only_readers_read(small_disk: Cluster) -> None:
    """Old and new ones; writers get SQLite's error, and the log says why, once."""
    primary = small_disk.primary
    for mode in ("delete", "wal"):
        ask(primary.database(f"{mode}.db"), f"PRAGMA journal_mode={mode}", "CREATE TABLE t (x)", ROW)
    small_disk.wait_synced()
    old = Writer(primary.database("delete.db"))
    old.run("SELECT count(*) FROM t")
    subprocess.run(["mount", "--bind", primary.data, primary.data], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", primary.data], check=True)
        assert old.run("SELECT count(*) FROM t") == [[1]]
        assert ask(primary.database("delete.db"), "SELECT count(*) FROM t") == [[1]]
        assert ask(primary.database("wal.db"), "SELECT count(*) FROM t") == [[1]]
        for _ in range(4):
            old.send("INSERT INTO t VALUES (1)")
            assert old.answer().get("error") in READ_ONLY
        assert primary.log.read_text().count("is read-only: look for the reason") == 1
    finally:
        old.end()
        subprocess.run(["umount", primary.data], check=True)
    ask(primary.database("delete.db"), ROW)
    assert primary.log.read_text().count(f"the disk of {primary.data} takes transactions again") == 1


def test_a_disk_without_inodes_is_told_as_such(tmp_path: Path) -> None:
    """There is room, so only the log can say what is wrong; one line when it begins and one when it ends."""
    cluster = Cluster(tmp_path, replicas=0)
    primary = cluster.primary
    with small(primary.data, "nr_inodes=64"), cluster:
        ask(primary.database("a.db"), "CREATE TABLE t (id INTEGER PRIMARY KEY, x)", ROW)
        names: list[Path] = []
        with pytest.raises(OSError, match="No space left"):
            for number in range(100):
                path = primary.data / f"small{number}"
                path.touch()
                names.append(path)
        for _ in range(4):
            with pytest.raises(AssertionError, match=r"disk I/O error|is full|unable to open"):
                ask(primary.database("a.db"), ROW)
        assert ask(primary.database("a.db"), "SELECT count(*) FROM t") == [[1]]
        assert primary.log.read_text().count("has no inodes left: remove small files") == 1
        assert primary.log.read_text().count("level=ERROR") == 1, primary.log_tail()
        for path in names:
            path.unlink()
        ask(primary.database("a.db"), ROW)
        assert ask(primary.database("a.db"), "SELECT count(*) FROM t") == [[2]]
        assert primary.log.read_text().count("takes transactions again") == 1


@pytest.mark.parametrize("option", ["full", "inodes", "read-only"])
def test_a_start_on_such_a_disk_says_what_to_do(tmp_path: Path, option: str) -> None:
    """The command's exit code is 1, and its one line is no bug of pylitefs."""
    cluster = Cluster(tmp_path, replicas=0)
    node = cluster.primary
    node.dir.mkdir()
    cluster.write_config(node)
    with small(node.data, "nr_inodes=1" if option == "inodes" else f"size={SIZE}"):
        if option == "full":
            fill(node.data / "ballast", leave=0)
        if option == "read-only":
            subprocess.run(["mount", "-o", "remount,ro", node.data], check=True)
        done = subprocess.run(
            node.command(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )
    wanted = {"full": "is full: make room", "inodes": "has no inodes left", "read-only": "is read-only"}
    said = done.stderr + done.stdout
    assert done.returncode == 1 and f"cannot start: the disk of {node.data} {wanted[option]}" in said, said
    assert "bug in pylitefs" not in said and "Traceback" not in said
    assert len(said.strip().splitlines()) == 1, said


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_an_import_of_which_nothing_fits_has_not_happened(
    small_disk: Cluster, tmp_path: Path, mode: str
) -> None:
    """An error, and the position, the file and the LTX files are as they were; the next commit works."""
    primary, name = small_disk.primary, "a.db"
    ask(
        primary.database(name),
        f"PRAGMA journal_mode={mode}",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x)",
        ROW,
    )
    small_disk.wait_synced()
    directory = primary.data / "dbs" / name

    def state() -> tuple[object, ...]:
        files = [path for path in directory.rglob("*") if path.is_file() and path.name != "shm"]
        return primary.positions(), {path: path.read_bytes() for path in files}

    before = state()
    source = tmp_path / "source"
    with closing(sqlite3.connect(source)) as db, db:
        db.execute("CREATE TABLE t (x)")
        db.executemany("INSERT INTO t VALUES (zeroblob(?))", [(4000,)] * 200)
    ballast = primary.data / "ballast"
    answers = import_meets_full_disk(primary, name, source, "ltx.encode", ballast)
    try:
        assert [answer.status_code for answer in answers] != [200] and len(answers) == 1
        assert "No space left" in answers[0].text or "full" in answers[0].text
        assert state() == before
        assert ask(primary.database(name), "SELECT count(*) FROM t") == [[1]]
    finally:
        ballast.unlink()
    ask(primary.database(name), ROW)
    assert_equal_everywhere(small_disk, [name])


def test_an_import_of_a_new_database_whose_first_page_does_not_fit_has_not_happened(
    small_disk: Cluster, tmp_path: Path
) -> None:
    """Its LTX file was there, and goes again: no position, no file, and the name can be used afterwards."""
    primary, name = small_disk.primary, "new.db"
    source = tmp_path / "source"
    with closing(sqlite3.connect(source)) as db, db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    ballast = primary.data / "ballast"
    answers = import_meets_full_disk(primary, name, source, "ltx.commit", ballast)
    try:
        assert len(answers) == 1 and answers[0].status_code != 200 and "No space left" in answers[0].text
        assert name not in primary.positions() and name not in small_disk.replicas[0].positions()
        assert not primary.database(name).exists()
        assert not list((primary.data / "dbs" / name).rglob("*.ltx"))
    finally:
        ballast.unlink()
    ask(primary.database(name), "CREATE TABLE t (id INTEGER PRIMARY KEY, x)", ROW)
    assert_equal_everywhere(small_disk, [name])


@contextmanager
def small(directory: Path, options: str) -> Iterator[None]:
    """A tmpfs of its own at `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", directory], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", directory], check=True)


def fill(ballast: Path, leave: int) -> None:
    """Write until so many bytes are free."""
    figures = os.statvfs(ballast.parent)
    ballast.write_bytes(bytes(max(figures.f_bavail * figures.f_frsize - leave, 0)))
