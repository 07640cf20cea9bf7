"""What the LTX files that are kept make of a database file: worked out in checksums, then written."""

import logging
from pathlib import Path

import pytest

from pylitefs.ltx.checksum import page_checksum
from pylitefs.ltx.header import Header
from pylitefs.ltx.position import Pos
from pylitefs.store.capture import commit_transaction, commit_whole_file
from pylitefs.store.checksums import Changes, PageChecksums
from pylitefs.store.names import FileKind
from pylitefs.store.recovery_replay import Replay, replayed, write_replay
from pylitefs.store.state import DatabaseState
from pylitefs.store.store import Store
from pylitefs.trace import Event

SIZE = 512


@pytest.fixture
def state(store: Store) -> DatabaseState:
    state = store.create("a.db").state
    state.ltx.directory.mkdir(parents=True)
    return state


def page(value: int, size: int = SIZE) -> bytes:
    return bytes([value]) * size


def commit(state: DatabaseState, pages: dict[int, int], count: int, size: int = SIZE) -> Header:
    """A transaction that gives pages these values, and leaves `count` pages."""
    pos = commit_transaction(state, size, count, [(pgno, page(v, size)) for pgno, v in pages.items()])
    assert pos is not None
    header = state.ltx.header(pos.txid, pos.txid)
    assert header is not None
    return header


def found(state: DatabaseState, *values: int, size: int = SIZE) -> PageChecksums:
    """The database file holds these pages; their checksums."""
    state.path(FileKind.DATABASE).write_bytes(b"".join(page(value, size) for value in values))
    sums, changes = PageChecksums(), Changes()
    for pgno, value in enumerate(values, 1):
        changes.add(pgno, page_checksum(pgno, page(value, size)))
    sums.update(changes, len(values))
    return sums


def planned(state: DatabaseState, last: Header, sums: PageChecksums) -> Replay:
    replay = replayed(state, last, sums)
    assert replay is not None
    return replay


def content(state: DatabaseState) -> list[int]:
    raw = state.path(FileKind.DATABASE).read_bytes()
    assert all(len(set(raw[at : at + SIZE])) == 1 for at in range(0, len(raw), SIZE))
    return list(raw[::SIZE])


def test_each_page_comes_from_the_last_file_that_has_it(state: DatabaseState, store: Store) -> None:
    """And only those are written of which the database holds another state."""
    commit(state, {1: 1, 2: 2, 3: 3}, 3)
    commit(state, {1: 11, 3: 13}, 3)
    last = commit(state, {1: 21}, 3)
    replay = planned(state, last, found(state, 11, 2, 3))
    assert replay.wrong() == {1, 3} and replay.newest == {1: 2, 2: 0, 3: 1}
    assert sorted(replay.pages({1, 2, 3})) == [(1, page(21)), (2, page(2)), (3, page(13))]
    assert replay.sums.value == state.pos.checksum
    assert content(state) == [11, 2, 3], "nothing is written before it is known what comes of it"
    events: list[Event] = []
    store.tracer.listen(events.append)
    write_replay(state, replay)
    assert content(state) == [21, 2, 13]
    [event] = events
    assert (event.name, event.txid, dict(event.payload)) == ("recovery.ltx", 3, {"files": 3, "pages": 2})


def test_a_database_that_is_right_is_not_touched(
    state: DatabaseState, caplog: pytest.LogCaptureFixture
) -> None:
    last = commit(state, {1: 1, 2: 2}, 2)
    replay = planned(state, last, found(state, 1, 2))
    path = state.path(FileKind.DATABASE)
    path.chmod(0o400)
    before = path.stat()
    write_replay(state, replay)
    assert replay.wrong() == set() and path.stat().st_mtime_ns == before.st_mtime_ns
    assert "replayed" not in caplog.text


def test_what_is_left_of_a_database_that_shrank_and_grew_is_the_newest_length(state: DatabaseState) -> None:
    """A page past an earlier end is one that is made anew, or none."""
    commit(state, {1: 1, 2: 2, 3: 3, 4: 4}, 4)
    commit(state, {1: 11}, 2)
    last = commit(state, {1: 21, 3: 23}, 3)
    replay = planned(state, last, found(state, 1, 2, 3))
    with state.path(FileKind.DATABASE).open("ab") as file:
        file.write(page(4))
    assert 4 not in replay.newest and replay.sums.value == state.pos.checksum
    write_replay(state, replay)
    assert content(state) == [21, 2, 23]


