"""The rolling checksum written out, by hand: LTX files made up for it."""

from functools import reduce
from operator import xor

from hypothesis import given
from hypothesis import strategies as st

from pylitefs.lecture.history.xor import ChecksumMirror, read_ltx
from pylitefs.lecture.model import Term
from pylitefs.ltx.checksum import CHECKSUM_FLAG, page_checksum
from tests.ltx.samples import ChainBuilder, make_page


def apply(mirror: ChecksumMirror, data: bytes) -> tuple[Term, ...]:
    content = read_ltx(data)
    assert content is not None
    return mirror.apply("n1", "a.db", content)


def test_each_changed_page_goes_out_and_comes_in() -> None:
    chain, mirror = ChainBuilder(), ChecksumMirror()
    first = apply(mirror, chain.transaction({1: make_page(1), 2: make_page(2)}, 2))
    assert [term.label for term in first] == [
        "before: no transaction", "page 1, new", "page 2, new", "bit 63, always set", "after",
    ]  # fmt: skip
    second = apply(mirror, chain.transaction({2: make_page(2, seed=1), 3: make_page(3)}, 3))
    assert [term.label for term in second] == [
        "before", "page 2, old", "page 2, new", "page 3, new", "bit 63, always set", "after",
    ]  # fmt: skip
    assert second[1].value == page_checksum(2, make_page(2))
    third = apply(mirror, chain.transaction({1: make_page(1, seed=1)}, 2))
    assert [term.label for term in third] == [
        "before", "page 1, old", "page 1, new", "page 3, cut off", "bit 63, always set", "after",
    ]  # fmt: skip
    for terms in (first, second, third):
        assert reduce(xor, (term.value for term in terms[:-1])) == terms[-1].value


def test_a_file_that_does_not_continue_what_is_known_is_not_written_out() -> None:
    chain, mirror = ChainBuilder(), ChecksumMirror()
    files = [chain.transaction({1: make_page(1, seed=n)}, 1) for n in range(3)]
    apply(mirror, files[0])
    assert apply(mirror, files[2]) == (), "the one between was not seen"
    whole = ChecksumMirror()
    assert [bool(apply(whole, file)) for file in files] == [True, True, True]
    whole.forget("n1")
    assert apply(whole, files[1]) == ()


def test_a_damaged_file_has_no_content() -> None:
    data = bytearray(ChainBuilder().transaction({1: make_page(1)}, 1))
    data[300] ^= 1
    assert read_ltx(bytes(data)) is None
    assert read_ltx(b"") is None


@given(
    st.lists(
        st.tuples(st.sets(st.integers(1, 6), max_size=4), st.integers(1, 6), st.integers(0, 9)),
        min_size=1,
        max_size=8,
    )
)
def test_the_terms_always_add_up(transactions: list[tuple[set[int], int, int]]) -> None:
    chain, mirror = ChainBuilder(), ChecksumMirror()
    size = 0
    for wanted, commit, seed in transactions:
        pgnos = {pgno for pgno in wanted if pgno <= commit} | set(range(size + 1, commit + 1))
        if not chain.txid:
            pgnos = set(range(1, commit + 1))
        size = commit
        terms = apply(mirror, chain.transaction({pgno: make_page(pgno, seed=seed) for pgno in pgnos}, commit))
        assert reduce(xor, (term.value for term in terms[:-1])) == terms[-1].value
        assert terms[-1].value & CHECKSUM_FLAG
