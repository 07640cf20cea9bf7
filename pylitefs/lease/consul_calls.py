"""The requests to Consul that real LiteFS makes, byte for byte, and what its answers mean.

    session   PUT /v1/session/create        a session that ends by itself, unless it is renewed
    acquire   PUT /v1/kv/KEY?acquire=ID     the key is this session's; its value says who has it
    renew     PUT /v1/session/renew/ID
    release   PUT /v1/kv/KEY?release=ID     the key stays, its value becomes null
    destroy   PUT /v1/session/destroy/ID

The rule: no I/O here, and nothing that LiteFS would not send: the two may be candidates of one lease.
Reference: https://developer.hashicorp.com/consul/api-docs/session
"""

import base64
import binascii
import json
import posixpath
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from pylitefs.config.model import ConsulConfig, parse_duration
from pylitefs.errors import ConfigError
from pylitefs.lease.base import LeaseError, LeaseExpiredError, PrimaryInfo

JSON, OCTETS = "application/json", "application/octet-stream"
OK, NOT_FOUND = 200, 404


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `content_type` "" is none."""

    method: str
    path: str
    body: bytes = b""
    content_type: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def go_duration(seconds: float) -> str:
    """A duration as Go prints it: `10s`, `1m0s`, `1.5s`, `500ms`."""
    ms = round(seconds * 1000)
    if ms < 1000:
        return f"{ms}ms" if ms else "0s"
    minutes, rest = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + text


class ConsulCalls:
    """The requests of one node. Raises ConfigError for a URL that names no Consul."""

    def __init__(self, config: ConsulConfig, me: PrimaryInfo) -> None:
        parts = urlsplit(config.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or not config.key:
            raise ConfigError(
                f"lease.consul: {config.url!r} with key {config.key!r} names no lease: write url: "
                "http://HOST:8500 and key: litefs/NAME"
            )
        prefix = parts.path.removeprefix("/")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self.base_url = f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}"
        self.token = parts.password or ""
        self.key = posixpath.normpath(posixpath.join(prefix, config.key)).lstrip("/")
        self.node = posixpath.normpath(posixpath.join(prefix, "litefs")) if prefix else ""
        self._config = config
        self._me = me

    @property
    def headers(self) -> dict[str, str]:
        """What each request shows."""
        return {"X-Consul-Token": self.token} if self.token else {}

    def _kv(self, query: str = "", suffix: str = "") -> str:
        return f"/v1/kv/{quote(self.key + suffix)}{query}"

    def register(self) -> Call | None:
        """At the start: the node's name in the catalog; None where the URL has no path."""
        if not self.node:
            return None
        nothing = dict.fromkeys(("TaggedAddresses", "NodeMeta"))
        fields = {"ID": "", "Node": self.node, "Address": "localhost", **nothing, "Datacenter": ""}
        fields |= {"Service": None, "Check": None, "Checks": None, "SkipNodeUpdate": False}
        return Call("PUT", "/v1/catalog/register", _line(fields), JSON)

    def create_session(self) -> Call:
        """A session that ends after the TTL and takes the key with it."""
        fields: dict[str, object] = {
            "Behavior": "delete",
            "LockDelay": f"{int(self._config.lock_delay * 1000)}ms",
            "Name": "litefs",
        }
        fields |= {"Node": self.node} if self.node else {}
        fields |= {"NodeChecks": [], "TTL": go_duration(self._config.ttl)}
        return Call("PUT", "/v1/session/create", _line(fields), JSON)

    def acquire(self, session: str) -> Call:
        """Make the key this session's, with this node's name in it."""
        me = {"hostname": self._me.hostname, "advertise-url": self._me.advertise_url}
        return Call("PUT", self._kv(f"?acquire={quote(session)}"), _json(me), OCTETS)

    def release(self, session: str) -> Call:
        return Call("PUT", self._kv(f"?release={quote(session)}"), b"", OCTETS)

    def renew(self, session: str) -> Call:
        return Call("PUT", f"/v1/session/renew/{quote(session)}")

    def destroy(self, session: str) -> Call:
        return Call("PUT", f"/v1/session/destroy/{quote(session)}")

    def get_primary(self) -> Call:
        return Call("GET", self._kv())

    def get_cluster_id(self) -> Call:
        return Call("GET", self._kv(suffix="/clusterid"))

    def put_cluster_id(self, text: str) -> Call:
        return Call("PUT", self._kv(suffix="/clusterid"), text.encode(), OCTETS)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _line(value: object) -> bytes:
    return _json(value) + b"\n"


# What the answers say


def check_done(call: Call, status: int, body: bytes) -> None:
    """Raise LeaseError unless the request was done."""
    if status != OK:
        text = body.decode("utf-8", "replace").strip()
        raise LeaseError(f"the lease service answers {call} with {status} {text}".rstrip())


def session_id(call: Call, status: int, body: bytes) -> str:
    """The id of a session that was just made."""
    check_done(call, status, body)
    found = _object(call, body).get("ID")
    if not isinstance(found, str) or not found:
        raise LeaseError(f"the lease service answers {call} without a session's ID")
    return found


def is_true(call: Call, status: int, body: bytes) -> bool:
    """Whether the key was had: `false` is somebody else's, or its lock-delay."""
    check_done(call, status, body)
    return b"true" in body


def ttl_left(call: Call, status: int, body: bytes, ttl: float) -> float:
    """The time of a session that was renewed: no longer than it says itself. LeaseExpiredError."""
    if status == NOT_FOUND:
        raise LeaseExpiredError("the lease service does not know this node's session: the lease expired")
    check_done(call, status, body)
    found = _parsed(call, body)
    if found == []:
        raise LeaseExpiredError("the lease service has no such session: the lease expired")
    if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], dict):
        raise LeaseError(f"the lease service answers {call} with something else than one session")
    try:
        return min(ttl, parse_duration(found[0].get("TTL") or go_duration(ttl)))
    except ValueError as error:
        raise LeaseError(f"the lease service tells a session's TTL wrongly: {error}") from None


def value_of(call: Call, status: int, body: bytes) -> bytes | None:
    """A key's value; None where there is no key, or nothing in it."""
    if status == NOT_FOUND:
        return None
    check_done(call, status, body)
    found = _parsed(call, body)
    if not isinstance(found, list) or not found or not isinstance(found[0], dict):
        raise LeaseError(f"the lease service answers {call} with something else than a key")
    value = found[0].get("Value")
    if not value:
        return None
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise LeaseError(f"the lease service answers {call} with a value that is no base64") from None


def index_of(status: int, body: bytes, header: str) -> int:
    """How many changes Consul has counted: the key's newest, or where there is no key, all of them."""
    try:
        return int(json.loads(body)[0]["ModifyIndex"]) if status == OK else int(header)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError):
        return 0


def primary_of(value: bytes | None) -> PrimaryInfo | None:
    """Who the key's value says has the lease."""
    if value is None:
        return None
    try:
        found = json.loads(value)
        return PrimaryInfo(str(found["hostname"]), str(found["advertise-url"]).rstrip("/"))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise LeaseError(
            f"the lease's key holds {value[:80]!r}, which is no primary: is lease.consul.key in other use?"
        ) from None


def _parsed(call: Call, body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise LeaseError(f"the lease service answers {call} with something that is no JSON") from None


def _object(call: Call, body: bytes) -> dict[str, object]:
    found = _parsed(call, body)
    return found if isinstance(found, dict) else {}
