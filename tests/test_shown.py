"""What would steer a terminal is escaped, and nothing else is changed."""

import json

from hypothesis import given
from hypothesis import strategies as st

from pylitefs.shown import has_control, shown, shown_lines

STEERING = ["\x1b", "\n", "\r", "\x7f", "\x9b", "\u202e", "\u2066", "\u200f", "\u061c", "\u2028"]


def test_what_steers_a_terminal_is_escaped() -> None:
    for one in STEERING:
        assert has_control(f"a{one}b")
        assert shown(f"a{one}b") == f"a\\u{ord(one):04x}b"
    assert shown("a\udcffb") == "a\\udcffb" and not has_control("\udcff"), "a byte that is no UTF-8"
    assert shown_lines("a\n\tb\x1b") == "a\n\tb\\u001b"


def test_letters_of_every_writing_stay() -> None:
    for text in ("ä.db", "データ.db", "می\u200cخواهم.db", "👩\u200d🔬.db", "[red]", "a b"):
        assert shown(text) == text and not has_control(text)


@given(st.text(st.characters()))
def test_whatever_is_shown_can_be_printed_and_stays_json(text: str) -> None:
    assert not has_control(shown(text))
    shown(text).encode()
    assert json.loads(shown(json.dumps(text, ensure_ascii=False))) == text
