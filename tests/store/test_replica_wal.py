"""A replica's WAL: there when someone looks, shut to who would write it."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import wait_until
from pylitefs.store.halt_holder import HaltHolder
from pylitefs.store.names import FileKind
from pylitefs.store.store import Store
from tests.store.serving import Served
from tests.store.support import opened
from tests.store.test_halt_holder import URL, Primary


@pytest.fixture
def replica(served: Served, tmp_path: Path) -> Iterator[Store]:
    """A replica that holds `wal.db`, in WAL mode, and `delete.db`; nobody has opened them there."""
    with opened(tmp_path / "replica", primary=False) as replica:
        for name, mode in (("wal.db", "wal"), ("delete.db", "delete")):
            db = served.connect(name, f"journal_mode={mode}")
            db.execute("CREATE TABLE t (x)")
            db.close()
            source = served.store.require(name)
            for span in source.ltx_files():
                replica.receive_ltx(name, iter([source.ltx_path(*span).read_bytes()]))
        yield replica


def test_the_first_look_makes_an_empty_one_in_wal_mode_alone(replica: Store) -> None:
    database = replica.require("wal.db")
    assert not database.path(FileKind.WAL).exists()
    assert database.stat(FileKind.WAL).st_size == 0
    assert database.path(FileKind.WAL).exists()
    for name, kind in (("delete.db", FileKind.WAL), ("wal.db", FileKind.SHM), ("wal.db", FileKind.JOURNAL)):
        with pytest.raises(FileNotFoundError):
            replica.require(name).stat(kind)


def test_a_client_may_read_it_and_the_applier_write(replica: Store) -> None:
    """EACCES, after which SQLite opens it again to read."""
    database = replica.require("wal.db")
    database.stat(FileKind.WAL)
    with pytest.raises(OSError) as refused:
        database.open_file(FileKind.WAL, os.O_RDWR, applier=False)
    assert refused.value.errno == errno.EACCES
    database.release(FileKind.WAL, database.open_file(FileKind.WAL, os.O_RDONLY, applier=False))
    database.release(FileKind.WAL, database.open_file(FileKind.WAL, os.O_RDWR, applier=True), applier=True)


@pytest.mark.parametrize("role", ["primary", "may become primary"])
def test_where_clients_may_have_to_write_it_they_open_it_so(replica: Store, role: str) -> None:
    """A connection keeps the WAL as it opened it, so a promotion would not reach those that are open."""
    if role == "primary":
        replica.status.is_primary = True
    else:
        replica.status.wal_stays_writable = True
    database = replica.require("wal.db")
    with pytest.raises(FileNotFoundError):
        database.stat(FileKind.WAL)
    database.release(FileKind.WAL, database.create_file(FileKind.WAL, os.O_RDWR, applier=False))
    database.release(FileKind.WAL, database.open_file(FileKind.WAL, os.O_RDWR, applier=False))


def test_who_opened_it_before_the_halt_lock_is_told_of_in_the_log(
    replica: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite says "readonly database" there without asking this node again. Once a database is enough; and
    where nobody has it open so, or may open it to write, there is nothing to tell."""
    database = replica.require("wal.db")
    primary = Primary(database.pos)
    replica.status.primary_url = URL
    holder = HaltHolder(replica, lambda: primary)

    def lines_after_a_lock() -> int:
        caplog.clear()
        held = holder.take(database)
        assert held is not None
        holder.give_back(held)
        assert wait_until(lambda: not holder.held(), 10)
        return sum("fuse.replica-wal: writable" in line for line in caplog.messages)

    assert lines_after_a_lock() == 0
    database.stat(FileKind.WAL)
    fd = database.open_file(FileKind.WAL, os.O_RDONLY, applier=False)
    replica.status.wal_stays_writable = True
    assert lines_after_a_lock() == 0
    replica.status.wal_stays_writable = False
    assert [lines_after_a_lock(), lines_after_a_lock()] == [1, 0]
    database.release(FileKind.WAL, fd)
