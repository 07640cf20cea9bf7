"""What real LiteFS shows in its mount, name by name, on a real mount over a real store."""

import errno
import os
import re
import sqlite3
import stat
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.mount.conftest import Mounted, refusal, until

pytestmark = pytest.mark.fuse


def make_database(mounted: Mounted, name: str = "a.db", mode: str = "delete") -> Path:
    path = mounted.dir / name
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA journal_mode={mode}")
        with db:
            db.execute("CREATE TABLE t (x)")
    return path


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def become_replica(mounted: Mounted, hostname: str | None = None) -> None:
    mounted.ask("role", primary=False, hostname=hostname)
    until(lambda: mode_of(mounted.dir) == 0o555)


def test_the_directory_may_be_written_on_the_primary_only(mount: Mounted) -> None:
    assert mode_of(mount.dir) == 0o777
    become_replica(mount)
    assert mode_of(mount.dir) == 0o555


def test_sqlites_files_have_mode_0666_and_a_replicas_database_0444(mount: Mounted) -> None:
    path = make_database(mount, mode="wal")
    with closing(sqlite3.connect(path)) as db:
        db.execute("SELECT * FROM t").fetchall()
        for suffix in ("", "-wal", "-shm"):
            assert mode_of(Path(f"{path}{suffix}")) == 0o666
        become_replica(mount)
        until(lambda: mode_of(path) == 0o444)
        assert mode_of(Path(f"{path}-shm")) == 0o666


def test_a_position_file_holds_34_bytes_and_the_transactions_time(mount: Mounted) -> None:
    before = time.time()
    path = make_database(mount)
    position = Path(f"{path}-pos")
    assert re.fullmatch(rb"0000000000000001/[89a-f][0-9a-f]{15}\n", position.read_bytes())
    assert position.stat().st_size == 34
    assert before - 1 <= position.stat().st_mtime <= time.time()
    assert mode_of(position) == 0o666
    with refusal(errno.EACCES):
        os.open(position, os.O_WRONLY)


def test_a_position_is_read_anew_through_the_same_handle(mount: Mounted) -> None:
    path = make_database(mount)
    with open(f"{path}-pos", "rb", buffering=0) as position, closing(sqlite3.connect(path)) as db:
        first = position.read()
        with db:
            db.execute("INSERT INTO t VALUES (1)")
        position.seek(0)
        second = position.read()
        assert first.startswith(b"0000000000000001/")
        assert second.startswith(b"0000000000000002/")
        assert second == Path(f"{path}-pos").read_bytes()


def test_a_dropped_database_keeps_its_position_file_out_of_the_listing(mount: Mounted) -> None:
    path = make_database(mount)
    path.unlink()
    assert Path(f"{path}-pos").read_bytes() == b"0000000000000002/8000000000000000\n"
    assert os.listdir(mount.dir) == [".lag"]


def test_lag_is_11_bytes_and_counts(mount: Mounted) -> None:
    lag = mount.dir / ".lag"
    assert lag.read_bytes() == b"+000000000\n"
    assert lag.stat().st_size == 11
    assert mode_of(lag) == 0o444
    mount.ask("role", primary=False)
    assert lag.read_bytes() == b"+2147483647"
    mount.ask("role", primary=False, heard_ms=int(time.time() * 1000) - 5000)
    first = lag.read_bytes()
    assert re.fullmatch(rb"\+00000\d{4}\n", first)
    until(lambda: int(lag.read_bytes()) > int(first) >= 5000)


def test_primary_is_there_on_a_connected_replica_only(mount: Mounted) -> None:
    primary = mount.dir / ".primary"
    assert not primary.exists()
    assert ".primary" not in os.listdir(mount.dir)
    become_replica(mount, hostname="n1.example")
    until(primary.exists)
    assert primary.read_bytes() == b"n1.example\n"
    assert ".primary" in os.listdir(mount.dir)
    mount.ask("role", primary=False)
    with refusal(errno.ENOENT):
        os.open(primary, os.O_RDONLY)
    until(lambda: not primary.exists())


def test_the_listing_shows_databases_side_files_and_positions_but_no_locks(mount: Mounted) -> None:
    path = make_database(mount, "w.db", mode="wal")
    make_database(mount, "a.db")
    with closing(sqlite3.connect(path)) as db:
        db.execute("SELECT * FROM t").fetchall()
        expected = [".lag", "a.db", "a.db-pos", "w.db", "w.db-pos", "w.db-shm", "w.db-wal"]
        assert sorted(os.listdir(mount.dir)) == expected


def test_the_lock_file_opens_on_the_primary_and_takes_no_bytes(mount: Mounted) -> None:
    path = make_database(mount)
    lock = Path(f"{path}-lock")
    with open(lock, "wb", buffering=0) as handle, refusal(errno.EIO):
        handle.write(b"x")
    assert lock.read_bytes() == b""
    with refusal(errno.ENOENT):
        os.open(mount.dir / "nobody.db-lock", os.O_RDONLY)


