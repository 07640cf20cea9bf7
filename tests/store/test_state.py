"""What a node knows of one database: the only place that moves a position, and its descriptors."""

import errno
import os
from pathlib import Path

import pytest

from pylitefs.ltx.header import Header
from pylitefs.ltx.position import Pos
from pylitefs.store.names import FileKind
from pylitefs.store.state import DatabaseState
from pylitefs.store.store import Store
from pylitefs.trace import Event


@pytest.fixture
def state(store: Store) -> DatabaseState:
    state = store.create("a.db").state
    state.directory.mkdir(parents=True, exist_ok=True)
    return state


HEADER = Header(
    flags=0, page_size=512, commit=3, min_txid=4, max_txid=4, timestamp_ms=77, pre_apply_checksum=1
)
AFTER = Pos(4, 0x8000000000000005)


def test_a_position_moves_with_all_that_belongs_to_it_and_is_then_told(
    state: DatabaseState, store: Store
) -> None:
    told: list[tuple[str, Pos, Header | None, Pos]] = []
    events: list[Event] = []
    store.subscribe(lambda name, pos, header: told.append((name, pos, header, state.pos)))
    store.tracer.listen(events.append)
    assert state.pos == Pos() and state.page_size == 0
    state.advance(HEADER, AFTER)
    assert (state.pos, state.page_size, state.timestamp_ms) == (AFTER, 512, 77)
    assert told == [("a.db", AFTER, HEADER, AFTER)], "when it is told, it has moved"
    [event] = events
    assert (event.name, event.txid, dict(event.payload)) == (
        "pos.advance",
        4,
        {"checksum": AFTER.checksum, "pages": 3},
    )


def test_a_transaction_is_the_sign_that_the_disk_works_again(state: DatabaseState) -> None:
    state.node.disk.note(OSError(errno.ENOSPC, "full"))
    assert state.node.disk.told
    state.advance(HEADER, AFTER)
    assert not state.node.disk.told


def test_a_descriptor_is_kept_until_the_file_is_another(state: DatabaseState) -> None:
    path = state.path(FileKind.DATABASE)
    path.write_bytes(b"0123456789")
    fd = state.fd(FileKind.DATABASE)
    assert state.fd(FileKind.DATABASE) == fd and state.used
    assert state.read_at(FileKind.DATABASE)(2, 3) == b"234"
    path.unlink()
    path.write_bytes(b"another")
    assert state.read_at(FileKind.DATABASE)(0, 3) == b"012"
    state.forget_fd(FileKind.DATABASE)
    assert state.read_at(FileKind.DATABASE)(0, 3) == b"ano"
    state.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_file_that_is_not_there_has_no_descriptor(state: DatabaseState) -> None:
    with pytest.raises(FileNotFoundError):
        state.fd(FileKind.WAL)
    state.close()


def test_files_lie_in_the_database_s_directory_and_counts_add_up(state: DatabaseState, data: Path) -> None:
    assert state.path(FileKind.SHM) == data / "dbs" / "a.db" / "shm"
    assert state.ltx.directory == data / "dbs" / "a.db" / "ltx"
    state.count("wal")
    state.count("wal", 2)
    assert state.counts == {"wal": 3}
