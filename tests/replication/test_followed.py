"""Which LTX files a connected replica needs, as its stream knows it."""

import pytest

from pylitefs.ltx.position import Pos
from pylitefs.replication.followed import Followed, StreamRequest

CHECKSUM = 1 << 63


def followed(positions: dict[str, Pos], databases: frozenset[str] | None = None) -> Followed:
    made = Followed(StreamRequest("AA", positions, databases))
    made.begins({"a.db": Pos(5, 1), "b.db": Pos(7, 1)})
    return made


def test_it_needs_what_comes_after_its_position() -> None:
    """Which it names when it connects, and which moves with what is sent."""
    replica = followed({"a.db": Pos(4, CHECKSUM)})
    assert (replica.peer, replica.has_up_to("a.db")) == ("AA", 4)
    replica.positions["a.db"] = Pos(5, CHECKSUM)
    assert replica.has_up_to("a.db") == 5


def test_of_what_it_does_not_want_or_has_nothing_it_needs_no_files() -> None:
    """Who has nothing gets a snapshot; but of a database made since, it gets the first file."""
    replica = followed({"a.db": Pos(4, CHECKSUM)}, frozenset(["b.db", "new.db"]))
    assert replica.has_up_to("a.db") is None
    assert replica.has_up_to("b.db") is None
    assert replica.has_up_to("new.db") == 0
    assert replica.saw_birth("new.db") and not replica.saw_birth("b.db")


def test_while_its_snapshot_goes_out_it_needs_what_comes_after_that() -> None:
    """However long that takes, and whatever comes of it."""
    replica = followed({"a.db": Pos(4, CHECKSUM)})
    with replica.gets_snapshot("b.db", 7), replica.gets_snapshot("a.db", 9):
        assert replica.has_up_to("b.db") == 7
        assert replica.has_up_to("a.db") == 9
    assert replica.has_up_to("b.db") is None
    with pytest.raises(OSError, match="gone"), replica.gets_snapshot("a.db", 9):
        raise OSError("gone")
    assert replica.has_up_to("a.db") == 4


def test_where_it_was_a_while_ago_is_known_as_well() -> None:
    """What was sent since may be lost on its way; at once, it is where it was when it connected."""
    replica = followed({"a.db": Pos(4, CHECKSUM)}, frozenset(["a.db", "new.db"]))
    replica.positions["a.db"] = Pos(5, CHECKSUM)
    replica.positions["new.db"] = Pos(2, CHECKSUM)
    assert [replica.had_up_to(name, 3600.0) for name in ("a.db", "b.db", "new.db")] == [4, None, 0]
    assert replica.had_up_to("a.db", 0.0) == 4
    assert [replica.had_up_to(name, 0.0) for name in ("a.db", "new.db")] == [5, 2]


def test_what_there_was_at_first_is_sent_once_each_database_is_where_it_was() -> None:
    """Or has nothing that it lacks; what was committed since does not count."""
    replica = followed({"a.db": Pos(4, CHECKSUM)})
    assert not replica.has_first
    replica.sent("a.db", Pos(5, 1), 10)
    replica.sent("a.db", Pos(6, 1), 20)
    assert not replica.has_first
    replica.level("b.db")
    assert replica.has_first
    assert followed({"a.db": Pos(5, 1), "b.db": Pos(7, 1)}).has_first
    assert followed({"a.db": Pos(5, 1)}, frozenset(["a.db"])).has_first
