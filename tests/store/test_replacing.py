"""A file gets a database's name: only where nobody would stay on the one before it."""

import os
from pathlib import Path

from pylitefs.store.names import FileKind
from pylitefs.store.replacing import may_replace, replace
from pylitefs.store.store import Store
from tests.store.serving import Served
from tests.store.support import data_file


def closed(store: Store, served: Served) -> None:
    """A database that nobody has open."""
    db = served.connect("a.db", "page_size=512")
    db.execute("CREATE TABLE t (x)")
    db.close()


def test_the_applier_s_descriptors_go_over_to_the_new_file(
    store: Store, served: Served, tmp_path: Path
) -> None:
    """What it reads and writes from then on is that; the kernel is told to keep no page."""
    closed(store, served)
    database = store.require("a.db")
    fd = database.open_file(FileKind.DATABASE, os.O_RDWR, applier=True)
    own = database.state.fd(FileKind.DATABASE)
    (tmp_path / "new").write_bytes(b"new" * 1000)
    assert replace(database, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert os.pread(fd, 3, 0) == b"new"
    assert os.pread(database.state.fd(FileKind.DATABASE), 3, 0) == b"new", "the node's own was opened anew"
    assert not os.get_inheritable(fd)
    os.pwrite(fd, b"NEW", 0)
    assert data_file(store, "a.db").read_bytes()[:6] == b"NEWnew"
    assert FileKind.DATABASE in database.stale
    database.release(FileKind.DATABASE, fd, applier=True)
    assert not database.files.appliers_database
    del own


def test_nobody_is_left_on_the_old_file(store: Store, served: Served, tmp_path: Path) -> None:
    """A client of any of its files, a hot journal, a WAL with content, a lecture: each keeps the file."""
    closed(store, served)
    database = store.require("a.db")
    before = data_file(store, "a.db").read_bytes()
    new = tmp_path / "new"
    new.write_bytes(b"new")

    def stays() -> bool:
        return not may_replace(database) and not replace(database, new) and new.exists()

    db = served.connect("a.db")
    db.execute("SELECT * FROM t").fetchall()
    assert stays()
    db.execute("PRAGMA journal_mode=wal")
    db.execute("INSERT INTO t VALUES (1)")
    assert stays()
    db.close()
    wal = database.path(FileKind.WAL)
    wal.write_bytes(b"some frames")
    assert stays()
    wal.unlink()
    unlisten = store.tracer.listen(lambda event: None)
    assert stays()
    unlisten()
    assert len(data_file(store, "a.db").read_bytes()) >= len(before)
    assert may_replace(database) and replace(database, new)