def test_a_replica_refuses_every_write_with_the_errno_sqlite_expects(mount: Mounted) -> None:
    path = make_database(mount)
    become_replica(mount)
    for change in (
        lambda: os.open(f"{path}-journal", os.O_RDWR | os.O_CREAT),
        lambda: os.open(mount.dir / "new.db", os.O_RDWR | os.O_CREAT),
        path.unlink,
    ):
        with refusal(errno.EACCES):
            change()
    with open(path, "r+b", buffering=0) as database, refusal(errno.EIO):
        database.write(b"x")
    wal = os.open(f"{path}-wal", os.O_RDWR | os.O_CREAT)
    with refusal(errno.EACCES):
        os.pwrite(wal, b"x", 0)
    os.close(wal)
    shm = os.open(f"{path}-shm", os.O_RDWR | os.O_CREAT)
    assert os.pwrite(shm, b"x", 0) == 1
    os.close(shm)
    assert not (mount.data_dir / "dbs" / "new.db").exists()
    assert all("write on the primary" in line for line in mount.log), "each refusal is a line with a way out"


def test_sqlite_on_a_replica_says_readonly_in_rollback_mode(mount: Mounted) -> None:
    path = make_database(mount)
    become_replica(mount)
    with (
        closing(sqlite3.connect(path)) as db,
        pytest.raises(sqlite3.OperationalError, match="attempt to write a readonly database"),
    ):
        db.execute("INSERT INTO t VALUES (1)")


def test_unlinking_a_database_on_the_primary_drops_it(mount: Mounted) -> None:
    path = make_database(mount)
    path.unlink()
    assert not path.exists()
    make_database(mount)
    assert Path(f"{path}-pos").read_bytes().startswith(b"0000000000000003/")


def test_directories_links_and_new_names_are_refused(mount: Mounted) -> None:
    path = make_database(mount)
    for change in (
        (mount.dir / "d").mkdir,
        lambda: (mount.dir / "l").symlink_to(path),
        lambda: os.link(path, mount.dir / "l"),
        lambda: os.mkfifo(mount.dir / "p"),
        lambda: path.rename(mount.dir / "b.db"),
        (mount.dir / "x-pos").touch,
    ):
        with refusal(errno.EPERM):
            change()
    until(lambda: any("pylitefs import -name b.db" in line for line in mount.log))


def test_extended_attributes_are_not_there_and_the_kernel_stops_asking(mount: Mounted) -> None:
    path = make_database(mount)
    with refusal(errno.EOPNOTSUPP):
        os.getxattr(path, "user.x")


def test_statfs_has_the_data_directorys_figures(mount: Mounted) -> None:
    here, there = os.statvfs(mount.dir), os.statvfs(mount.data_dir)
    assert (here.f_bsize, here.f_blocks, here.f_files) == (there.f_bsize, there.f_blocks, there.f_files)


def test_mode_owner_and_times_may_be_set_and_stay_as_they_are(mount: Mounted) -> None:
    path = make_database(mount)
    path.chmod(0o600)
    os.chown(path, 1, 1)
    os.utime(path, (1, 1))
    assert mode_of(path) == 0o666
    assert path.stat().st_uid == os.getuid()


def test_a_mistyped_name_leaves_nothing_behind(mount: Mounted) -> None:
    with refusal(errno.ENOENT):
        os.open(mount.dir / "nope.db", os.O_RDONLY)
    with refusal(errno.ENOENT):
        os.open(mount.dir / "nope.db-wal", os.O_RDWR | os.O_CREAT)
    (mount.dir / "foo").touch()
    (mount.dir / "foo").unlink()
    assert os.listdir(mount.data_dir / "dbs") == []
    assert not (mount.dir / "foo-pos").exists()


def test_a_name_that_is_too_long_or_no_text_is_refused(mount: Mounted) -> None:
    with refusal(errno.ENAMETOOLONG):
        (mount.dir / ("x" * 250)).touch()
    with refusal(errno.EILSEQ):
        os.stat(os.fsencode(mount.dir) + b"/\xff.db")


def test_a_name_that_is_no_text_is_told_once(mount: Mounted) -> None:
    """Latin-1, say, from a disk of long ago; whoever tries again and again fills no log."""
    path = os.fsencode(mount.dir) + b"/caf\xe9.db"
    for _ in range(3):
        with refusal(errno.EILSEQ):
            os.open(path, os.O_RDWR | os.O_CREAT)
        with refusal(errno.EILSEQ):
            os.unlink(path)
    line = r"WARNING mount: caf\xe9.db is refused with EILSEQ: its name is not UTF-8 (Latin-1, perhaps); "
    line += "use another name"
    until(lambda: line in mount.log)
    assert mount.log.count(line) == 1


def test_one_transaction_over_two_attached_databases(mount: Mounted) -> None:
    path = make_database(mount)
    make_database(mount, "b.db")
    with closing(sqlite3.connect(path)) as db:
        db.execute("ATTACH ? AS b", (str(mount.dir / "b.db"),))
        with db:
            db.execute("INSERT INTO main.t VALUES (1)")
            db.execute("INSERT INTO b.t VALUES (1)")
    for name in ("a.db", "b.db"):
        assert (mount.dir / f"{name}-pos").read_bytes().startswith(b"0000000000000002/")
    assert not [name for name in os.listdir(mount.data_dir / "dbs/a.db") if name.startswith("mj")]
