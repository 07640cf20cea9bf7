"""The followers' door: who comes in, and whose connections stay when there are too many.

The rule: a request is let in by what it shows (an address or a known name of this machine, this page's
origin, the token), and is told what to do where it is not. When there are as many connections as may be, a
new one takes the place of one of whoever has most: 10,000 of one student's leave room for everybody else's.
"""

import hmac
import ipaddress
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from socket import SHUT_RDWR, socket
from weakref import WeakKeyDictionary

from starlette.requests import Request
from starlette.types import ASGIApp, Scope

from pylitefs.http.door import Door, Refusal, names_loopback, shown
from pylitefs.http.listener import Listener

CUT = "pylitefs.cut"
"""In a request's scope: breaks its connection."""
_PATHS = {"/": "GET", "/page.js": "GET", "/page.css": "GET", "/events": "GET", "/vote": "POST"}
_OPEN = {"/page.js", "/page.css"}


class FollowersDoor(Door):
    """Who comes in: by an address or a known name of this machine, with the token, to one of five paths."""

    def __init__(self, app: ASGIApp, token: str, names: Collection[str]) -> None:
        super().__init__(app)
        self._secret = token.encode()
        self._names = {name.lower() for name in names}

    def judge(self, scope: Scope) -> Refusal | None:
        headers = [(bytes(name), value.decode("latin-1")) for name, value in scope["headers"]]
        hosts = [value for name, value in headers if name == b"host"]
        path = scope["path"]
        if scope["http_version"] not in ("1.0", "1.1"):
            scope[CUT]()
            return Refusal(505, "this server speaks HTTP/1.1")
        if _PATHS.get(path) is None:
            return Refusal(404, "there is no such page: open the address on the lecturer's page")
        if scope["method"] != _PATHS[path]:
            return Refusal(405, f"{path} is asked by {_PATHS[path]}")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return Refusal(403, f"this machine is not {shown(' '.join(hosts))}: open its address as shown")
        for origin in (value for name, value in headers if name == b"origin"):
            if origin.lower() != f"http://{hosts[0].lower()}":
                return Refusal(403, f"the lecture does not answer pages of {shown(origin)}")
        given = Request(scope).query_params.get("token", "")
        if path not in _OPEN and not hmac.compare_digest(given.encode("utf-8", "replace"), self._secret):
            return Refusal(
                403,
                "the token is missing or wrong: scan the code again, or type all of the address",
            )
        return None

    def _is_ours(self, host: str) -> bool:
        """An address cannot be made to point elsewhere, as a name can (DNS rebinding)."""
        name, _, port = host.rpartition(":")
        name = name if name and port.isdecimal() else host
        if names_loopback(host) or name.lower() in self._names:
            return True
        try:
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return False
        return True

    def _tell(self, scope: Scope, refusal: Refusal) -> None:
        """Nothing is kept of who asked: a student who mistypes the token is no line in a log."""


class FairListener(Listener):
    """When there are as many connections as may be, whoever has most of them gives one up."""

    whose = "the followers' server"
    addresses: "WeakKeyDictionary[socket, str]"

    @classmethod
    def bound(cls, host: str, port: int) -> "FairListener":
        listener = super().bound(host, port)
        assert isinstance(listener, cls)
        listener.addresses = WeakKeyDictionary()
        return listener

    def accept(self) -> tuple[socket, object]:
        connection, address = super().accept()
        self.addresses[connection] = _host(address)
        return connection, address

    def _has_room(self, address: object) -> bool:
        if len(self.connections) >= self.most:
            self._make_room(_host(address))
        return super()._has_room(address)

    def _make_room(self, host: str) -> None:
        there = [one for one in tuple(self.connections) if one.fileno() >= 0]
        count = Counter(self.addresses.get(one, "") for one in there)
        greedy = max(count, key=lambda one: count[one], default=host)
        if len(there) < self.most or count[greedy] <= count[host] + 1:
            return
        one = next(one for one in there if self.addresses.get(one, "") == greedy)
        self.connections.discard(one)
        with suppress(OSError):
            one.shutdown(SHUT_RDWR)


def _host(address: object) -> str:
    return str(address[0]) if isinstance(address, tuple) else ""
