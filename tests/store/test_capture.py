"""One transaction becomes an LTX file: durable before it is listed, listed before the position moves."""

import errno
import os

import pytest

from pylitefs.ltx.checksum import EMPTY_CHECKSUM, page_checksum
from pylitefs.ltx.decoder import open_ltx, verify_file
from pylitefs.ltx.position import Pos
from pylitefs.store.capture import all_pgnos, commit_drop, commit_transaction, pages_in_file
from pylitefs.store.state import DatabaseState
from pylitefs.store.store import Store
from pylitefs.trace import Event
from tests.open_files import open_below
from tests.store.crashes import watching
from tests.store.support import opened

SIZE = 512


@pytest.fixture
def state(store: Store) -> DatabaseState:
    state = store.create("a.db").state
    state.ltx.directory.mkdir(parents=True)
    return state


def page(value: int) -> bytes:
    return bytes([value]) * SIZE


def commit(state: DatabaseState, *values: int) -> Pos | None:
    return commit_transaction(state, SIZE, len(values), [(n + 1, page(v)) for n, v in enumerate(values)])


def test_the_order_is_file_list_position(state: DatabaseState, store: Store) -> None:
    """At each step the one before is done: nothing is published that a crash could take back."""
    seen: list[tuple[str, bool, bool, int]] = []

    def look(event: Event) -> None:
        path = state.ltx.path(1, 1)
        seen.append((event.name, path.exists(), bool(state.ltx.ranges()), state.pos.txid))

    synced: list[str] = []
    store.tracer.listen(look)
    store.subscribe(lambda name, pos, header: seen.append(("published", True, True, state.pos.txid)))
    with watching(store.data_dir, lambda call, name, fd: synced.append(call)):
        commit(state, 1, 2)
    assert synced == ["open", "write", "fdatasync"]
    assert seen == [
        ("ltx.encode", False, False, 0),
        ("ltx.commit", True, False, 0),
        ("pos.advance", True, True, 1),
        ("published", True, True, 1),
    ]


def test_positions_go_on_from_each_other(state: DatabaseState, store: Store) -> None:
    first, second = commit(state, 1, 2), commit(state, 1, 3, 4)
    assert first and second and (first.txid, second.txid) == (1, 2)
    header, trailer = verify_file(state.ltx.path(2, 2))
    assert header.pre_apply_checksum == first.checksum
    assert trailer.post_apply_checksum == second.checksum == state.pos.checksum
    expected = page_checksum(1, page(1)) ^ page_checksum(2, page(3)) ^ page_checksum(3, page(4))
    assert second.checksum == expected | EMPTY_CHECKSUM
    assert (state.page_size, state.sums.page_count, state.timestamp_ms) == (SIZE, 3, header.timestamp_ms)


def test_what_changes_no_byte_is_no_transaction(state: DatabaseState) -> None:
    commit(state, 1, 2)
    assert commit(state, 1, 2) is None
    assert state.pos.txid == 1 and not state.ltx.path(2, 2).exists()
    again = commit_transaction(state, SIZE, 2, [(2, page(2))], even_if_unchanged=True)
    assert again is not None and again.checksum == Pos(1, again.checksum).checksum
    assert again.txid == 2


@pytest.mark.parametrize("pages", [3, 5000])
@pytest.mark.parametrize("call", ["open", "write", "fdatasync"])
def test_a_transaction_that_cannot_be_made_durable_leaves_everything_as_it_was(
    state: DatabaseState, store: Store, call: str, pages: int
) -> None:
    """Small and large ones: the large goes to its file while it is made."""
    commit(state, 1)
    content = [(n + 1, os.urandom(SIZE)) for n in range(pages)]
    before = (state.pos, state.sums.value, state.sums.page_count, state.ltx.ranges(), state.page_size)

    def fail(what: str, name: str, fd: int) -> None:
        if what == call:
            raise OSError(errno.ENOSPC, "No space left on device")

    opened = open_below(store.data_dir)
    with watching(store.data_dir, fail), pytest.raises(OSError):
        commit_transaction(state, SIZE, pages, content)
    assert before == (state.pos, state.sums.value, state.sums.page_count, state.ltx.ranges(), state.page_size)
    assert not state.ltx.path(2, 2).exists()
    assert open_below(store.data_dir) == opened
    done = commit_transaction(state, SIZE, pages, content)
    assert done is not None and done.txid == 2
    with open_ltx(state.ltx.path(2, 2)) as decoder:
        assert [pgno for pgno, _ in decoder.pages()] == list(range(1, pages + 1))


def test_a_drop_is_a_transaction_without_a_page(state: DatabaseState) -> None:
    commit(state, 1, 2, 3)
    pos = commit_drop(state)
    assert pos == Pos(2, EMPTY_CHECKSUM)
    header, _ = verify_file(state.ltx.path(2, 2))
    assert (header.commit, header.page_size, state.sums.page_count) == (0, SIZE, 0)
    again = commit(state, 9)
    assert again is not None and again.txid == 3, "a database made again under the name goes on counting"


def test_without_compression_pages_stand_as_they_are(data: "os.PathLike[str]") -> None:
    from pathlib import Path

    with opened(Path(data), compress=False) as store:
        state = store.create("a.db").state
        state.ltx.directory.mkdir(parents=True)
        commit(state, 7)
        header, _ = verify_file(state.ltx.path(1, 1))
        assert header.flags == 0
        assert page(7) in state.ltx.path(1, 1).read_bytes()


def test_the_newest_file_is_in_memory_for_the_streams(state: DatabaseState) -> None:
    commit(state, 1)
    assert state.ltx.read(1, 1) == state.ltx.path(1, 1).read_bytes()


def test_runs_of_pages_are_read_together_and_past_the_end_they_are_zero(tmp_path: "os.PathLike[str]") -> None:
    path = os.path.join(tmp_path, "file")
    with open(path, "wb") as file:
        file.write(b"".join(page(n) for n in range(1, 6)) + b"half")
    fd = os.open(path, os.O_RDONLY)
    found = [(pgno, bytes(data)) for pgno, data in pages_in_file(fd, [1, 2, 4, 5, 6, 9], SIZE)]
    os.close(fd)
    assert [pgno for pgno, _ in found] == [1, 2, 4, 5, 6, 9]
    assert [data for _, data in found] == [
        page(1), page(2), page(4), page(5), b"half".ljust(SIZE, b"\0"), bytes(SIZE)
    ]  # fmt: skip


def test_the_lock_page_is_among_no_pages() -> None:
    lock = (1 << 30) // 65536 + 1
    assert list(all_pgnos(5, 65536)) == [1, 2, 3, 4, 5]
    found = all_pgnos(lock + 2, 65536)
    assert len(found) == lock + 1 and lock not in found and lock + 1 in found
