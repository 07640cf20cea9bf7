"""The keys of `litefs.yml`: their types and defaults, and what Go takes as a duration."""

import pytest

from pylitefs.config.model import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("10m", 600),
        ("1h30m", 5400),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("500ms", 0.5),
        ("2us", 2e-6),
        ("3ns", 3e-9),
    ],
)
def test_durations_are_go_s(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "10", "m", "10 m", "10x", "-1s", "1s "])
def test_what_go_would_not_take_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)
