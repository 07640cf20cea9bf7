"""The data directory's disk is full: commits fail for SQLite, nothing is inconsistent, and with room again
everything goes on. On a real mount, over a small tmpfs."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.cluster import Cluster
from tests.crash.harness import ROW, Writer, ask, assert_equal_everywhere

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk"),
]

SIZE = 4 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Cluster]:
    """A primary whose data directory is a disk of its own, and a replica."""
    cluster = Cluster(tmp_path, replicas=1, settings={"lease": {"reconnect-delay": "100ms"}})
    data = cluster.primary.data
    data.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", data], check=True)
    try:
        with cluster:
            yield cluster
    finally:
        subprocess.run(["umount", data], check=True)


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
        small_disk.wait_synced()
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
