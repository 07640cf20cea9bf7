"""The token: checked so that it fits into a header, sent as one, and never shown."""

import pytest

from pylitefs.config.token import SHORTEST, VARIABLE, authorization, check_token, token_of_environment
from pylitefs.errors import ConfigError

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize("text", ["", TOKEN, "~" * SHORTEST, "!" * 200])
def test_printable_characters_without_spaces_are_a_token(text: str) -> None:
    assert check_token(text) == text


@pytest.mark.parametrize(
    "text", [TOKEN[1:], TOKEN + " ", f"{TOKEN}\n", f"{TOKEN}\r\nHost: x", f"{TOKEN}\0", f"{TOKEN}ü"]
)
def test_what_is_short_or_does_not_fit_into_a_header_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="not a token: write 16 or more characters") as error:
        check_token(text)
    assert TOKEN not in str(error.value)


def test_the_environment_s_is_checked_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert token_of_environment() == ""
    monkeypatch.setenv(VARIABLE, TOKEN)
    assert token_of_environment() == TOKEN
    monkeypatch.setenv(VARIABLE, "short secret")
    with pytest.raises(ConfigError, match=f"{VARIABLE}: not a token") as error:
        token_of_environment()
    assert "secret" not in str(error.value)


def test_it_is_sent_as_a_bearer_and_no_header_is_sent_without_one() -> None:
    assert authorization(TOKEN) == {"Authorization": f"Bearer {TOKEN}"}
    assert authorization("") == {}
