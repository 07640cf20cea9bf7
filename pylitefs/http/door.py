"""Who may ask a node's API, and one line in the log for what is asked of its databases.

    request --> Door: a page of another site? a foreign name for a loopback node? the token? --> the API

The rule: whoever is turned away is told why in one line, and so is the log. A browser sends a page's requests
wherever the page wants, also to this machine's own ports; but it says whose page it is (`Origin`,
`Sec-Fetch-Site`) and by which name it came (`Host`). No page of another site is answered. A node that only
this machine reaches goes by this machine's names: so no foreign name that was made to point here (DNS
rebinding) reads anything. Where others reach the node, a token says who is a friend.
References: https://www.rfc-editor.org/rfc/rfc6454, https://www.w3.org/TR/fetch-metadata/
"""

import hmac
import ipaddress
import logging
import re
import time
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pylitefs.config.token import VARIABLE

log = logging.getLogger("pylitefs")

LOOPBACK = "pylitefs.loopback"
"""In a request's scope: whether the server listens on a loopback address."""
WHY = "pylitefs.why"
"""In a request's scope: what the log is to say of its failure; the answer may have LiteFS's words."""
OPEN_PATHS = {"/info", "/metrics"}
"""They are answered without the token: who the node is, and how it does."""
QUIET_S = 60.0
"""Who is turned away is logged once in so long, for each peer and status."""
MOST_TOLD = 1000
_ACTIONS = {"/import", "/export", "/promote", "/handoff", "/halt", "/tx"}
_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:@/]*))(?::[0-9]*)?")
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is turned away."""

    status: int
    text: str


class Door:
    """Before an ASGI application. `token` "" wants none; `open_stream`: a replica need not show it."""

    def __init__(self, app: ASGIApp, *, token: str = "", open_stream: bool = False) -> None:
        self._app = app
        self._token = f"Bearer {token}".encode() if token else b""
        self._open = OPEN_PATHS | ({"/stream"} if open_stream else set())
        self._told: dict[tuple[str, int], float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self.judge(scope)
        if refusal is None:
            await _logged(self._app, scope, receive, send)
            return
        self._tell(scope, refusal)
        headers = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else None
        await PlainTextResponse(f"{refusal.text}\n", refusal.status, headers)(scope, receive, send)

    def judge(self, scope: Scope) -> Refusal | None:
        """Why this request is turned away; None lets it in."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site", "none")
        if site in {"cross-site", "same-site"} or (origin is not None and not _is_own(origin, host)):
            whose = f"of {shown(origin)}" if origin is not None else f"of another site ({site})"
            return Refusal(403, f"the request comes from a web page {whose}, and a node answers to none")
        if scope.get(LOOPBACK) and host and not names_loopback(host):
            return Refusal(
                421,
                f"this node listens on a loopback address and answers to localhost or 127.0.0.1, not to "
                f"{shown(host)}: ask it by that name, or have http.addr listen elsewhere",
            )
        if self._token and scope["path"] not in self._open:
            given = headers.get(b"authorization", "").encode("latin-1")
            if not hmac.compare_digest(given, self._token):
                what = "is not this node's" if given else "is missing"
                return Refusal(401, f"the token {what}: set {VARIABLE} to its http.token")
        return None

    def _tell(self, scope: Scope, refusal: Refusal) -> None:
        now = time.monotonic()
        key = (_address(scope), refusal.status)
        if now - self._told.get(key, -QUIET_S) < QUIET_S:
            return
        if len(self._told) >= MOST_TOLD:
            self._told.clear()
        self._told[key] = now
        what = f"{scope['method']} {shown(scope['path'])}"
        log.warning("%s from %s is refused: %s", what, peer(scope), refusal.text)


def peer(scope: Scope) -> str:
    """The client's address and port."""
    client = scope.get("client")
    if not client:
        return "an unknown client"
    host, port = client[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def shown(text: str) -> str:
    """A stranger's text, for one line of the log: no control characters, and not without end."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def names_loopback(host: str) -> bool:
    """Whether a `Host` header names this machine by its loopback: with or without a port."""
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = found["six"] or found["name"]
    if name.lower().removesuffix(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_own(origin: str, host: str) -> bool:
    return host != "" and origin.lower() in {f"http://{host.lower()}", f"https://{host.lower()}"}


async def _logged(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Have a request answered. One that concerns a database, or the lease, is a line in the log; of others
    only what went wrong is, where the API says so by WHY."""
    answer = _Answer(send)
    try:
        await app(scope, receive, answer.send)
    finally:
        is_action = scope["path"] in _ACTIONS
        why = scope.get(WHY) or answer.why
        if is_action or scope.get(WHY):
            failed = bool(why) or not answer.complete
            log.log(
                logging.WARNING if failed else logging.INFO,
                "%s from %s: %s",
                _request(scope),
                peer(scope),
                f"{answer.status or 'no answer'}: {why}" if why else answer.told(),
            )


def _request(scope: Scope) -> str:
    names = parse_qs(scope["query_string"].decode("latin-1"), errors="replace").get("name", [])
    return " ".join([scope["method"], shown(scope["path"])[1:-1], *(shown(name) for name in names[:1])])


class _Answer:
    """What has been answered so far, on its way to the client."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.size = 0
        self.complete = False
        self._promised: int | None = None
        self._text = b""

    @property
    def why(self) -> str:
        """What an error's answer says; "" if it is none."""
        return self._text.decode("utf-8", "replace").strip() if self.status >= 400 else ""

    def told(self) -> str:
        if self.complete:
            return f"done, {self.size:,} bytes sent" if self.size else "done"
        return f"broken off after {self.size:,} bytes"

    async def send(self, message: Message) -> None:
        await self._send(message)
        if message["type"] == "http.response.start":
            self.status = message["status"]
            promised = dict(message.get("headers", ())).get(b"content-length")
            self._promised = None if promised is None else int(promised)
        elif message["type"] == "http.response.body":
            body = message.get("body", b"")
            self.size += len(body)
            # A client that was told the size may be gone once it has it, before it is told that this was all.
            self.complete = not message.get("more_body", False) or self.size == self._promised
            if self.status >= 400 and len(self._text) < _SHOWN:
                self._text += body[:_SHOWN]
