"""A replica's new database: nobody sees a byte of it before all of it is doubted and durable."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from pylitefs.errors import LtxError, PylitefsError
from pylitefs.ltx.decoder import Decoder
from pylitefs.store import fresh, incoming
from pylitefs.store.applying import DirectApplier
from pylitefs.store.store import Store
from tests.store.support import assert_position_is_the_bytes_own, data_file, opened


class Noting(DirectApplier):
    """An applier that tells what it was asked for."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self.asked: list[str] = []

    def apply(self, database: str, *args: object, **more: object) -> None:
        self.asked.append("apply")
        super().apply(database, *args, **more)  # type: ignore[arg-type]

    def appeared(self, database: str) -> None:
        self.asked.append("appeared")


def database_file(path: Path, mode: str = "delete", size: int = 300_000) -> Path:
    """A database of SQLite's own, of at least `size` bytes."""
    db = sqlite3.connect(path)
    db.execute("PRAGMA page_size=512")
    db.execute(f"PRAGMA journal_mode={mode}")
    db.execute("CREATE TABLE t (x)")
    db.execute("INSERT INTO t VALUES (randomblob(?))", (size,))
    db.commit()
    db.close()
    return path


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a primary sends to a replica that has nothing."""
    folder = tmp_path_factory.mktemp("primary")
    with opened(folder / "data") as store:
        with database_file(folder / "source").open("rb") as file:
            store.import_database("a.db", file)
        return store.snapshot("a.db", folder / "snapshot").path.read_bytes()


@pytest.fixture
def replica(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(fresh, "LARGE", 100_000)
    monkeypatch.setattr(incoming, "_IN_MEMORY", 10_000)
    with opened(tmp_path / "data", primary=False) as store:
        store.applier = Noting(store.data_dir)
        yield store


def asked(store: Store) -> list[str]:
    assert isinstance(store.applier, Noting)
    return store.applier.asked


def nothing_is_left(store: Store) -> bool:
    """Neither a file nor a position."""
    files = [path for path in store.data_dir.rglob("*") if path.is_file()]
    return store.names() == [] and store.positions() == {} and files == []


def test_it_is_shown_once_it_is_whole(replica: Store, snapshot: bytes) -> None:
    """Not a byte earlier, and then with its position; the applier writes no page of it."""

    def arriving() -> Iterator[bytes]:
        for at in range(0, len(snapshot), 10_000):
            assert replica.names() == [] and replica.positions() == {}
            yield snapshot[at : at + 10_000]

    received = replica.receive_ltx("a.db", arriving())
    assert received.outcome == "snapshot" and replica.positions() == {"a.db": received.pos}
    assert asked(replica) == ["appeared"]
    database = replica.require("a.db")
    assert database.ltx_path(1, received.pos.txid).read_bytes() == snapshot
    assert_position_is_the_bytes_own(database)
    assert not list(replica.data_dir.rglob("*.tmp"))
    assert database.stale, "the kernel may know pages of another file"


def test_what_does_not_add_up_is_never_shown(replica: Store, snapshot: bytes) -> None:
    """A damaged one, one that is cut off, and one whose stream breaks: nothing of it stays."""
    for at in range(5, len(snapshot), len(snapshot) // 40):
        damaged = bytearray(snapshot)
        damaged[at] ^= 4
        for content in (bytes(damaged), snapshot[:at]):
            with pytest.raises(PylitefsError):
                replica.receive_ltx("a.db", iter([content]))
            assert nothing_is_left(replica)

        def breaking(at: int = at) -> Iterator[bytes]:
            yield snapshot[:at]
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            replica.receive_ltx("a.db", breaking())
        assert nothing_is_left(replica)
    assert replica.receive_ltx("a.db", iter([snapshot])).outcome == "snapshot"


@pytest.mark.parametrize("call", ["pwritev", "ftruncate", "fsync", "rename"])
def test_a_full_disk_shows_nothing(
    replica: Store, snapshot: bytes, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Wherever it becomes full; and with room again the same file is taken in."""

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    usual = getattr(os, call)
    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space"):
        replica.receive_ltx("a.db", iter([snapshot]))
    monkeypatch.setattr(os, call, usual)
    assert replica.names() == [] and replica.positions() == {}
    assert not list(replica.data_dir.rglob("*.tmp"))
    replica.receive_ltx("a.db", iter([snapshot]))
    assert_position_is_the_bytes_own(replica.require("a.db"))


def test_one_that_would_not_fit_is_refused_before_it_is_written(
    replica: Store, snapshot: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line says how much is missing."""
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result([4096, 4096, 9, 9, 9, 9, 9, 9, 0, 255]))
    with pytest.raises(OSError, match="bytes more in"):
        replica.receive_ltx("a.db", iter([snapshot]))
    monkeypatch.undo()
    assert nothing_is_left(replica)


def test_what_is_there_is_changed_under_sqlite_s_locks(replica: Store, snapshot: bytes) -> None:
    """A second snapshot goes the usual way: somebody may have the database open."""
    replica.receive_ltx("a.db", iter([snapshot]))
    replica.receive_ltx("a.db", iter([snapshot]))
    assert asked(replica) == ["appeared", "apply"]


@pytest.mark.parametrize("what", ["watched", "small", "beside"])
def test_some_go_the_usual_way(
    replica: Store, snapshot: bytes, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A lecture sees each page; a small one gains nothing; and what lies beside may be somebody's."""
    if what == "watched":
        replica.tracer.listen(lambda event: None)
    elif what == "small":
        monkeypatch.setattr(fresh, "LARGE", 1 << 20)
    else:
        database = replica.create("a.db")
        database.ltx_dir.mkdir(parents=True)
        (database.dir / "wal").touch()
    replica.receive_ltx("a.db", iter([snapshot]))
    assert asked(replica) == ["apply"]


def test_one_that_got_company_meanwhile_is_not_shown(replica: Store, snapshot: bytes) -> None:
    """The LTX file is applied instead, and what was written for nothing goes."""

    def arriving() -> Iterator[bytes]:
        yield snapshot[: len(snapshot) // 2]
        data_file(replica, "a.db").touch()
        yield snapshot[len(snapshot) // 2 :]

    replica.receive_ltx("a.db", arriving())
    assert asked(replica) == ["apply"]
    assert_position_is_the_bytes_own(replica.require("a.db"))
    assert not list(replica.data_dir.rglob("*.tmp"))


def test_what_was_half_written_is_gone_at_the_next_start(
    tmp_path: Path, snapshot: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name that it has meanwhile is one that recovery removes."""
    monkeypatch.setattr(fresh, "LARGE", 100_000)
    with opened(tmp_path / "data", primary=False) as store:
        decoder = Decoder(BytesIO(snapshot).read)
        file = fresh.begin_fresh(store.create("a.db"), decoder.header)
        assert file is not None
        file.take(next(iter(decoder.batches())))
        assert list(store.data_dir.rglob("*.tmp"))
    with opened(tmp_path / "data", primary=False) as store:
        assert nothing_is_left(store)


def test_only_a_whole_database_can_be_a_new_file(replica: Store, snapshot: bytes) -> None:
    """A transaction that continues one is not."""
    with pytest.raises(LtxError):
        replica.receive_ltx("a.db", iter([snapshot[:100]]))
    header = Decoder(BytesIO(snapshot).read).header
    assert fresh.begin_fresh(replica.create("b.db"), header) is not None
