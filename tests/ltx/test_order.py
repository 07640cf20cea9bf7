"""The rules between the parts of an LTX file: which page may follow which, and what checksum."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylitefs.errors import LtxError
from pylitefs.ltx.checksum import CHECKSUM_FLAG, EMPTY_CHECKSUM, lock_pgno
from pylitefs.ltx.order import (
    check_post_apply,
    count_in_order,
    last_pgno,
    may_follow,
    why_not_follow,
)
from tests.ltx.samples import make_header

SIZE = 65536
LOCK = lock_pgno(SIZE)


@pytest.mark.parametrize(
    ("before", "pgno", "may"),
    [(0, 1, True), (0, 5, True), (1, 3, True), (3, 3, False), (3, 2, False), (4, 6, False)],
)
def test_pages_ascend_up_to_the_commit(before: int, pgno: int, may: bool) -> None:
    header = make_header(commit=5)
    assert may_follow(header, before, pgno) == may
    if not may:
        assert f"page {pgno} of {header.filename}" in why_not_follow(header, before, pgno)


def test_a_snapshot_leaves_no_page_out_but_the_lock_page() -> None:
    header = make_header(commit=LOCK + 2, txid=1, page_size=SIZE)
    assert may_follow(header, 0, 1) and may_follow(header, LOCK - 1, LOCK + 1)
    assert not may_follow(header, 0, 2) and not may_follow(header, LOCK - 2, LOCK + 1)
    assert not may_follow(header, LOCK - 1, LOCK)
    assert "is the lock page, which is never stored" in why_not_follow(header, LOCK - 1, LOCK)
    assert "has no page 1: page 2 comes after page 0" in why_not_follow(header, 0, 2)


def test_each_reason_is_named() -> None:
    header = make_header(commit=5)
    assert "page 2 of " in (said := why_not_follow(header, 3, 2)) and "pages must ascend" in said
    assert "is past the database's end at 5 pages" in why_not_follow(header, 3, 6)


@given(
    st.booleans(),
    st.integers(LOCK - 4, LOCK + 4),
    st.lists(st.integers(LOCK - 5, LOCK + 5), max_size=6) | st.just(list(range(LOCK - 3, LOCK + 3))),
)
def test_a_run_is_counted_as_page_after_page(snapshot: bool, before: int, pgnos: list[int]) -> None:
    """Neighbours are counted at once, and come to the same, also around the lock page and the end."""
    header = make_header(commit=LOCK + 3, txid=1 if snapshot else 2, page_size=SIZE)
    wanted, at = 0, before
    for pgno in pgnos:
        if not may_follow(header, at, pgno):
            break
        wanted, at = wanted + 1, pgno
    assert count_in_order(header, before, pgnos) == wanted


def test_a_snapshot_ends_before_a_lock_page_that_would_be_its_last() -> None:
    assert last_pgno(make_header(commit=LOCK, txid=1, page_size=SIZE)) == LOCK - 1
    assert last_pgno(make_header(commit=7, txid=1)) == 7


def test_a_checksum_has_bit_63_and_a_dropped_database_s_is_the_empty_one() -> None:
    check_post_apply(make_header(), CHECKSUM_FLAG | 5)
    check_post_apply(make_header(commit=0), EMPTY_CHECKSUM)
    with pytest.raises(LtxError, match=r"0000000000000005 of .* lacks bit 63"):
        check_post_apply(make_header(), 5)
    with pytest.raises(LtxError, match="which drops the database, is not 8000000000000000"):
        check_post_apply(make_header(commit=0), CHECKSUM_FLAG | 5)
