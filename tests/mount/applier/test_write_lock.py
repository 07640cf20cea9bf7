"""What is done under the write lock: a database takes the place of another."""

from pathlib import Path

import pytest

from pylitefs.errors import ApplierError
from pylitefs.mount.applier.applier import Applier

from .support import Source, make_rows
from .test_locks import MODES, connect, prepare


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("imported", MODES)
def test_an_import_under_the_write_lock(
    applier: Applier, mount_dir: Path, tmp_path: Path, mode: str, imported: str
) -> None:
    """A whole database takes the place of another while clients are connected, whatever the modes."""
    prepare(applier, tmp_path, mode)
    db = connect(mount_dir)
    db.execute("UPDATE t SET v = 1")
    other = Source(tmp_path / "other", mode=imported, page_size=8192)
    other.execute("CREATE TABLE u (x)", "INSERT INTO u VALUES (42)")
    other.db.execute("PRAGMA schema_version=77")  # An import gives it a number that no client remembers.
    with applier.write_lock("a.db") as lock:
        lock.apply(other.capture(snapshot=True))
    assert (mount_dir / "a.db").read_bytes() == other.content()
    assert db.execute("SELECT x FROM u").fetchall() == [(42,)]
    db.execute("INSERT INTO u VALUES (43)")
    fresh = connect(mount_dir)
    assert fresh.execute("SELECT count(*) FROM u").fetchone() == (2,)
    fresh.execute("INSERT INTO u VALUES (44)")
    assert db.execute("SELECT count(*) FROM u").fetchone() == (3,)
    fresh.close()
    db.close()
    assert not (mount_dir / "a.db-wal").exists()
    again = connect(mount_dir)
    assert again.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert again.execute("PRAGMA journal_mode").fetchone() == (imported,)
    again.close()


@pytest.mark.parametrize("mode", MODES)
def test_the_write_lock_tells_the_index_as_it_was(
    applier: Applier, mount_dir: Path, tmp_path: Path, mode: str
) -> None:
    """While it is held the headers are zeros, to keep readers out; afterwards they are what they were."""
    prepare(applier, tmp_path, mode)
    db = connect(mount_dir)
    db.execute("UPDATE t SET v = 1")
    before = applier.wal_index("a.db")[:96]
    with applier.write_lock("a.db") as lock:
        assert lock.index[:96] == (before if mode == "wal" else b"")
        assert mode != "wal" or not any(applier.wal_index("a.db")[:96])
    assert applier.wal_index("a.db")[:96] == before
    db.close()


def test_an_import_of_a_new_name(applier: Applier, mount_dir: Path, tmp_path: Path) -> None:
    source = Source(tmp_path / "source", mode="wal")
    make_rows(source)
    with applier.write_lock("new.db") as lock:
        lock.apply(source.capture(snapshot=True))
    assert (mount_dir / "new.db").read_bytes() == source.content()
    with applier.write_lock("new.db") as lock:
        lock.apply(source.capture(drop=True))
    assert list(mount_dir.glob("new.db*")) == []


def test_the_locks_of_an_applier_that_died_are_lost(applier: Applier, tmp_path: Path) -> None:
    """Each call says so, with what to do."""
    source = prepare(applier, tmp_path, "delete")
    with pytest.raises(ApplierError, match="are lost"), applier.write_lock("a.db") as lock:
        lock.check()
        lock._child.process.kill()
        lock._child.process.wait()
        with pytest.raises(ApplierError, match="are lost: the applier process ended"):
            lock.check()
        lock.apply(source.capture(snapshot=True))
