"""The journal and the WAL that a crash left beside a database: what is believed of them, and how far."""

import logging
from pathlib import Path

import pytest

from pylitefs.ltx.header import Header
from pylitefs.sqlite.wal import WalHeader
from pylitefs.store.marker import MARKER, Left, note, read_marker
from pylitefs.store.names import FileKind
from pylitefs.store.recovery_sides import checkpoint_wal, roll_back_journal
from pylitefs.store.state import DatabaseState
from pylitefs.store.store import Store
from pylitefs.trace import Event
from tests.sqlite.journals import PAGE, make_journal
from tests.sqlite.packing import pack_frame, pack_super_journal
from tests.store.crashes import watching

SIZE = 512


@pytest.fixture
def state(store: Store) -> DatabaseState:
    state = store.create("a.db").state
    state.ltx.directory.mkdir(parents=True)
    return state


def pages(*values: int, size: int = SIZE) -> bytes:
    return b"".join(bytes([value]) * size for value in values)


def database(state: DatabaseState) -> Path:
    return state.path(FileKind.DATABASE)


# The rollback journal.


def hot(state: DatabaseState, *, tail: bytes = b"") -> Path:
    """A database of five pages, and a journal with the pages 2 and 3 of one that had three."""
    database(state).write_bytes(pages(9, 9, 9, 9, 9, size=PAGE))
    path = state.path(FileKind.JOURNAL)
    path.write_bytes(make_journal([[2], [3]], initial_pages=3) + tail)
    return path


@pytest.mark.parametrize("txid", [0, 7])
def test_a_hot_journal_is_played_back_and_goes(state: DatabaseState, store: Store, txid: int) -> None:
    """What only it tells is noted: but of a database that has a transaction."""
    path = hot(state)
    events: list[Event] = []
    store.tracer.listen(events.append)
    assert roll_back_journal(state, None, txid) is Left.FREE_PAGES
    assert database(state).read_bytes() == pages(9, 2, 3, size=PAGE)
    assert not path.exists() and (state.directory / MARKER).exists() == bool(txid)
    assert read_marker(state.directory, 7) is (Left.FREE_PAGES if txid else Left.NOTHING)
    [event] = events
    assert (event.name, dict(event.payload)) == ("recovery.journal", {"pages": [2, 3], "count": 2})