def test_a_missing_file_is_made_anew(state: DatabaseState, caplog: pytest.LogCaptureFixture) -> None:
    commit(state, {1: 1, 2: 2, 3: 3}, 3)
    last = commit(state, {2: 12}, 2)
    replay = planned(state, last, PageChecksums())
    caplog.set_level(logging.WARNING)
    write_replay(state, replay)
    assert content(state) == [1, 12]
    assert "the database file was not at TXID 2; 2 LTX files were replayed, 2 pages written" in caplog.text


def test_a_whole_database_in_the_middle_counts_alone(state: DatabaseState) -> None:
    """After a drop, or with another page size, nothing of the pages before it is left."""
    commit(state, {1: 1, 2: 2}, 2)
    last = commit(state, {1: 5}, 1, size=1024)
    replay = planned(state, last, found(state, 1, 2))
    assert replay.newest == {1: 1} and replay.sums.value == state.pos.checksum
    write_replay(state, replay)
    assert state.path(FileKind.DATABASE).read_bytes() == page(5, 1024)


def test_only_files_that_lead_to_the_newest_without_a_gap_are_replayed(state: DatabaseState) -> None:
    commit(state, {1: 1, 2: 2, 3: 3}, 3)
    commit(state, {2: 12}, 3)
    last = commit(state, {1: 21, 3: 23}, 3)
    state.ltx.remove(2, 2)
    replay = planned(state, last, found(state, 1, 2, 3))
    assert [path.name for path in replay.files] == [last.filename]
    assert replay.newest == {1: 0, 3: 0}


def test_a_file_of_several_transactions_is_preferred_to_those_it_replaces(state: DatabaseState) -> None:
    """A snapshot came, and the files before it are still there."""
    commit(state, {1: 1, 2: 2}, 2)
    last = commit(state, {1: 11}, 2)
    whole = state.ltx.path(1, 2)
    found(state, 11, 2)
    state.pos = Pos()
    state.ltx.directory.rename(state.directory / "aside")
    state.ltx.directory.mkdir()
    state.ltx.load()
    commit_whole_file(state, SIZE, 2)
    snapshot = state.ltx.path(1, 1).read_bytes()
    for path in (state.directory / "aside").iterdir():
        path.rename(state.ltx.directory / path.name)
    # It holds TXIDs 1 to 2 by its name; what its header says is checked before the replay.
    whole.write_bytes(snapshot)
    state.ltx.load()
    state.pos = Pos(2, 0)
    replay = planned(state, last, found(state, 9, 9))
    assert replay.files == [whole] and replay.newest == {1: 0, 2: 0}


def test_a_damaged_older_file_ends_the_replay_and_is_named(
    state: DatabaseState, caplog: pytest.LogCaptureFixture
) -> None:
    commit(state, {1: 1}, 1)
    last = commit(state, {1: 2}, 1)
    path: Path = state.ltx.path(1, 1)
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    assert replayed(state, last, found(state, 9)) is None
    assert "a.db: an older LTX file cannot be replayed" in caplog.text
    assert content(state) == [9]


def test_a_snapshot_that_is_torn_does_not_hide_the_files_before_it(state: DatabaseState) -> None:
    """A replica stores one over files that end with the same TXID, and the power fails before it is
    durable."""
    commit(state, {1: 1, 2: 2}, 2)
    last = commit(state, {2: 3}, 2)
    torn = state.ltx.path(1, 2)
    torn.write_bytes(state.ltx.path(1, 1).read_bytes()[:-20])
    state.ltx.load()
    write_replay(state, planned(state, last, found(state, 1, 9)))
    assert content(state) == [1, 3]


def test_a_snapshot_of_another_history_does_not_hide_the_files_before_it(state: DatabaseState) -> None:
    """A replica that is ahead of its new primary has stored one, and the power fails before what it is to
    replace is gone: its TXIDs fit, its checksum does not."""
    commit(state, {1: 1, 2: 2}, 2)
    commit(state, {2: 3}, 2)
    last = commit(state, {1: 4}, 2)
    other = state.ltx.path(1, 2)
    other.write_bytes(state.ltx.path(1, 1).read_bytes())
    state.ltx.load()
    write_replay(state, planned(state, last, found(state, 9, 9)))
    assert content(state) == [4, 3]
