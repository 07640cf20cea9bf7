"""The applier process's calls, each for one channel: in this process, on a plain directory."""

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pylitefs.errors import ApplierError, BusyError, DatabaseNotFoundError, UntouchedError
from pylitefs.mount.applier.calls import Calls
from pylitefs.mount.applier.files import DatabaseFiles
from pylitefs.mount.applier.locks import CKPT, DATABASE_LOCKS, READ4, SHARED, WAL_LOCKS, WRITE
from pylitefs.mount.applier.messages import Message
from pylitefs.mount.applier.write import Transaction, write_transaction
from tests.open_files import open_below

from .support import Source, bump, make_rows

MODES = ["delete", "wal"]


class Caller:
    """A channel that does not wait: it gives up at the first pause, and says for whom it waits."""

    def __init__(self) -> None:
        self.timeouts: list[float | None] = []
        self.rests: list[str] = []
        self._holders: Callable[[], str] = str

    def begin_wait(self, timeout: float | None, holders: Callable[[], str]) -> None:
        self.timeouts.append(timeout)
        self._holders = holders

    def rest(self, seconds: float, why: str) -> None:
        self.rests.append(why)

    def pause(self, seconds: float) -> None:
        raise BusyError(self._holders())


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    path = tmp_path / "mount"
    path.mkdir()
    return path


@pytest.fixture
def calls(mount: Path) -> Iterator[Calls]:
    one = Calls()
    one.attach(str(mount))
    yield one
    one.dispatch(Caller(), {"op": "release"})
    os.close(one._root_fd)


@pytest.fixture
def other(mount: Path) -> Iterator[DatabaseFiles]:
    """Somebody else with the files of a.db."""
    root = os.open(mount, os.O_RDONLY | os.O_DIRECTORY)
    one = DatabaseFiles(root, "a.db")
    yield one
    one.close()
    os.close(root)


def apply(calls: Calls, path: Path, name: str = "a.db", **more: object) -> dict[str, Any]:
    return calls.dispatch(Caller(), {"op": "apply", "db": name, "path": str(path), **more})


def join(files: DatabaseFiles) -> DatabaseFiles:
    """Open them, as a client of the WAL if there is one."""
    assert files.open() and files.join_wal() == files.uses_wal()
    return files


def can(files: DatabaseFiles, *, exclusive: bool) -> bool:
    """Whether the other one could write or, not exclusively, read."""
    file, what = (files.shm, WRITE) if files.joined else (files.db, SHARED)
    if not file.try_lock(what, exclusive=exclusive):
        return False
    file.unlock(what)
    return True


def test_before_it_is_told_of_a_mount_it_says_so() -> None:
    with pytest.raises(ApplierError, match="call attach"):
        Calls().dispatch(Caller(), {"op": "index", "db": "a.db"})


@pytest.mark.parametrize("mode", MODES)
def test_an_apply_writes_and_tells_what(calls: Calls, mount: Path, tmp_path: Path, mode: str) -> None:
    source = Source(tmp_path / "source", mode=mode)
    apply(calls, make_rows(source))
    path = bump(source)
    tx = Transaction.load(path)
    told = apply(calls, path)
    assert (mount / "a.db").read_bytes() == source.content()
    assert told.pop("waited_ms") >= 0
    assert told == {"txid": 2, "pages": tx.count, "commit": tx.header.commit, "page_size": 4096}


def test_an_apply_that_empties_the_database_drops_it(
    calls: Calls, mount: Path, tmp_path: Path, other: DatabaseFiles
) -> None:
    """Readers keep it waiting for a second at most, and then read on what has no name any more."""
    source = Source(tmp_path / "source", mode="wal")
    apply(calls, make_rows(source))
    (mount / "a.db-journal").write_bytes(b"")
    assert join(other).shm.try_lock(READ4, exclusive=False)
    told = apply(calls, source.capture(drop=True))
    assert told["commit"] == 0 and list(mount.iterdir()) == []
    assert apply(calls, source.capture(snapshot=True))["commit"] and (mount / "a.db").exists()


