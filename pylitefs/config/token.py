"""The token of a cluster's HTTP APIs: `http.token` of the config file, or PYLITEFS_HTTP_TOKEN.

The rule: one token for all nodes and all who ask them. It is sent as `Authorization: Bearer TOKEN`, so it is
checked here to fit into a header. No message ever shows it.
"""

import os
import re
from collections.abc import Mapping

from pylitefs.errors import ConfigError

VARIABLE = "PYLITEFS_HTTP_TOKEN"
SHORTEST = 16
_HOW = f"{SHORTEST} or more characters without spaces, such as `openssl rand -hex 32` prints"


def check_token(text: str) -> str:
    """The token itself, "" for none. Raises ValueError."""
    if text and not (len(text) >= SHORTEST and re.fullmatch(r"[!-~]+", text)):
        raise ValueError(f"not a token: write {_HOW}")
    return text


def token_of_environment() -> str:
    """PYLITEFS_HTTP_TOKEN; "" where it is not set. Raises ConfigError."""
    try:
        return check_token(os.environ.get(VARIABLE, "").strip())
    except ValueError as error:
        raise ConfigError(f"{VARIABLE}: {error}") from None


def authorization(token: str) -> Mapping[str, str]:
    """The header that shows the token; none where there is none."""
    return {"Authorization": f"Bearer {token}"} if token else {}
