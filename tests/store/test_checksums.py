"""The rolling checksum: however pages come, go and change, it is what a fresh count gives."""

import subprocess
from functools import reduce
from operator import xor
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylitefs.child_python import python
from pylitefs.ltx.checksum import CHECKSUM_FLAG, EMPTY_CHECKSUM
from pylitefs.store.checksums import Ahead, Changes, PageChecksums

SUMS = st.integers(0, (1 << 63) - 1).map(lambda value: value | CHECKSUM_FLAG)


@st.composite
def transactions(draw: st.DrawFn) -> list[tuple[dict[int, int], int]]:
    """Pages (number to checksum) and the page count after them, of several transactions."""
    made = []
    for _ in range(draw(st.integers(1, 8))):
        commit = draw(st.integers(0, 12))
        pages = draw(st.dictionaries(st.integers(1, commit), SUMS)) if commit else {}
        made.append((pages, commit))
    return made


@given(transactions())
def test_the_value_is_the_xor_of_all_pages_whatever_happened(steps: list[tuple[dict[int, int], int]]) -> None:
    sums, model = PageChecksums(), dict[int, int]()
    assert sums.value == EMPTY_CHECKSUM
    for pages, commit in steps:
        before = sums.value
        preview = sums.preview(pages, commit)
        assert sums.value == before, "a preview changes nothing"
        held = sums.changes_nothing(pages, commit)
        sums.update(pages, commit)
        old = {pgno: model.get(pgno, 0) for pgno in range(1, commit + 1)}
        assert held == (commit == len(model) and old | pages == model)
        model = old | pages
        expected = 0
        for checksum in model.values():
            expected ^= checksum
        assert preview == sums.value == expected | CHECKSUM_FLAG
        assert sums.page_count == commit
        assert [sums.page(pgno) for pgno in range(1, commit + 3)] == [*model.values(), 0, 0]
        assert sums.holds(model)


def test_a_copy_goes_its_own_way() -> None:
    sums = PageChecksums([CHECKSUM_FLAG | 1, CHECKSUM_FLAG | 2])
    other = sums.copy()
    other.update({1: CHECKSUM_FLAG | 4}, 1)
    assert (sums.page_count, sums.value) == (2, CHECKSUM_FLAG | 3)
    assert (other.page_count, other.value) == (1, CHECKSUM_FLAG | 4)


def test_pages_that_never_were_written_count_nothing() -> None:
    """The lock page, and the gap that a transaction leaves before it fills it."""
    sums = PageChecksums()
    sums.update({3: CHECKSUM_FLAG | 5}, 3)
    assert [sums.page(pgno) for pgno in (1, 2, 3)] == [0, 0, CHECKSUM_FLAG | 5]
    assert sums.value == CHECKSUM_FLAG | 5


def test_holds_says_whether_each_page_is_as_it_should_be() -> None:
    """Which the value alone does not: two differences that are equal cancel out."""
    sums = PageChecksums([CHECKSUM_FLAG | 1, CHECKSUM_FLAG | 2])
    other = PageChecksums([CHECKSUM_FLAG | 1 ^ 8, CHECKSUM_FLAG | 2 ^ 8])
    assert sums.value == other.value
    assert not other.holds({1: sums.page(1), 2: sums.page(2)})
    assert sums.holds({}) and sums.holds({2: CHECKSUM_FLAG | 2})


@pytest.mark.parametrize("count", [3, 500])
def test_changes_are_as_good_as_a_dict(count: int) -> None:
    """Few pages and many: the same preview, the same comparison and the same sums as page by page."""
    random = Random(count)
    for commit in (400, 1000, 1500):
        before = PageChecksums(random.getrandbits(63) for _ in range(1000))
        chosen = sorted(random.sample(range(1, commit), min(count, 300)))
        pages = {pgno: random.getrandbits(63) for pgno in chosen}
        changes = Changes()
        changes.extend(list(pages), list(pages.values()))
        one, other = before.copy(), before.copy()
        assert one.preview(changes, commit) == other.preview(pages, commit)
        assert one.holds(changes) == other.holds(pages)
        one.update(changes, commit)
        other.update(pages, commit)
        assert one.value == other.value
        assert [one.page(pgno) for pgno in range(1, commit + 1)] == [
            other.page(pgno) for pgno in range(1, commit + 1)
        ]
        assert one.holds(changes) and one.changes_nothing(changes, commit)


@given(transactions())
def test_several_transactions_ahead_give_what_each_would_in_its_turn(
    steps: list[tuple[dict[int, int], int]],
) -> None:
    """As long as none shrinks the database, which is refused."""
    base, model = PageChecksums([CHECKSUM_FLAG | 9]), PageChecksums([CHECKSUM_FLAG | 9])
    before, ahead = base.value, Ahead(base)
    for pages, commit in steps:
        if commit < model.page_count:
            with pytest.raises(ValueError, match="pages to"):
                ahead.add(pages, commit)
            continue
        model.update(pages, commit)
        assert ahead.add(pages, commit) == model.value
    assert base.value == before, "nothing is changed"
    base.update(ahead.pages, ahead.page_count)
    assert (base.value, base.page_count) == (model.value, model.page_count)


NEIGHBOURS = """
import sys
from random import Random
from pylitefs.store.checksums import Changes, PageChecksums
random = Random(1)
for before, first, count, commit in (
    (0, 1, 500, 500), (500, 1, 500, 500), (300, 200, 200, 450), (300, 400, 100, 600), (900, 2, 64, 70)
):
    numbers = [random.getrandbits(64) for _ in range(before + count)]
    one, other = PageChecksums(numbers[:before]), PageChecksums(numbers[:before])
    changes = Changes()
    changes.extend(list(range(first, first + count)), numbers[before:])
    pages = dict(changes.items())
    assert changes.row is not None
    assert one.preview(changes, commit) == other.preview(pages, commit)
    assert one.holds(changes) == other.holds(pages) == False
    one.update(changes, commit)
    other.update(pages, commit)
    assert one.holds(changes) and one.changes_nothing(pages, commit)
    assert [one.page(n) for n in range(1, commit + 1)] == [other.page(n) for n in range(1, commit + 1)]
    assert one.value == other.value == PageChecksums(one.page(n) for n in range(1, commit + 1)).value
assert "numpy" not in sys.modules
"""


def test_a_whole_database_needs_no_numpy() -> None:
    """Neighbours are worked on as they lie: a start, an import and a join load nothing for that."""
    subprocess.run(python("-c", NEIGHBOURS), check=True)


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 127, 1001, 1 << 17])
def test_many_numbers_are_as_many_as_few(count: int) -> None:
    """Their XOR, however it is come by."""
    numbers = [Random(count).getrandbits(64) | n for n in range(count)]
    assert PageChecksums(numbers).value == reduce(xor, numbers, 0) | CHECKSUM_FLAG
