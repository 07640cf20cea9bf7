"""An import is encoded on its way in, and the guess that this takes is looked at again."""

import io
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.errors import SqliteFormatError
from pylitefs.ltx.decoder import verify_file
from pylitefs.ltx.encoder import Encoder
from pylitefs.ltx.position import Pos
from pylitefs.store import arriving, capture, imports
from pylitefs.store.arriving import Arrival
from pylitefs.store.names import FileKind
from pylitefs.store.store import Store
from tests.store.crashes import watching
from tests.store.serving import Served
from tests.store.support import assert_position_is_the_bytes_own, data_file, is_whole, opened, replayed


def database(path: Path, page_size: int = 512, mode: str = "delete", size: int = 40_000) -> bytes:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"PRAGMA page_size={page_size}")
        db.execute(f"PRAGMA journal_mode={mode}")
        db.execute("CREATE TABLE imported (x)")
        db.execute("INSERT INTO imported VALUES (randomblob(?))", (size,))
    return path.read_bytes()


class Trickle(io.BytesIO):
    """A source that gives what it likes, as requests do; `on_read` is called before each piece."""

    def __init__(self, content: bytes, piece: int, on_read: Callable[[int], None] = lambda at: None) -> None:
        super().__init__(content)
        self._piece = piece
        self._on_read = on_read

    def read(self, size: int | None = -1) -> bytes:
        self._on_read(self.tell())
        return super().read(self._piece)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How each import's LTX file came about: `on the way`, or `afterwards`."""
    how: list[str] = []
    after, arrived = capture.capture, capture.capture_arrived

    def capture_afterwards(*args: object, **more: object) -> object:
        how.append("afterwards")
        return after(*args, **more)  # type: ignore[arg-type]

    def capture_on_the_way(*args: object) -> object:
        how.append("on the way")
        return arrived(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(imports, "capture", capture_afterwards)
    monkeypatch.setattr(imports, "capture_arrived", capture_on_the_way)
    return how


def assert_imported(store: Store, content: bytes, pos: Pos) -> None:
    """The bytes are there, and the LTX file says the same, as every replica will see it."""
    found = store.require("a.db")
    assert found.pos == pos
    assert data_file(store, "a.db").read_bytes()[100:] == content[100:]
    assert_position_is_the_bytes_own(found)
    assert is_whole(data_file(store, "a.db"))
    path = found.ltx_path(pos.txid, pos.txid)
    header, trailer = verify_file(path)
    assert (header.min_txid, header.max_txid) == (pos.txid, pos.txid)
    assert trailer.post_apply_checksum == pos.checksum and header.node_id == store.node_id
    assert path.stat().st_mode & 0o777 == data_file(store, "a.db").stat().st_mode & 0o777 == 0o600
    if pos.txid == 1:
        assert replayed(found) == data_file(store, "a.db").read_bytes()
    assert not list((store.data_dir / "tmp").iterdir())


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
@pytest.mark.parametrize("piece", [1, 99, 511, 5000, 1 << 20])
def test_pieces_of_any_size_make_the_same_ltx_file(
    store: Store, tmp_path: Path, encoded: list[str], page_size: int, piece: int
) -> None:
    content = database(tmp_path / "source", page_size)
    pos = store.import_database("a.db", Trickle(content, max(piece, len(content) // 2000)), len(content))
    assert_imported(store, content, pos)
    assert encoded == ["on the way"]


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_database_is_replaced_by_the_file_that_came(
    store: Store, served: Served, tmp_path: Path, encoded: list[str], mode: str
) -> None:
    """Not a page of it is written twice, and its position goes on from the one before."""
    db = served.connect("a.db", f"journal_mode={mode}")
    db.execute("CREATE TABLE t (x)")
    db.close()
    before = store.require("a.db").pos
    content = database(tmp_path / "source", mode=mode)
    writes: list[str] = []
    with watching(store.data_dir, lambda call, name, fd: writes.append(f"{call} {Path(name).name}")):
        pos = store.import_database("a.db", Trickle(content, 10_000))
    assert pos.txid == before.txid + 1 and encoded == ["on the way"]
    assert "pwrite database" not in writes
    ltx, file = (at for at, call in enumerate(writes) if call.startswith("rename"))
    assert writes[ltx - 1].startswith("fdatasync"), "durable before it has its name"
    assert writes[ltx + 1] == "fsync ltx" and ltx < file, "and its name before anyone sees the database"
    assert_imported(store, content, pos)
    header, _ = verify_file(store.require("a.db").ltx_path(pos.txid, pos.txid))
    assert header.pre_apply_checksum == before.checksum
    again = served.connect("a.db")
    assert again.execute("SELECT count(*) FROM imported").fetchall() == [(1,)]
    again.execute("INSERT INTO imported VALUES (1)")
    assert_position_is_the_bytes_own(store.require("a.db"))


def test_commits_while_it_arrives_come_before_it(
    store: Store, served: Served, tmp_path: Path, encoded: list[str]
) -> None:
    """Its header is written last, so it continues the position that there is then."""
    db = served.connect("a.db")
    db.execute("CREATE TABLE t (x)")
    db.close()
    content = database(tmp_path / "source")

    def commit(at: int) -> None:
        if at == 20_000:
            other = served.connect("a.db")
            other.execute("INSERT INTO t VALUES (1)")
            other.close()

    pos = store.import_database("a.db", Trickle(content, 10_000, commit))
    assert pos.txid == 3 and encoded == ["on the way"]
    assert_imported(store, content, pos)


def test_who_opens_the_database_meanwhile_sees_the_import(
    store: Store, served: Served, tmp_path: Path, encoded: list[str]
) -> None:
    """The guess of the counters is wrong then: it is encoded afterwards, and written page by page."""
    db = served.connect("a.db")
    db.execute("CREATE TABLE t (x)")
    db.close()
    content = database(tmp_path / "source")
    clients: list[sqlite3.Connection] = []

    def come(at: int) -> None:
        if at == 20_000:
            clients.append(served.connect("a.db"))
            clients[0].execute("SELECT * FROM t").fetchall()

    inode = data_file(store, "a.db").stat().st_ino
    pos = store.import_database("a.db", Trickle(content, 10_000, come))
    assert encoded == ["afterwards"] and data_file(store, "a.db").stat().st_ino == inode
    assert clients[0].execute("SELECT count(*) FROM imported").fetchall() == [(1,)]
    assert_imported(store, content, pos)


def test_the_lock_page_is_left_out(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the file, and in no LTX file. (The real one is at a gibibyte; here it is the fourth.)"""
    content = database(tmp_path / "source")
    monkeypatch.setattr(arriving, "lock_pgno", lambda page_size: 4)
    given: list[int] = []
    encode_run = Encoder.encode_run

    def note(encoder: object, pgnos: list[int], pages: memoryview) -> list[int]:
        given.extend(pgnos)
        assert all(pages[n * 512 : n * 512 + 512] for n in range(len(pgnos)))
        at = (pgnos[-1] - 1) * 512
        assert pages[-512:] == content[at : at + 512] or pgnos[-1] == 1
        return encode_run(encoder, pgnos, pages)  # type: ignore[arg-type]

    monkeypatch.setattr(Encoder, "encode_run", note)
    with Arrival("a.db", store._facts, store.temp_path(".import"), None) as arrival:
        arrival.take(Trickle(content, 5000))
        assert arrival.is_encoded() and arrival.whole() == (512, len(content) // 512)
    assert given == [1, 2, 3, *range(5, len(content) // 512 + 1)]


@pytest.mark.parametrize("watched", [True, False])
def test_what_cannot_be_guessed_is_encoded_afterwards(
    store: Store, tmp_path: Path, encoded: list[str], watched: bool
) -> None:
    """A lecture sees the steps one after the other; and an old header says nothing of its pages."""
    content = bytearray(database(tmp_path / "source"))
    if watched:
        store.tracer.listen(lambda event: None)
    else:
        content[92:96] = bytes(4)
    pos = store.import_database("a.db", io.BytesIO(content))
    assert encoded == ["afterwards"]
    assert_imported(store, bytes(content), pos)


def test_an_old_header_is_enough_where_the_length_is_known(
    store: Store, tmp_path: Path, encoded: list[str]
) -> None:
    content = bytearray(database(tmp_path / "source"))
    content[92:96] = bytes(4)
    pos = store.import_database("a.db", io.BytesIO(content), len(content))
    assert encoded == ["on the way"]
    assert_imported(store, bytes(content), pos)


def test_a_damaged_database_is_never_shown(store: Store, served: Served, tmp_path: Path) -> None:
    """SQLite is asked before anything changes, however far the import is encoded by then."""
    served.connect("a.db").execute("CREATE TABLE t (x)")
    served.close()
    before, bytes_before = store.positions(), data_file(store, "a.db").read_bytes()
    content = bytearray(database(tmp_path / "source"))
    content[512:5000] = os.urandom(4488)
    for name in ("a.db", "new.db"):
        with pytest.raises(SqliteFormatError, match="nothing was imported"):
            store.import_database(name, io.BytesIO(content), len(content))
    assert store.positions() == before and store.names() == ["a.db"]
    assert data_file(store, "a.db").read_bytes() == bytes_before
    assert not list((store.data_dir / "tmp").iterdir())


def test_what_was_arriving_is_gone_at_the_next_start(tmp_path: Path) -> None:
    """A node that is killed while bytes come keeps none of them."""
    content = database(tmp_path / "source")
    with opened(tmp_path / "data") as store:
        arrival = Arrival("a.db", store._facts, store.temp_path(".import"), None)
        arrival.take(Trickle(content, 5000))
        assert len(list((store.data_dir / "tmp").iterdir())) == 2
    with opened(tmp_path / "data") as store:
        assert not list((store.data_dir / "tmp").iterdir()) and store.names() == []


def test_side_files_of_the_database_before_are_gone(store: Store, served: Served, tmp_path: Path) -> None:
    """An ended journal of PERSIST would be rolled back by no one, and goes all the same."""
    db = served.connect("a.db", "journal_mode=persist")
    db.execute("CREATE TABLE t (x)")
    db.close()
    assert data_file(store, "a.db", FileKind.JOURNAL).exists()
    content = database(tmp_path / "source")
    assert_imported(store, content, store.import_database("a.db", io.BytesIO(content)))
    assert not data_file(store, "a.db", FileKind.JOURNAL).exists()
