"""Which transactions a snapshot would take away unseen, and that they are kept."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.ltx.decoder import verify_file
from pylitefs.ltx.position import Pos
from pylitefs.store.lost import lost_spans
from pylitefs.store.store import Store
from tests.replication.stores import Writer, opened

OWN = 7
"""The node id in what `Writer` makes."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "old") as made:
        yield made


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "new", primary=True) as made:
        yield made


def spans(store: Store, theirs: Pos) -> list[tuple[int, int]]:
    database = store.get("made.db")
    assert database is not None
    return lost_spans(database.state, theirs)


def commits(store: Store, count: int, value: int = 1) -> list[Pos]:
    writer = Writer(store)
    return [writer.commit({1: value + n, 2: n}) for n in range(count)]


def snapshot(store: Store, path: Path) -> bytes:
    store.snapshot("made.db", path)
    return path.read_bytes()


def test_a_snapshot_of_an_older_position_of_ours_takes_away_what_came_after_it(store: Store) -> None:
    """The checksum of the same TXID says that it is ours."""
    positions = commits(store, 5)
    assert spans(store, positions[2]) == [(4, 4), (5, 5)]
    assert spans(store, positions[4]) == []


def test_without_a_common_position_it_is_what_this_node_made_as_the_primary(store: Store) -> None:
    """All of its newest run: too many rather than too few. One that never was the primary, and is behind,
    loses nothing by a snapshot."""
    commits(store, 3)
    ahead = Pos(9, 1 << 63)
    assert spans(store, ahead) == []
    store.terms.begin(OWN)
    assert spans(store, ahead) == [(1, 1), (2, 2), (3, 3)]


def test_a_node_that_was_there_and_was_another_has_lost_something_whoever_made_it(store: Store) -> None:
    """The same TXID with another checksum, or an older one: a replica too may have what its new primary
    lacks."""
    commits(store, 2)
    assert spans(store, Pos(2, 1 << 63)) == [(1, 1), (2, 2)]


def test_the_new_primary_s_history_and_a_handoff_say_where_they_went_apart(store: Store) -> None:
    """The newest position that both have had."""
    positions = commits(store, 4)
    store.terms.begin(OWN)
    ahead = Pos(9, 1 << 63)
    store.terms.history = lambda name: {1: positions[0].checksum, 2: positions[1].checksum, 3: 5, 9: 1 << 63}
    assert spans(store, ahead) == [(3, 3), (4, 4)]
    store.terms.history = lambda name: {}
    store.terms.end({"made.db": positions[3]})
    assert spans(store, ahead) == []


def test_they_are_kept_whole_where_the_log_says(
    store: Store, other: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The snapshot takes the database's place; the LTX files are in `lost`, and another start touches
    nothing."""
    commits(store, 3)
    store.terms.begin(OWN)
    commits(other, 2, value=100)
    store.receive_ltx("made.db", [snapshot(other, tmp_path / "s.ltx")])
    database = store.get("made.db")
    assert database is not None and database.ltx_files() == [(1, 2)]
    kept = sorted((store.data_dir / "lost" / "made.db").glob("*/*.ltx"))
    assert [path.name[:16] for path in kept] == [f"{txid:016x}" for txid in (1, 2, 3)]
    for path in kept:
        verify_file(path)
    assert str(kept[0].parent) in caplog.text and "pylitefs ltx list" in caplog.text
    store.close()
    with opened(store.data_dir) as again:
        assert again.names() == ["made.db"] and sorted(kept[0].parent.iterdir()) == kept


def test_an_ordinary_snapshot_keeps_nothing_aside(store: Store, other: Store, tmp_path: Path) -> None:
    """A replica that was away for long."""
    commits(other, 2)
    store.receive_ltx("made.db", [snapshot(other, tmp_path / "s1.ltx")])
    writer = Writer(other)
    writer.pages = {1: bytes([2]) * 512, 2: bytes([1]) * 512}
    writer.commit({1: 50})
    writer.commit({1: 51})
    store.receive_ltx("made.db", [snapshot(other, tmp_path / "s2.ltx")])
    assert not (store.data_dir / "lost").exists()
