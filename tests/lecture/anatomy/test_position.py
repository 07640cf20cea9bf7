"""The position file `DB-pos` taken apart."""

from hypothesis import given

from pylitefs.lecture.anatomy import position
from pylitefs.ltx.position import Pos
from tests.lecture.anatomies import assert_covers, damaged, values

SAMPLE = f"{Pos(17, 1 << 63)}\n".encode()


def test_a_position_is_read() -> None:
    data = f"{Pos(17, 1 << 63)}\n".encode()
    parts = position.anatomy(data)
    assert_covers(parts, data)
    assert values(parts) == {"TXID": "17", "separator": "/", "checksum": "8000000000000000", "end": "newline"}


def test_what_is_no_position_is_shown_as_what_it_is() -> None:
    parts = position.anatomy(b"no number, no pos" + SAMPLE)
    assert values(parts)["TXID"] == "not a number"
    assert parts[-1].name == "after the end"


@given(damaged(SAMPLE))
def test_any_bytes_are_covered(data: bytes) -> None:
    assert_covers(position.anatomy(data), data)
