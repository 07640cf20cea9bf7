"""A position's text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylitefs.errors import LtxError
from pylitefs.ltx.position import Pos

U64 = st.integers(0, 2**64 - 1)


@given(U64, U64)
def test_text_and_back(txid: int, checksum: int) -> None:
    pos = Pos(txid, checksum)
    assert Pos.parse(str(pos)) == pos
    assert Pos.parse(f"{pos}\n") == pos
    assert len(str(pos)) == 33


def test_before_the_first_transaction_it_is_all_zeros() -> None:
    assert str(Pos()) == "0000000000000000/0000000000000000"


@pytest.mark.parametrize("text", ["", "1/2", "0" * 33, "0" * 16 + "/" + "G" * 16, "٣" * 16 + "/" + "0" * 16])
def test_other_text_is_an_error_that_shows_it(text: str) -> None:
    with pytest.raises(LtxError, match="not a position"):
        Pos.parse(text)
