"""Which pages may be written before their LTX file is durable: those that the files before it bring back."""

import pytest

from pylitefs.ltx.header import Header
from pylitefs.ltx.position import Pos
from pylitefs.store import covered
from pylitefs.store.covered import Covered


class Replica:
    """What is noted of a database, transaction by transaction; its checksums are its TXIDs."""

    def __init__(self) -> None:
        self.covered = Covered()
        self.pos = Pos()

    def apply(self, *pgnos: int, commit: int, first: int = 0, page_size: int = 512) -> None:
        """The next one, or all up to the next one from TXID `first` on."""
        txid = self.pos.txid + 1
        before = self.pos.checksum if first != 1 else 0
        header = Header(0, page_size, commit, first or txid, txid, 0, before)
        self.pos = Pos(txid, txid)
        self.covered.applied(header, header, self.pos, pgnos)

    def may(self, *pgnos: int, commit: int) -> bool:
        found = self.covered.rely(self.pos, commit, pgnos)
        self.covered.durable()
        return found


@pytest.fixture
def replica() -> Replica:
    """At TXID 4: a snapshot of 10 pages, then pages 1 and 7, 7 and 11, 3."""
    replica = Replica()
    replica.apply(*range(1, 11), commit=10, first=1)
    replica.apply(1, 7, commit=10)
    replica.apply(7, 11, commit=11)
    replica.apply(3, commit=11)
    return replica


def test_a_snapshot_brings_back_every_page_as_long_as_it_is_kept(replica: Replica) -> None:
    assert replica.may(*range(1, 12), commit=11)
    assert replica.covered.let_go([(1, 1)]) == [(1, 1)]
    assert not replica.may(2, commit=11)
    assert replica.may(1, 3, 7, 11, commit=11)


def test_what_is_past_the_end_needs_nobody(replica: Replica) -> None:
    """Recovery cuts it off. What is cut off now it could not bring back."""
    replica.covered.let_go([(1, 1), (2, 2), (3, 3)])
    assert replica.may(12, 13, commit=13)
    assert not replica.may(11, commit=11)
    assert not replica.may(3, commit=10)


def test_a_file_that_goes_takes_along_what_no_newer_one_has(replica: Replica) -> None:
    replica.covered.let_go([(1, 1), (2, 2)])
    assert replica.may(7, 11, 3, commit=11), "page 7 is in file 3 as well"
    assert not replica.may(1, commit=11)


def test_it_holds_for_one_position(replica: Replica) -> None:
    """A transaction of this node's own, or another history: nothing that was noted counts any more."""
    assert not replica.covered.rely(Pos(4, 5), 11, [3])
    replica.pos = Pos(5, 5)  # One that is not told of here.
    assert not replica.may(3, commit=11)
    replica.apply(8, commit=11)
    assert replica.may(8, commit=11) and not replica.may(3, commit=11)


def test_another_page_size_begins_anew(replica: Replica) -> None:
    replica.apply(1, 2, 3, commit=3, page_size=1024)
    assert replica.may(1, 2, 3, commit=3)
    replica.apply(1, commit=9, page_size=1024)
    assert not replica.may(9, commit=9)


def test_what_is_counted_on_is_not_let_go(replica: Replica) -> None:
    """Until the LTX file is durable; then all may go."""
    old = [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert replica.covered.rely(replica.pos, 11, [7, 3])
    assert replica.covered.let_go(old) == [(1, 1), (2, 2)]
    replica.covered.durable()
    assert replica.covered.let_go(old[2:]) == old[2:]
    assert not replica.may(7, commit=11)


def test_several_that_were_applied_as_one_are_as_old_as_the_first(replica: Replica) -> None:
    """Which of them has which page is not noted."""
    first, last = Header(0, 512, 11, 5, 5, 0, 4), Header(0, 512, 11, 6, 6, 0, 5)
    replica.pos = Pos(6, 6)
    replica.covered.applied(first, last, replica.pos, [8, 9])
    replica.covered.let_go([(1, 1), (2, 2), (3, 3), (4, 4)])
    assert replica.may(8, 9, commit=11)
    replica.covered.let_go([(5, 5)])
    assert not replica.may(9, commit=11)


def test_memory_is_bounded(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written longest ago is forgotten first."""
    monkeypatch.setattr(covered, "MOST_PAGES", 3)
    replica.covered.let_go([(1, 1)])
    replica.apply(8, commit=11)
    assert replica.may(3, 8, 11, commit=11) and not replica.may(1, commit=11)
    replica.apply(*range(1, 9), commit=11)
    assert replica.may(6, 7, 8, commit=11) and not replica.may(5, commit=11)
