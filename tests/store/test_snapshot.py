"""Snapshots and exports: the committed bytes of one position, whatever happens meanwhile."""

import errno
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from pylitefs.cluster.cluster import wait_until
from pylitefs.errors import DatabaseNotFoundError, LtxChecksumError, LtxError
from pylitefs.ltx import encoder
from pylitefs.ltx.checksum import EMPTY_CHECKSUM
from pylitefs.ltx.decoder import open_ltx
from pylitefs.store import snapshot
from pylitefs.store.applying import DirectApplier
from pylitefs.store.store import Store
from pylitefs.trace import Event
from tests.store.serving import Served
from tests.store.support import checksum_of, data_file, is_whole, opened, query

MODES = ["delete", "wal"]


@pytest.fixture(params=["between writes", "locked"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Small databases are copied between two writes, large ones under a reader's locks: both, in small."""
    if request.param == "locked":
        monkeypatch.setattr(snapshot, "_SMALL", 0)
    return str(request.param)


def make(served: Served, mode: str) -> sqlite3.Connection:
    db = served.connect("a.db", "page_size=1024", f"journal_mode={mode}", "wal_autocheckpoint=0")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    for size in (10, 3000, 20):
        db.execute("INSERT INTO t (x) VALUES (randomblob(?))", (size,))
    return db


@pytest.mark.parametrize("mode", MODES)
def test_a_snapshot_holds_the_newest_position_and_every_page(
    store: Store, served: Served, tmp_path: Path, way: str, mode: str
) -> None:
    make(served, mode)
    database = store.require("a.db")
    info = store.snapshot(database.name, tmp_path / "out")
    assert info.pos == database.pos and info.size == info.path.stat().st_size
    with open_ltx(info.path) as decoder:
        header = decoder.header
        content = b"".join(page for _, page in decoder.pages())
        assert decoder.trailer.post_apply_checksum == database.pos.checksum == checksum_of(content, 1024)
    assert (header.min_txid, header.max_txid) == (1, database.pos.txid)
    assert (header.pre_apply_checksum, header.wal_offset, header.wal_size, header.wal_salt1) == (0, 0, 0, 0)
    assert header.node_id == store.node_id and header.timestamp_ms >= database.timestamp_ms
    assert list(tmp_path.glob("*.copy")) == []
    assert database.ltx_files()[-1] == (database.pos.txid, database.pos.txid), "it is no file of the database"


@pytest.mark.parametrize("mode", MODES)
def test_an_export_is_a_database_that_sqlite_opens(
    store: Store, served: Served, tmp_path: Path, way: str, mode: str
) -> None:
    make(served, mode)
    out = tmp_path / "out.db"
    assert store.export("a.db", out) == store.require("a.db").pos
    assert is_whole(out)
    assert query(out, "SELECT count(*) FROM t") == [(3,)]


@pytest.mark.parametrize("mode", MODES)
def test_a_transaction_that_is_not_committed_is_in_no_snapshot(
    store: Store, served: Served, tmp_path: Path, way: str, mode: str
) -> None:
    """Not even where its pages are in the file already, its writer killed."""
    db = make(served, mode)
    database = store.require("a.db")
    db.execute("PRAGMA cache_size=1")
    db.execute("BEGIN")
    db.executemany("INSERT INTO t (x) VALUES (randomblob(?))", [(900,)] * 30)
    if mode == "delete":
        assert database.rollback_watch.dirty
        served.refuse = lambda call, name: errno.ENOTCONN
        db.close()
        served.refuse = lambda call, name: 0

        class Rolling(DirectApplier):
            """The applier's SQLite: it reads the database, which rolls the hot journal back."""

            def rollback_hot_journal(self, name: str) -> None:
                other = served.connect(name)
                other.execute("SELECT count(*) FROM t").fetchall()
                other.close()

        store.applier = Rolling(store.data_dir)
    info = store.snapshot(database.name, tmp_path / "out")
    assert info.pos == database.pos
    with opened(tmp_path / "replica", primary=False) as replica:
        replica.receive_ltx("a.db", iter([info.path.read_bytes()]))
        assert query(data_file(replica, "a.db"), "SELECT count(*) FROM t") == [(3,)]


def test_a_shrunk_database_s_old_frames_are_left_out(
    store: Store, served: Served, tmp_path: Path, way: str
) -> None:
    db = make(served, "wal")
    db.execute("INSERT INTO t (x) VALUES (randomblob(50000))")
    db.execute("DELETE FROM t WHERE id > 1")
    db.execute("VACUUM")
    database = store.require("a.db")
    assert store.export(database.name, tmp_path / "out").txid == database.pos.txid
    assert (tmp_path / "out").stat().st_size == database.page_count * 1024
    store.snapshot(database.name, tmp_path / "snapshot")


def test_a_database_that_is_dropped_while_it_is_copied_is_copied_all_the_same(
    store: Store, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`rm` asks for no lock. The files go on being what they were, whatever has their names next."""
    monkeypatch.setattr(snapshot, "_SMALL", 0)
    make(served, "wal").close()
    db = served.connect("a.db", "wal_autocheckpoint=0")
    db.execute("INSERT INTO t (x) VALUES (randomblob(5000))")
    database = store.require("a.db")
    pos = database.pos
    copy = snapshot._copy_bytes

    def drop_first(source: int, target: int, size: int) -> Iterator[int]:
        served.unlink("a.db")
        served.connect("a.db", "page_size=512").execute("CREATE TABLE other (x)")
        yield from copy(source, target, size)

    monkeypatch.setattr(snapshot, "_copy_bytes", drop_first)
    info = store.snapshot(database.name, tmp_path / "out")
    assert info.pos == pos != database.pos
    with opened(tmp_path / "replica", primary=False) as replica:
        replica.receive_ltx("a.db", iter([info.path.read_bytes()]))
        assert query(data_file(replica, "a.db"), "SELECT count(*) FROM t") == [(4,)]


@pytest.mark.parametrize("mode", MODES)
def test_commits_go_on_while_a_snapshot_is_encoded(
    store: Store, served: Served, tmp_path: Path, way: str, mode: str
) -> None:
    """The locks are gone by then: a slow replica keeps no writer out."""
    db = make(served, mode)
    database = store.require("a.db")
    pos = database.pos

    def commit(event: Event) -> None:
        if event.name == "snapshot.end":
            db.execute("INSERT INTO t (x) VALUES ('meanwhile')")

    store.tracer.listen(commit)
    info = store.snapshot(database.name, tmp_path / "out")
    assert info.pos == pos and database.pos.txid == pos.txid + 1


@pytest.fixture
def large(served: Served, monkeypatch: pytest.MonkeyPatch) -> sqlite3.Connection:
    """A database that is copied in pieces of ten pages and a half, with pages in the WAL at many places."""
    monkeypatch.setattr(snapshot, "_SMALL", 0)
    for name, size in (("_FIRST", 3000), ("_COPY", 10 * 1024 + 512)):
        monkeypatch.setattr(snapshot, name, size)
    make(served, "wal").close()
    db = served.connect("a.db", "wal_autocheckpoint=0")
    db.execute("INSERT INTO t (x) SELECT randomblob(900) FROM t a, t b, t c, t d, t e")
    db.execute("PRAGMA wal_checkpoint")
    db.execute("UPDATE t SET x = randomblob(900) WHERE id % 7 = 0")
    db.execute("INSERT INTO t (x) VALUES (randomblob(9000))")
    return db


def beside_the_copy(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], None]) -> None:
    """`act(bytes)` is called in the copying thread after each piece."""
    copy = snapshot._copy_bytes

    def look(source: int, target: int, size: int) -> Iterator[int]:
        for copied in copy(source, target, size):
            yield copied
            act(copied)

    monkeypatch.setattr(snapshot, "_copy_bytes", look)


def test_the_first_bytes_go_out_while_the_copy_is_made(
    store: Store, large: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy waits, half made, until the first pages are out. It is one state all the same, with what the
    WAL holds in its place."""
    database, out = store.require("a.db"), tmp_path / "out"
    os.mkfifo(out)
    read: list[bytes] = []
    begun = threading.Event()

    def take() -> None:
        with open(out, "rb", buffering=0) as pipe:
            while data := pipe.read(4096):
                read.append(data)
                begun.set()

    taker = threading.Thread(target=take, daemon=True)
    taker.start()
    waited: list[bool] = []
    beside_the_copy(monkeypatch, lambda copied: waited.append(copied < 150_000 or begun.wait(60)))
    monkeypatch.setattr(encoder, "BLOCK_SIZE", 1024)
    info = store.snapshot("a.db", out)
    taker.join(60)
    assert len(waited) > 3 and all(waited)
    content = b"".join(read)
    assert info.size == len(content) and not list(tmp_path.glob("*.copy"))
    with opened(tmp_path / "replica", primary=False) as replica:
        assert replica.receive_ltx("a.db", iter([content])).pos == database.pos == info.pos
        found = query(data_file(replica, "a.db"), "SELECT * FROM t")
        assert found == large.execute("SELECT * FROM t").fetchall()


def test_a_copy_that_fails_half_made_is_told_by_both(
    store: Store, large: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has gone out has no end. The next one is whole."""

    def full(copied: int) -> None:
        if copied > 30_000:
            raise OSError(errno.ENOSPC, "No space left on device")

    beside_the_copy(monkeypatch, full)
    with pytest.raises(OSError, match="No space"):
        store.snapshot("a.db", tmp_path / "out")
    assert not list(tmp_path.glob("*.copy")) and not threads()
    with pytest.raises(LtxError), open_ltx(tmp_path / "out") as decoder:
        list(decoder.pages())
    monkeypatch.undo()
    assert store.snapshot("a.db", tmp_path / "out").pos == store.require("a.db").pos


def test_nothing_more_is_copied_for_who_takes_it_no_more(
    store: Store, large: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica that is gone: its error is what is told, and the locks are given back."""
    pieces: list[int] = []

    def wait_for_the_end(copied: int) -> None:
        pieces.append(copied)
        assert wait_until(lambda: not threads(), 60)

    beside_the_copy(monkeypatch, wait_for_the_end)

    def gone(*_: object) -> NoReturn:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(snapshot, "Encoder", gone)
    with pytest.raises(BrokenPipeError):
        store.snapshot("a.db", tmp_path / "out")
    assert len(pieces) <= 1 and not list(tmp_path.glob("*.copy"))


def threads() -> list[str]:
    """Those that encode beside a copy."""
    return [one.name for one in threading.enumerate() if one.name == "snapshot"]


def test_many_snapshots_while_a_writer_commits_are_each_one_position(
    store: Store, served: Served, tmp_path: Path
) -> None:
    db = make(served, "wal")
    database = store.require("a.db")
    positions = {str(database.pos)}
    store.subscribe(lambda name, pos, header: positions.add(str(pos)))
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            db.execute("UPDATE t SET x = randomblob(3000)")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(15):
            info = store.snapshot(database.name, tmp_path / f"out{number}")
            assert str(info.pos) in positions
    finally:
        stop.set()
        writer.join()


def test_a_dropped_database_s_snapshot_has_no_page(store: Store, served: Served, tmp_path: Path) -> None:
    make(served, "delete").close()
    served.unlink("a.db")
    database = store.require("a.db")
    info = store.snapshot(database.name, tmp_path / "out")
    with open_ltx(info.path) as decoder:
        assert decoder.header.commit == 0 and list(decoder.pages()) == []
        assert decoder.trailer.post_apply_checksum == EMPTY_CHECKSUM
    with pytest.raises(DatabaseNotFoundError, match="was dropped at"):
        store.export(database.name, tmp_path / "export")


def test_without_a_transaction_there_is_nothing_to_copy(store: Store, tmp_path: Path) -> None:
    with pytest.raises(DatabaseNotFoundError):
        store.snapshot("a.db", tmp_path / "out")
    with pytest.raises(DatabaseNotFoundError):
        store.require("a.db")


def test_bytes_changed_behind_the_mount_are_found_before_a_replica_gets_them(
    store: Store, served: Served, tmp_path: Path, way: str
) -> None:
    make(served, "delete").close()
    path = data_file(store, "a.db")
    content = bytearray(path.read_bytes())
    content[1500] ^= 1
    path.write_bytes(content)
    with pytest.raises(LtxChecksumError, match="it was changed behind the mount; restart this node"):
        store.snapshot("a.db", tmp_path / "out")
    assert list(tmp_path.glob("*.copy")) == []


def test_snapshots_are_traced_with_their_position(store: Store, served: Served, tmp_path: Path) -> None:
    make(served, "delete")
    events: list[tuple[str, int]] = []
    store.tracer.listen(lambda event: events.append((event.name, event.txid)))
    store.snapshot("a.db", tmp_path / "out")
    assert events == [("snapshot.begin", 4), ("snapshot.end", 4)]