def test_the_note_is_durable_before_the_journal_goes_and_the_pages_before_the_note(
    state: DatabaseState, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = hot(state)
    order: list[str] = []

    def watch(call: str, name: str, fd: int | None) -> None:
        order.append(f"{call} {Path(name).name}")

    with watching(store.data_dir, watch):
        roll_back_journal(state, None, 7)
    assert not path.exists()
    written, noted, gone = (
        max(at for at, one in enumerate(order) if one == "fsync database"),
        max(at for at, one in enumerate(order) if MARKER in one),
        order.index("unlink journal"),
    )
    assert written < noted < gone < len(order) - 1 and "fsync a.db" in order[gone:], order


def test_without_a_journal_nothing_is_done(state: DatabaseState) -> None:
    database(state).write_bytes(b"as it is")
    assert roll_back_journal(state, None, 7) is Left.NOTHING
    assert database(state).read_bytes() == b"as it is" and not (state.directory / MARKER).exists()


@pytest.mark.parametrize("content", [b"", bytes(600), b"no journal at all" * 40])
def test_a_journal_without_a_header_is_removed_alone(state: DatabaseState, content: bytes) -> None:
    """It was not synced yet, so no page of the database was written."""
    path = hot(state)
    path.write_bytes(content)
    assert roll_back_journal(state, None, 7) is Left.NOTHING
    assert database(state).read_bytes() == pages(9, 9, 9, 9, 9, size=PAGE)
    assert not path.exists() and not (state.directory / MARKER).exists()


@pytest.mark.parametrize("there", [True, False])
def test_a_super_journal_decides_whether_its_transaction_counts(state: DatabaseState, there: bool) -> None:
    """It is looked up by its last name in the data directory, wherever the node was mounted."""
    mount = Path("/mnt/of/another/day")
    name = mount / "a.db-mj012345678"
    hot(state, tail=pack_super_journal(str(name), PAGE))
    if there:
        (state.directory / "mj012345678").write_bytes(b"")
    left = roll_back_journal(state, mount, 7)
    assert left is (Left.FREE_PAGES if there else Left.COMMITTED)
    expected = pages(9, 2, 3, size=PAGE) if there else pages(9, 9, 9, 9, 9, size=PAGE)
    assert database(state).read_bytes() == expected and read_marker(state.directory, 7) is left


def test_a_super_journal_of_ours_is_known_whatever_links_lead_to_the_mount(
    state: DatabaseState, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite writes the name it went by, links resolved; it is gone, so the transaction was committed. A file
    of that name that lies at the client's path is no super-journal of another database."""
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    name = real / "a.db-mj012345678"
    name.write_bytes(b"")
    hot(state, tail=pack_super_journal(str(name), PAGE))
    assert roll_back_journal(state, link, 7) is Left.COMMITTED
    assert "outside the mount" not in caplog.text


@pytest.mark.parametrize("there", [True, False])
def test_a_super_journal_outside_is_asked_where_it_lies_and_is_named(
    state: DatabaseState, tmp_path: Path, there: bool, caplog: pytest.LogCaptureFixture
) -> None:
    name = tmp_path / "elsewhere.db-mj0badcafe"
    hot(state, tail=pack_super_journal(str(name), PAGE))
    if there:
        name.write_bytes(b"")
    assert roll_back_journal(state, Path("/mnt"), 7) is (Left.FREE_PAGES if there else Left.COMMITTED)
    said = "is there: rolled back" if there else "is gone: committed"
    assert f"a super-journal outside the mount, {name}" in caplog.text and said in caplog.text


def test_a_note_that_says_more_stays(state: DatabaseState) -> None:
    hot(state)
    note(state.directory, 7, Left.COMMITTED)
    roll_back_journal(state, None, 7)
    assert read_marker(state.directory, 7) is Left.COMMITTED


# The WAL.

FRAME = 24 + SIZE


class Wal:
    """A WAL that was left: each commit is the pages that it wrote, page 1 first."""

    def __init__(self, state: DatabaseState, *commits: dict[int, int], salt: int = 5) -> None:
        self.header = WalHeader.parse(WalHeader(SIZE, 0, salt, salt + 1).pack())
        self.path = state.path(FileKind.WAL)
        raw, checksum = self.header.pack(), (self.header.checksum1, self.header.checksum2)
        self.ends: list[int] = []
        for changed in commits:
            for number, (pgno, value) in enumerate(changed.items(), 1):
                size = 3 if number == len(changed) else 0
                frame, checksum = pack_frame(self.header, pgno, size, pages(value), checksum)
                raw += frame
            self.ends.append(len(raw))
        self.path.write_bytes(raw)
        database(state).write_bytes(pages(0, 0, 0, 0))

    def ltx(self, number: int, *, salt: int | None = None) -> Header:
        """The header of the LTX file of one of its commits."""
        start = self.ends[number - 1] if number else 32
        salt1 = self.header.salt1 if salt is None else salt
        return Header(
            flags=0, page_size=SIZE, commit=3, min_txid=number + 2, max_txid=number + 2, timestamp_ms=1,
            pre_apply_checksum=1 << 63, wal_offset=start, wal_size=self.ends[number] - start,
            wal_salt1=salt1, wal_salt2=salt1 + 1,
        )  # fmt: skip


COMMITS = ({1: 1, 2: 2}, {1: 11, 3: 13}, {2: 22})


@pytest.mark.parametrize(("last", "expected"), [(0, (1, 2, 0)), (1, (11, 2, 13)), (2, (11, 22, 13))])
def test_a_wal_counts_up_to_the_last_ltx_file(
    state: DatabaseState, store: Store, last: int, expected: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """What lies past that was never acknowledged: it is cut back, said, and kept."""
    wal = Wal(state, *COMMITS)
    content = wal.path.read_bytes()
    events: list[Event] = []
    store.tracer.listen(events.append)
    checkpoint_wal(state, wal.ltx(last))
    assert database(state).read_bytes() == pages(*expected), "and it is as long as the commit says"
    assert not wal.path.exists()
    removed, ahead = state.directory / "wal.removed", 2 - last
    assert (removed.read_bytes() == content) if ahead else not removed.exists()
    if ahead:
        assert f"by {ahead} commits that nobody was told of" in caplog.text
        assert f"drops TXID {last + 3}" in caplog.text
    [event] = events
    assert dict(event.payload) == {"frames": (2, 4, 5)[last], "ahead": ahead}


def test_without_an_ltx_file_the_whole_wal_counts(state: DatabaseState) -> None:
    """A database that a node begins with: what is in it becomes its first transaction."""
    wal = Wal(state, *COMMITS)
    checkpoint_wal(state, None)
    assert database(state).read_bytes() == pages(11, 22, 13)
    assert not wal.path.exists() and not (state.directory / "wal.removed").exists()


def test_a_transaction_without_its_commit_frame_is_none(state: DatabaseState) -> None:
    wal = Wal(state, *COMMITS)
    wal.path.write_bytes(wal.path.read_bytes()[: wal.ends[1] - FRAME])
    checkpoint_wal(state, None)
    assert database(state).read_bytes() == pages(1, 2, 0)


def test_a_frame_of_which_a_byte_is_wrong_ends_the_wal(state: DatabaseState) -> None:
    wal = Wal(state, *COMMITS)
    raw = bytearray(wal.path.read_bytes())
    raw[wal.ends[0] + 24] ^= 1
    wal.path.write_bytes(raw)
    checkpoint_wal(state, wal.ltx(1))
    assert database(state).read_bytes() == pages(1, 2, 0)


def test_a_wal_of_another_time_is_set_aside(state: DatabaseState, caplog: pytest.LogCaptureFixture) -> None:
    """Its salts are not those of the last LTX file, so nothing in it is known to have been acknowledged."""
    wal = Wal(state, *COMMITS)
    content, before = wal.path.read_bytes(), database(state).read_bytes()
    checkpoint_wal(state, wal.ltx(1, salt=99))
    assert database(state).read_bytes() == before and not wal.path.exists()
    assert (state.directory / "wal.removed").read_bytes() == content
    assert "does not belong to the last LTX file; set aside" in caplog.text


def test_a_commit_that_only_fills_up_a_sector_is_not_ahead(
    state: DatabaseState, caplog: pytest.LogCaptureFixture
) -> None:
    """With `psow=0` SQLite writes the last frame once more."""
    wal = Wal(state, {1: 1, 2: 2}, {2: 2})
    caplog.set_level(logging.WARNING)
    checkpoint_wal(state, wal.ltx(0))
    assert not caplog.records and not (state.directory / "wal.removed").exists()


@pytest.mark.parametrize("content", [b"", b"short", bytes(4000)])
def test_a_wal_without_a_header_simply_goes(state: DatabaseState, content: bytes) -> None:
    wal = Wal(state, *COMMITS)
    wal.path.write_bytes(content)
    checkpoint_wal(state, wal.ltx(1))
    assert not wal.path.exists() and database(state).read_bytes() == pages(0, 0, 0, 0)
    checkpoint_wal(state, None)
