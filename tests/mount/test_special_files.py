"""The special files' bytes, names and times; and whole mounts that are copied away."""

import contextlib
import sqlite3
import subprocess
from pathlib import Path

import pytest

from pylitefs.ltx.position import Pos
from pylitefs.mount.special_files import (
    SpecialFile,
    SpecialKind,
    SpecialName,
    lag_content,
    listed_names,
    position_content,
    primary_content,
    split_special,
)
from pylitefs.store.status import LAG_NEVER_SYNCED, Status
from tests.conftest import ClusterFactory


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (".lag", SpecialName(SpecialKind.LAG, "")),
        (".primary", SpecialName(SpecialKind.PRIMARY, "")),
        ("a.db-pos", SpecialName(SpecialKind.POS, "a.db")),
        ("a.db-lock", SpecialName(SpecialKind.LOCK, "a.db")),
        ("a.db", None),
        ("a.db-wal", None),
        ("-pos", None),
        (".primary-wal", None),
    ],
)
def test_a_name_is_taken_apart(name: str, expected: SpecialName | None) -> None:
    assert split_special(name) == expected


@pytest.mark.parametrize(
    ("lag", "content"),
    [
        (0, b"+000000000\n"),
        (42, b"+000000042\n"),
        (123456789, b"+123456789\n"),
        (LAG_NEVER_SYNCED, b"+2147483647"),
    ],
)
def test_the_lag_is_11_bytes(lag: int, content: bytes) -> None:
    assert lag_content(lag) == content
    assert len(content) == 11


def test_a_position_is_34_bytes() -> None:
    content = position_content(Pos(0x1F, 0x8000000000000ABC))
    assert content == b"000000000000001f/8000000000000abc\n"
    assert len(content) == 34


def test_primary_names_the_host_on_a_connected_replica_only() -> None:
    assert primary_content(Status(is_primary=True, primary_hostname="n1")) is None
    assert primary_content(Status()) is None
    assert primary_content(Status(primary_hostname="n1")) == b"n1\n"


def test_lock_files_are_never_listed() -> None:
    listed = list(listed_names(Status(primary_hostname="n1"), ["a", "b"]))
    assert listed == [".lag", ".primary", "a-pos", "b-pos"]


@pytest.mark.parametrize("name", [".lag", ".primary", "a.db-lock"])
def test_no_time_moves_by_being_asked_for(name: str) -> None:
    """It is the node's start, also where the content is another at each look."""
    special = split_special(name)
    assert special is not None
    status = Status(primary_hostname="n1", started_ns=1_700_000_000_123_456_789)
    assert SpecialFile(special, status, None).mtime_ns == 1_700_000_000_123_456_789


@pytest.mark.fuse
def test_a_mount_is_archived_without_a_word(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    """`tar`, `cp -a` and a second look find each file as it was at the first: on a primary and on a replica,
    in DELETE and WAL mode, as often as one likes."""
    cluster = cluster_factory(replicas=1)
    for name, mode in (("a.db", "delete"), ("b.db", "wal")):
        with contextlib.closing(sqlite3.connect(cluster.primary.database(name))) as db:
            db.execute(f"PRAGMA journal_mode = {mode}")
            db.execute("CREATE TABLE t (x)")
            db.commit()
    cluster.wait_synced()
    for number, node in enumerate(cluster):
        for _ in range(3):
            # Into /dev/null tar would read nothing.
            command = ["tar", "-c", "-f", str(tmp_path / "backup.tar"), "-C", str(node.mount), "."]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, "")
        copy = tmp_path / f"copy-{number}"
        done = subprocess.run(["cp", "-a", node.mount, copy], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        for path in copy.iterdir():
            assert path.stat().st_mtime_ns == (node.mount / path.name).stat().st_mtime_ns, path.name
