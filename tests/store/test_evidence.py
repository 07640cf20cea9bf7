"""The bytes that come with an event: those it is about, as they were when it was emitted."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.errors import ApplierError
from pylitefs.sqlite.journal import JOURNAL_MAGIC
from pylitefs.store import evidence
from pylitefs.store.evidence import Evidence
from pylitefs.store.store import Store
from pylitefs.store.turns import Patience
from pylitefs.trace import Event, Piece
from tests.store.serving import Served

Told = list[tuple[Event, list[Piece]]]


@pytest.fixture
def told(store: Store) -> Iterator[Told]:
    """Every event of a store, with what was copied in the moment it was emitted."""
    found: Told = []
    copy = Evidence(store.data_dir)
    stop = store.tracer.listen(lambda event: found.append((event, list(copy(event)))))
    yield found
    stop()


def pieces(told: Told, name: str) -> list[list[Piece]]:
    return [copied for event, copied in told if event.name == name]


def event(name: str, data: bytes = b"", database: str = "a.db", **payload: object) -> Event:
    return Event(name, "n1", database, 1, time.monotonic_ns(), time.time_ns(), 0, payload, data)


def test_of_a_rollback_commit_journal_pages_ltx_file_and_header(
    served: Served, store: Store, told: Told
) -> None:
    """The journal is copied whole each time; when it ends, as it was a moment before it is gone."""
    db = served.connect("a.db", "page_size=1024")
    db.execute("CREATE TABLE t (x)")
    told.clear()
    db.execute("INSERT INTO t VALUES (randomblob(600))")
    journals = [copied[0] for copied in pieces(told, "journal.write")]
    assert [piece.size for piece in journals] == sorted(piece.size for piece in journals)
    assert all(piece.file == "journal" and piece.offset == 0 and not piece.cut for piece in journals)
    assert all(len(piece.data) == piece.size for piece in journals)
    (ending,) = pieces(told, "journal.invalidate")[0]
    assert ending.data.startswith(JOURNAL_MAGIC) and ending.size == 512 + 2 * (4 + 1024 + 4)
    assert not Path(ending.path).exists()
    now = (store.require("a.db").dir / "database").read_bytes()
    for found, (piece,) in [(one, copied) for one, copied in told if one.name == "page.write"]:
        pgno = found.payload["pgno"]
        assert isinstance(pgno, int)
        assert (piece.file, piece.offset, len(piece.data)) == ("database", (pgno - 1) * 1024, 1024)
        assert piece.data == now[piece.offset : piece.offset + 1024]
    (ltx,) = pieces(told, "ltx.commit")[0]
    assert ltx.file == "ltx" and ltx.data == Path(ltx.path).read_bytes() and ltx.path.endswith("2.ltx")
    (header,) = pieces(told, "pos.advance")[0]
    assert header.data == now[:100] and header.size == len(now)
    assert pieces(told, "ltx.encode") == [[]]


def test_of_a_journal_that_is_long_only_what_was_written(
    served: Served, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = served.connect("a.db", "page_size=1024")
    db.execute("CREATE TABLE t (x)")
    monkeypatch.setattr(evidence, "WHOLE", 800)
    told.clear()
    db.execute("INSERT INTO t VALUES (1)")
    writes = [(one.payload, copied) for one, copied in told if one.name == "journal.write"]
    long = [(payload, piece) for payload, (piece,) in writes if piece.size > 800]
    assert long
    for payload, piece in long:
        assert (piece.offset, len(piece.data)) == (payload["offset"], payload["length"])
        assert not piece.cut
    (ending,) = pieces(told, "journal.invalidate")[0]
    assert len(ending.data) == 800 and ending.cut


def test_of_a_wal_commit_its_header_frames_and_index(served: Served, store: Store) -> None:
    """The index is asked for where clients have it mapped; failing that, the data file is what there is."""
    asked: list[str] = []

    def index(name: str) -> bytes:
        asked.append(name)
        if len(asked) > 1:
            raise ApplierError("it ended")
        return b"\x18\xe2\x2d\x00" + bytes(132)

    db = served.connect("a.db", "page_size=1024", "journal_mode=WAL")
    db.execute("CREATE TABLE t (x)")
    found: Told = []
    copy = Evidence(store.data_dir, index)
    stop = store.tracer.listen(lambda event: found.append((event, list(copy(event)))))
    db.execute("INSERT INTO t VALUES (1)")
    db.execute("INSERT INTO t VALUES (2)")
    stop()
    wal = (store.require("a.db").dir / "wal").read_bytes()
    head, written = pieces(found, "wal.frame")[-1]
    assert head.data == wal[:32] and written.data == wal[written.offset : written.offset + len(written.data)]
    first, second = (copied for one, copied in found if one.name == "wal.commit")
    assert [piece.file for piece in first] == ["wal", "wal", "shm"]
    assert first[1].data == wal[first[1].offset :][: len(first[1].data)]
    assert len(first[1].data) % (24 + 1024) == 0
    assert first[2].data.startswith(b"\x18\xe2\x2d\x00") and len(first[2].data) == 136
    assert asked == ["a.db"] * 2
    assert [piece.file for piece in second][:2] == ["wal", "wal"]


def test_a_frame_is_copied_from_the_event_itself(tmp_path: Path) -> None:
    copy = Evidence(tmp_path)
    assert copy(event("stream.send", b"\0\0\0\2")) == [Piece("frame", "", 0, b"\0\0\0\2", 4)]
    (long,) = copy(event("stream.receive", bytes(evidence.MOST + 1), database=""))
    assert len(long.data) == evidence.MOST and long.size == evidence.MOST + 1 and long.cut


def test_what_is_long_is_cut_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "1.ltx"
    path.write_bytes(bytes(evidence.MOST + 10))
    (piece,) = Evidence(tmp_path)(event("ltx.store", path=str(path)))
    assert len(piece.data) == evidence.MOST and piece.size == evidence.MOST + 10 and piece.cut


def test_what_is_gone_or_was_never_there_is_left_out(tmp_path: Path) -> None:
    copy = Evidence(tmp_path)
    for name in ("journal.write", "page.write", "wal.frame", "wal.commit", "pos.advance", "recovery.begin"):
        assert list(copy(event(name, offset=0, length=10))) == []
    assert list(copy(event("ltx.commit", path=str(tmp_path / "no.ltx")))) == []
    assert list(copy(event("page.apply", pages=2))) == []
    assert list(copy(event("lease.acquire", database=""))) == []
    assert list(copy(event("snapshot.begin"))) == []


def test_of_recovery_what_it_found(tmp_path: Path) -> None:
    directory = tmp_path / "dbs" / "a.db"
    (directory / "ltx").mkdir(parents=True)
    for name, data in {"journal": b"j" * 600, "wal": b"w" * 90_000, "database": b"d" * 4096}.items():
        (directory / name).write_bytes(data)
    for txid in (1, 2):
        (directory / "ltx" / f"{txid:016x}-{txid:016x}.ltx").write_bytes(bytes([txid]) * 116)
    (directory / "ltx" / "receiving.tmp").write_bytes(b"t")
    copy = Evidence(tmp_path)
    found = {piece.file: piece for piece in copy(event("recovery.begin"))}
    assert found["journal"].data == b"j" * 600 and not found["journal"].cut
    assert len(found["wal"].data) == evidence.WHOLE and found["wal"].cut and found["wal"].size == 90_000
    assert found["ltx"].data == b"\2" * 116
    assert found["database"].data == b"d" * 100
    assert [piece.file for piece in copy(event("recovery.journal", pages=[1]))] == ["journal"]
    assert [piece.file for piece in copy(event("recovery.wal", frames=1))] == ["wal"]
    assert [piece.file for piece in copy(event("recovery.end"))] == ["database"]


def test_of_a_decision_for_files_the_one_whose_pre_apply_checksum_was_compared(
    served: Served, store: Store
) -> None:
    """The first that the replica gets, whole; for a snapshot, or of what is gone, nothing."""
    db = served.connect("a.db", "page_size=1024")
    for sql in ("CREATE TABLE t (x)", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)"):
        db.execute(sql)
    copy, at = Evidence(store.data_dir), f"{1:016x}/{7:016x}"
    (piece,) = copy(event("catchup.decide", decision="files", position=at))
    assert Path(piece.path).name == f"{2:016x}-{2:016x}.ltx"
    assert (piece.file, piece.offset, piece.cut) == ("ltx", 0, False)
    assert piece.data == Path(piece.path).read_bytes()
    assert copy(event("catchup.decide", decision="snapshot", position=at)) == []
    assert copy(event("catchup.decide", decision="files", position=f"{9:016x}/{7:016x}")) == []
    assert copy(event("catchup.decide", decision="files", position="nowhere")) == []
    assert copy(event("catchup.decide", database="b.db", decision="files", position=at)) == []


def test_no_lock_of_the_store_is_needed(served: Served, store: Store) -> None:
    """The thread that emits may hold the database's lock, and another one waits for the copy."""

    db = served.connect("a.db", "page_size=1024")
    db.execute("CREATE TABLE t (x)")
    database = store.require("a.db")
    copied: list[int] = []

    def copy() -> None:
        copied.append(len(list(Evidence(store.data_dir)(event("page.write", offset=0, length=1024)))))

    with database.state.lock, database.state.apply_lock.held_for(Patience("a test", 1.0)):
        thread = threading.Thread(target=copy)
        thread.start()
        thread.join(5)
    assert copied == [1]
