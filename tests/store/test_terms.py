"""What a node remembers of having been the primary."""

from pathlib import Path

from pylitefs.ltx.position import Pos
from pylitefs.store.terms import NAME, Terms


def loaded(path: Path) -> Terms:
    terms = Terms()
    terms.load(path)
    return terms


def test_a_later_life_knows_what_the_one_before_made(tmp_path: Path) -> None:
    """Its node id, that it was the primary, its number, and where it was when it handed everything over."""
    terms = loaded(tmp_path)
    assert not terms.was_primary and not terms.is_own(0xAB) and terms.term == 0
    terms.begin(0xAB, index=7)
    again = loaded(tmp_path)
    assert again.was_primary and again.is_own(0xAB) and not again.is_own(0xCD) and again.term == 7
    again.begin(0xCD)
    assert again.term == 8, "each primary has a higher number"
    again.end({"a.db": Pos(3, 1 << 63)})
    last = loaded(tmp_path)
    assert not last.was_primary and last.is_own(0xAB) and last.is_own(0xCD)
    assert last.handed == {"a.db": Pos(3, 1 << 63)}


def test_a_follower_takes_its_primary_s_number(tmp_path: Path) -> None:
    """Also a lower one: its state is that primary's."""
    terms = loaded(tmp_path)
    terms.follow(5)
    terms.follow(4)
    assert loaded(tmp_path).term == 4


def test_a_primary_s_life_is_recovered_as_one_once(tmp_path: Path) -> None:
    """What it has from then on came over a stream. But what is set aside is recovered again."""
    loaded(tmp_path).begin(0xAB, index=7)
    killed = loaded(tmp_path)
    killed.recovered({"a.db": "contradicts itself"})
    assert killed.was_primary and loaded(tmp_path).was_primary
    killed.recovered({})
    assert not killed.was_primary and not loaded(tmp_path).was_primary
    assert loaded(tmp_path).is_own(0xAB) and loaded(tmp_path).term == 7


def test_what_the_recovery_of_a_primary_s_life_captures_is_its_own(tmp_path: Path) -> None:
    """It has the id of the life that recovers. A replica's life has captured nothing."""
    loaded(tmp_path).recovering(0xAB)
    assert not loaded(tmp_path).is_own(0xAB)
    loaded(tmp_path).begin(0xAB)
    loaded(tmp_path).recovering(0xCD)
    assert loaded(tmp_path).is_own(0xAB) and loaded(tmp_path).is_own(0xCD) and loaded(tmp_path).was_primary


def test_a_file_that_is_something_else_is_written_anew(tmp_path: Path) -> None:
    """With a line in the log; a node starts all the same."""
    (tmp_path / NAME).write_text("[]")
    terms = loaded(tmp_path)
    terms.begin(1)
    assert loaded(tmp_path).was_primary


def test_without_a_file_nothing_is_kept() -> None:
    """As with a static lease."""
    terms = Terms()
    terms.begin(1)
    terms.end()
    assert terms.is_own(1) and not terms.was_primary