def test_what_a_killed_writer_had_changed_is_undone_first(calls: Calls, mount: Path, tmp_path: Path) -> None:
    """Pages that the transaction leaves alone would stay as the writer left them."""
    source = Source(tmp_path / "source")
    apply(calls, make_rows(source))
    db = sqlite3.connect(tmp_path / "writer.db", isolation_level=None)
    shutil.copy(mount / "a.db", tmp_path / "writer.db")
    db.execute("PRAGMA cache_size=1")
    db.execute("BEGIN")
    db.execute("UPDATE t SET pad = randomblob(1200)")
    for suffix in ("", "-journal"):
        shutil.copy(f"{tmp_path / 'writer.db'}{suffix}", f"{mount / 'a.db'}{suffix}")
    db.close()
    calls.dispatch(Caller(), {"op": "release"})
    apply(calls, source.execute("UPDATE t SET v = 5 WHERE id = 3"))
    assert (mount / "a.db").read_bytes() == source.content()
    assert not (mount / "a.db-journal").exists()


def test_the_databases_used_longest_ago_are_closed(
    calls: Calls, mount: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pylitefs.mount.applier.calls.most_databases", lambda: 2)
    path = make_rows(Source(tmp_path / "source", mode="wal"))

    def still_open() -> list[str]:
        return [name for name in open_below(mount) if name.endswith(".db")]

    for name in ("a.db", "b.db", "a.db", "c.db"):
        apply(calls, path, name)
    assert still_open() == ["a.db", "c.db"]
    assert calls.dispatch(Caller(), {"op": "hold", "db": "b.db"}) == {"joined": True}
    assert still_open() == ["b.db", "c.db"]
    calls.dispatch(Caller(), {"op": "release", "db": "b.db"})
    assert still_open() == ["c.db"]


def test_a_database_in_wal_mode_is_held_and_no_other(calls: Calls, mount: Path, tmp_path: Path) -> None:
    for mode in MODES:
        db = sqlite3.connect(mount / f"{mode}.db")
        db.execute(f"PRAGMA journal_mode={mode}")
        db.execute("CREATE TABLE t (v)")
        db.close()
        assert calls.dispatch(Caller(), {"op": "hold", "db": f"{mode}.db"}) == {"joined": mode == "wal"}
    assert calls.dispatch(Caller(), {"op": "hold", "db": "none.db"}) == {"joined": False}
    assert (mount / "wal.db-shm").exists() and not (mount / "none.db").exists()


# A disk that says no.


def failing(monkeypatch: pytest.MonkeyPatch, *, after: int, times: int, code: int) -> None:
    """Writing pages fails so many `times`, once `after` runs were written."""
    pwritev, count = os.pwritev, 0

    def write(fd: int, pages: list[bytes], offset: int) -> int:
        nonlocal count
        count += 1
        if after < count <= after + times:
            raise OSError(code, os.strerror(code))
        return pwritev(fd, pages, offset)

    monkeypatch.setattr("pylitefs.mount.applier.write.os.pwritev", write)
    monkeypatch.setattr("pylitefs.mount.applier.write.WRITE_SIZE", 4096)


def test_a_transaction_that_fails_at_its_first_page_has_changed_nothing(
    calls: Calls, mount: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(tmp_path / "source", mode="wal")
    apply(calls, make_rows(source))
    before = (mount / "a.db").read_bytes(), (mount / "a.db-shm").read_bytes()
    path = bump(source)
    failing(monkeypatch, after=0, times=1, code=errno.ENOSPC)
    with pytest.raises(UntouchedError, match=r"nothing was changed: .*No space left"):
        apply(calls, path)
    assert ((mount / "a.db").read_bytes(), (mount / "a.db-shm").read_bytes()) == before
    apply(calls, path)
    assert (mount / "a.db").read_bytes() == source.content()


def test_a_transaction_that_fails_in_its_middle_is_written_on_under_its_locks(
    calls: Calls, mount: Path, tmp_path: Path, other: DatabaseFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader must see no half of it."""
    source = Source(tmp_path / "source")
    apply(calls, make_rows(source))
    path, caller = bump(source), Caller()
    join(other)
    could_read: list[bool] = []

    def rest(seconds: float, why: str) -> None:
        could_read.append(can(other, exclusive=False))
        caller.rests.append(why)

    monkeypatch.setattr(caller, "rest", rest)
    failing(monkeypatch, after=2, times=2, code=errno.ENOSPC)
    calls.dispatch(caller, {"op": "apply", "db": "a.db", "path": str(path)})
    assert could_read == [False] * 2 and caller.rests == ["No space left on device"] * 2
    assert (mount / "a.db").read_bytes() == source.content() and can(other, exclusive=False)


def test_a_mount_that_is_gone_is_not_waited_for(
    calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(tmp_path / "source")
    apply(calls, make_rows(source))
    failing(monkeypatch, after=2, times=1, code=errno.ENOTCONN)
    with pytest.raises(OSError, match="not connected"):
        apply(calls, bump(source))


@pytest.mark.parametrize("held", [True, False])
def test_where_an_apply_may_be_held_readers_are_turned_away(
    calls: Calls, mount: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: bool
) -> None:
    """A small transaction leaves the gate open otherwise: a reader's own retries outlast it."""
    source = Source(tmp_path / "source", mode="wal")
    apply(calls, make_rows(source))
    headers: list[bytes] = []
    write = write_transaction

    def look(*arguments: Any, **options: Any) -> None:
        headers.append((mount / "a.db-shm").read_bytes()[:96])
        write(*arguments, **options)

    monkeypatch.setattr("pylitefs.mount.applier.calls.write_transaction", look)
    apply(calls, bump(source), may_be_held=held)
    assert (headers == [bytes(96)]) == held


# Locks that outlast a call.


@pytest.mark.parametrize("mode", MODES)
def test_a_write_lock_is_its_channel_s_until_it_unlocks(
    calls: Calls, mount: Path, tmp_path: Path, other: DatabaseFiles, mode: str
) -> None:
    source = Source(tmp_path / "source", mode=mode)
    apply(calls, make_rows(source))
    calls.dispatch(Caller(), {"op": "release"})
    caller, stranger = Caller(), Caller()
    join(other)
    told = calls.dispatch(caller, {"op": "write_lock", "db": "a.db", "timeout": 3})
    assert (told["wal"], bool(told["index"])) == (mode == "wal", mode == "wal") and caller.timeouts == [3]
    if mode == "wal":
        assert not other.shm.try_lock(WAL_LOCKS, exclusive=False) and not other.index_is_valid()
    else:
        assert not can(other, exclusive=False)
    message: Message = {"op": "apply_locked", "path": str(bump(source))}
    with pytest.raises(ApplierError, match="no write lock is held"):
        calls.dispatch(stranger, message)
    assert calls.dispatch(caller, message)["txid"] == 2
    assert (mount / "a.db").read_bytes() == source.content()
    calls.dispatch(stranger, {"op": "unlock"})
    assert not can(other, exclusive=True)
    calls.dispatch(caller, {"op": "unlock"})
    assert can(other, exclusive=True)


def test_a_write_lock_makes_a_new_name_and_drops_an_old_one(
    calls: Calls, mount: Path, tmp_path: Path
) -> None:
    source, caller = Source(tmp_path / "source", mode="wal"), Caller()
    for path in (make_rows(source), source.capture(drop=True)):
        calls.dispatch(caller, {"op": "write_lock", "db": "new.db"})
        told = calls.dispatch(caller, {"op": "apply_locked", "path": str(path)})
        calls.dispatch(caller, {"op": "unlock"})
        assert (mount / "new.db").exists() == bool(told["commit"])
    assert list(mount.iterdir()) == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("op", ["write_lock", "read_lock"])
def test_who_cannot_have_its_lock_holds_nothing(
    *, calls: Calls, mount: Path, tmp_path: Path, other: DatabaseFiles, mode: str, op: str
) -> None:
    apply(calls, make_rows(Source(tmp_path / "source", mode=mode)))
    calls.dispatch(Caller(), {"op": "release"})
    join(other)
    file, what = (other.shm, CKPT) if mode == "wal" else (other.db, SHARED)
    assert file.try_lock(what, exclusive=True)
    before = open_below(mount)
    with pytest.raises(BusyError):
        calls.dispatch(Caller(), {"op": op, "db": "a.db", "timeout": 0})
    assert open_below(mount) == before
    file.unlock(what)
    file, what = (other.shm, WAL_LOCKS) if mode == "wal" else (other.db, DATABASE_LOCKS)
    assert file.try_lock(what, exclusive=True)
    file.unlock(what)
    calls.dispatch(Caller(), {"op": op, "db": "a.db", "timeout": 0})


def test_a_reader_s_lock_keeps_writers_out_and_in_wal_mode_only_checkpoints(
    calls: Calls, tmp_path: Path, other: DatabaseFiles
) -> None:
    for mode in MODES:
        apply(calls, make_rows(Source(tmp_path / mode, mode=mode)))
        calls.dispatch(Caller(), {"op": "release"})
        caller = Caller()
        assert calls.dispatch(caller, {"op": "read_lock", "db": "a.db"}) == {"wal": mode == "wal"}
        join(other)
        assert can(other, exclusive=False) and can(other, exclusive=True) == (mode == "wal")
        if mode == "wal":
            assert not other.shm.try_lock(CKPT, exclusive=True)
            assert not other.shm.try_lock(READ4, exclusive=True)
        calls.let_go(caller)
        assert can(other, exclusive=True)
        if mode == "wal":
            assert other.shm.try_lock(CKPT, exclusive=True) and other.shm.try_lock(READ4, exclusive=True)
        calls.let_go(caller)
        other.close()


def test_what_is_not_there_is_not_locked_for_reading_or_watched(calls: Calls, mount: Path) -> None:
    for op in ("read_lock", "watch_writers"):
        with pytest.raises(DatabaseNotFoundError, match=r"none\.db"):
            calls.dispatch(Caller(), {"op": op, "db": "none.db"})
    assert list(mount.iterdir()) == []


def test_a_watcher_of_writers_takes_no_lock(calls: Calls, tmp_path: Path, other: DatabaseFiles) -> None:
    apply(calls, make_rows(Source(tmp_path / "source")))
    caller = Caller()
    is_written: Message = {"op": "is_written"}
    calls.dispatch(caller, {"op": "watch_writers", "db": "a.db"})
    join(other)
    assert calls.dispatch(caller, is_written) == {"written": False}
    assert other.db.try_lock(DATABASE_LOCKS, exclusive=True)
    assert calls.dispatch(caller, is_written) == {"written": True}
    assert other.db.try_lock(SHARED, exclusive=False)
    assert calls.dispatch(caller, is_written) == {"written": False}
    calls.let_go(caller)


def test_who_waits_is_told_what_another_channel_s_lock_is_for(calls: Calls, tmp_path: Path) -> None:
    apply(calls, make_rows(Source(tmp_path / "source")))
    calls.dispatch(Caller(), {"op": "release"})
    first = Caller()
    calls.dispatch(first, {"op": "read_lock", "db": "a.db"})
    with pytest.raises(BusyError, match="a snapshot's reader locks holds SHARED"):
        calls.dispatch(Caller(), {"op": "write_lock", "db": "a.db", "timeout": 0})
    calls.let_go(first)


# The rest.


def test_sqlite_itself_rolls_back_a_hot_journal_and_says_if_it_cannot(
    calls: Calls, mount: Path, tmp_path: Path, other: DatabaseFiles
) -> None:
    apply(calls, make_rows(Source(tmp_path / "source")))
    rollback: Message = {"op": "rollback_journal", "db": "a.db", "timeout": 0}
    calls.dispatch(Caller(), rollback)
    assert join(other).db.try_lock(DATABASE_LOCKS, exclusive=True)
    with pytest.raises(BusyError, match=r"a\.db is locked"):
        calls.dispatch(Caller(), rollback)
    other.db.unlock(DATABASE_LOCKS)


def test_sqlite_is_kept_from_what_lies_beneath_a_mount_that_is_gone(
    calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes by the path, which leads into the folder underneath by then: another device."""
    apply(calls, make_rows(Source(tmp_path / "source")))
    monkeypatch.setattr("pylitefs.mount.applier.calls.os.fstat", lambda fd: os.stat("/proc"))
    with pytest.raises(ApplierError, match="not on the mount any more"):
        calls.have_sqlite_read("a.db", 0.0)


def test_a_file_of_no_transaction_is_unlinked(calls: Calls, mount: Path) -> None:
    (mount / "a.db").write_bytes(b"half a copy")
    for _ in range(2):
        assert calls.dispatch(Caller(), {"op": "unlink", "db": "a.db"}) == {}
        assert not (mount / "a.db").exists()


def test_the_index_is_told_without_becoming_a_client(
    calls: Calls, mount: Path, tmp_path: Path, other: DatabaseFiles
) -> None:
    ask: Message = {"op": "index", "db": "a.db"}
    assert calls.dispatch(Caller(), ask) == {"index": ""}
    apply(calls, make_rows(Source(tmp_path / "source", mode="wal")))
    calls.dispatch(Caller(), {"op": "release"})
    told = calls.dispatch(Caller(), ask)
    assert bytes.fromhex(told["index"]) == (mount / "a.db-shm").read_bytes()[:136]  # type: ignore[arg-type]
    assert other.open() and other.db.try_lock(DATABASE_LOCKS, exclusive=True)
