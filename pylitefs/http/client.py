"""Asking a node over HTTP, for the command line: plain functions that block.

The rule: whatever goes wrong is a RemoteError whose text names the node and what to look at. Databases
are streamed in blocks, so their size does not matter. Each request shows the token of PYLITEFS_HTTP_TOKEN, or
the one that is given as `token`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx

from pylitefs.config.token import authorization, token_of_environment
from pylitefs.errors import RemoteError
from pylitefs.ltx.position import Pos

BLOCK = 256 * 1024
DEFAULT_URL = "http://localhost:20202"

Progress = Callable[[int, int | None], None]
"""progress(bytes so far, bytes in all; None if not known)."""


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """`GET /info`, and the node's id from the answer's headers."""

    node_id: str
    cluster_id: str | None
    is_primary: bool
    candidate: bool
    path: str
    primary_hostname: str | None


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """One database of a node. A real LiteFS node tells its TXID alone: then the checksum is 0."""

    pos: Pos
    page_size: int = 0
    pages: int = 0
    exists: bool = True
    timestamp_ms: int = 0
    ltx_files: int = 0
    lag_seconds: float = 0.0


def shown_token(token: str = "") -> Mapping[str, str]:
    """The header with `token`, or else with the environment's. Raises ConfigError."""
    return authorization(token or token_of_environment())


def info(url: str = DEFAULT_URL, *, token: str = "") -> NodeInfo:
    """Who the node at `url` is."""
    with _client(url, token) as client:
        response = checked(client.get("/info"), url)
        facts = _json_object(response.text, url)
    primary = facts.get("primary")
    cluster_id = facts.get("clusterID")
    return NodeInfo(
        node_id=response.headers.get("Litefs-Id", ""),
        cluster_id=str(cluster_id) if cluster_id else None,
        is_primary=bool(facts.get("isPrimary")),
        candidate=bool(facts.get("candidate")),
        path=str(facts.get("path", "")),
        primary_hostname=str(primary.get("hostname", "")) if isinstance(primary, dict) else None,
    )


def export(url: str, name: str, out: BinaryIO, progress: Progress = lambda done, size: None) -> int:
    """Write the database `name` of the node to `out`; its size in bytes."""
    with _client(url) as client, client.stream("GET", "/export", params={"name": name}) as response:
        checked(response, url)
        size = int(response.headers["content-length"]) if "content-length" in response.headers else None
        done = 0
        for block in response.iter_raw(BLOCK):
            out.write(block)
            done += len(block)
            progress(done, size)
    if size is not None and done != size:
        raise RemoteError(f"{url} sent {done} of the {size} bytes of {name}: try again")
    return done


def import_(
    url: str,
    name: str,
    src: BinaryIO,
    progress: Progress = lambda done, size: None,
    *,
    size: int | None = None,
) -> None:
    """Replace the database `name` by the bytes of `src`, as one transaction; `url` is the primary's.

    `size` in bytes, where it is known, is only for `progress` and the request's head.
    """

    def body() -> Iterator[bytes]:
        done = 0
        while block := src.read(BLOCK):
            yield block
            done += len(block)
            progress(done, size)

    headers = {"Content-Length": str(size)} if size is not None else {}
    target = info(url)
    if not target.is_primary:
        of = f"a replica of {target.primary_hostname}" if target.primary_hostname else "not the primary"
        raise RemoteError(f"{url} is {of}: give -url of the primary")
    with _client(url) as client:
        response = client.post("/import", params={"name": name}, content=body(), headers=headers)
        checked(response, url)


def hand_off(url: str, node_id: str, *, token: str = "") -> None:
    """Have the primary at `url` hand its lease to a replica. RemoteError with its words."""
    with _client(url, token) as client:
        checked(client.post("/handoff", params={"nodeID": node_id}), url)


def promote(url: str = DEFAULT_URL, *, wait: float = 0.0, token: str = "") -> None:
    """Make the node at `url` the primary; with `wait` it answers once it is. RemoteError."""
    with _client(url, token) as client:
        checked(client.post("/promote", params={"wait": f"{wait:g}s"} if wait else {}), url)


def events(url: str = DEFAULT_URL) -> Iterator[dict[str, object]]:
    """The node's events, beginning with `init`, until it disconnects."""
    with _client(url) as client, client.stream("GET", "/events") as response:
        checked(response, url)
        for line in response.iter_lines():
            yield _json_object(line, url)


def databases(url: str = DEFAULT_URL, *, token: str = "") -> dict[str, DatabaseFacts]:
    """Each database of the node and where it is, from `/debug/vars`; of real LiteFS from `/metrics`."""
    with _client(url, token) as client:
        response = client.get("/debug/vars")
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise _error(response, url)
        found = _json_object(response.text, url).get("databases") if response.is_success else None
        if not isinstance(found, dict):
            return _databases_of_metrics(checked(client.get("/metrics"), url).text)
    return {
        name: DatabaseFacts(
            pos=Pos.parse(facts["pos"]),
            page_size=facts["pageSize"],
            pages=facts["pages"],
            exists=facts["exists"],
            timestamp_ms=facts["timestampMs"],
            ltx_files=facts["ltxFiles"],
            lag_seconds=facts["lagSeconds"],
        )
        for name, facts in found.items()
    }


def data_dir(url: str = DEFAULT_URL) -> Path:
    """The node's data directory, from `/debug/vars`. Raises RemoteError; real LiteFS does not tell it."""
    with _client(url) as client:
        found = _json_object(checked(client.get("/debug/vars"), url).text, url).get("dataDir")
    if not isinstance(found, str):
        raise RemoteError(f"{url} does not tell its data directory: give the path of its dbs/DB")
    return Path(found)


def _databases_of_metrics(text: str) -> dict[str, DatabaseFacts]:
    head = 'litefs_db_txid{db="'
    found: dict[str, DatabaseFacts] = {}
    for line in text.splitlines():
        if line.startswith(head):
            name, _, value = line.removeprefix(head).rpartition('"}')
            found[name] = DatabaseFacts(Pos(int(float(value))))
    return found


@contextmanager
def _client(url: str, token: str = "") -> Iterator[httpx.Client]:
    # Without TLS, reading the certificates of the world would be most of the work.
    secure = url.startswith("https:")
    headers, timeout = shown_token(token), httpx.Timeout(None, connect=5.0)
    try:
        with httpx.Client(
            base_url=url, trust_env=False, verify=secure, timeout=timeout, headers=headers
        ) as client:
            yield client
    except httpx.ConnectError as error:
        raise RemoteError(f"cannot reach {url}: {error}; is a node running there?") from None
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise RemoteError(f"{url!r} is not a node's URL: {error}; write http://HOST:20202") from None
    except httpx.TransportError as error:
        raise RemoteError(f"lost the connection to {url}: {error or type(error).__name__}") from None


def checked(response: httpx.Response, url: str) -> httpx.Response:
    """The answer, if it is none of an error. Raises RemoteError with what the node says."""
    if response.is_success:
        return response
    raise _error(response, url)


def _error(response: httpx.Response, url: str) -> RemoteError:
    text = response.read().decode("utf-8", "replace").strip()
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE and text == "lease expired":
        text = "it is not the primary; give -url of the node that is"
    return RemoteError(f"{url}: {text or response.reason_phrase} ({response.status_code})")


def _json_object(text: str, url: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise RemoteError(f"{url} answers with something that is no JSON object: is it a LiteFS node?")
    return value
