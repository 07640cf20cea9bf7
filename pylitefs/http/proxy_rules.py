"""What the proxy does with a request: one pure function, which the proxy, the log and the tests share.

The rule: a decision carries its reason as text, and nothing here does I/O. Who writes gets a cookie with
the TXID; who reads with it waits until this node is there: so a client reads its own writes on any node.

Globs are about the path that the application sees: percent-decoded, once, as LiteFS has it. Of `..`, `//` and
`;` one application makes something and another does not. So a path that has them is read both ways, and the
way counts that promises the client more: passed through only if both match, always forwarded if one does.
Reference: https://fly.io/docs/litefs/proxy/
"""

import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import lru_cache
from urllib.parse import unquote

from pylitefs.ltx.header import format_txid

TXID_COOKIE = "__txid"
COOKIE_EXPIRY = timedelta(minutes=5)
HEALTH_PATH = "/litefs/health"

_MAX_TXID = (1 << 64) - 1


class Action(Enum):
    """What happens to a request."""

    HEALTH = "answer with this node's health"
    PASS = "to the application, as it is"
    READ = "to the application, once this node has reached the TXID"
    WRITE = "to the application of the primary"


@dataclass(frozen=True, slots=True)
class Route:
    """An action, why, and for READ the TXID to wait for (0: none)."""

    action: Action
    reason: str
    txid: int = 0
    sets_cookie: bool = False
    """Whether the application's answer gets the TXID: a write's, that is; not an always-forwarded GET's."""


@dataclass(frozen=True)
class Rules:
    """The globs of `proxy.passthrough` and `proxy.always-forward`."""

    passthrough: Sequence[str] = ()
    always_forward: Sequence[str] = ()

    def route(self, method: str, target: str, cookies: str = "") -> Route:
        """What to do with a request. `target` is as it has it, `cookies` the Cookie header's text."""
        reads = method in {"GET", "HEAD"}
        path, resolved = readings(target)
        if (glob := _first_match(path, self.passthrough)) and _first_match(resolved, self.passthrough):
            return Route(Action.PASS, f"matches passthrough {glob}")
        if method == "GET" and path == HEALTH_PATH:
            return Route(Action.HEALTH, "the health check")
        if not reads:
            return Route(Action.WRITE, f"{method} may write", sets_cookie=True)
        if glob := _first_match(path, self.always_forward) or _first_match(resolved, self.always_forward):
            return Route(Action.WRITE, f"matches always-forward {glob}")
        txid = txid_of(cookies)
        return Route(Action.READ, f"wait for TXID {format_txid(txid)}" if txid else "no cookie", txid)


def readings(target: str) -> tuple[str, str]:
    """The path of a request's target, decoded: as it is, and with `..`, `//` and `;…` resolved."""
    if not target.startswith("/"):  # `GET http://host/path`, as to a proxy
        target = "/" + target.partition("://")[2].partition("/")[2]
    path = unquote(target.partition("?")[0], errors="surrogateescape")
    plain = "/".join(step.partition(";")[0] for step in path.split("/"))
    # normpath keeps two slashes at the beginning, and none at the end.
    resolved = "/" + posixpath.normpath(plain).lstrip("/")
    ends = plain.endswith(("/", "/.", "/..")) and resolved != "/"
    return path, resolved + "/" * ends


def txid_of(cookies: str) -> int:
    """The TXID in a Cookie header; 0 where there is none, or none that can be read."""
    for pair in cookies.split(";"):
        name, _, value = pair.strip().partition("=")
        if name == TXID_COOKIE and re.fullmatch(r"[0-9a-fA-F]{16}", value.strip('"')):
            return min(int(value.strip('"'), 16), _MAX_TXID)
    return 0


def set_cookie(txid: int, now: datetime | None = None) -> str:
    """The Set-Cookie header that tells a client how far its own writes have come."""
    expires = (now or datetime.now(UTC)) + COOKIE_EXPIRY
    # Not strftime's %a and %b: those are in the node's own language.
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[expires.weekday()]
    month = "JanFebMarAprMayJunJulAugSepOctNovDec"[3 * (expires.month - 1) : 3 * expires.month]
    moment = f"{day}, {expires.day:02d} {month} {expires.year} {expires:%H:%M:%S} GMT"
    return f"{TXID_COOKIE}={format_txid(txid)}; Path=/; Expires={moment}; HttpOnly"


def _first_match(path: str, globs: Iterable[str]) -> str:
    return next((glob for glob in globs if _pattern(glob).fullmatch(path)), "")


@lru_cache
def _pattern(glob: str) -> re.Pattern[str]:
    """`*` stands for anything, `/` too; all else for itself."""
    return re.compile(".*".join(map(re.escape, glob.split("*"))), re.DOTALL)
