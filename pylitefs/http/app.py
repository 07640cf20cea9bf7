"""The API of a node: which request gets which answer.

The rules: every answer but those of `/metrics` and `/debug/*` says which node gave it (`Litefs-Id`,
`Litefs-Cluster-Id`); an error is `text/plain`, the message and a newline, with LiteFS's own status and
words; a database name is checked before it is used; and nothing that may wait (for SQLite's locks, for
the disk) runs in the event loop. `Door` (door.py) says who may ask. `HttpServer` (server.py) calls `Api.app`.
"""

import asyncio
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pylitefs.errors import (
    BusyError,
    DatabaseNotFoundError,
    InvalidNameError,
    PylitefsError,
    ReadOnlyReplicaError,
    ReplicationError,
    SetAsideError,
    SqliteFormatError,
)
from pylitefs.http import debug, push
from pylitefs.http.back_pressure import GIVEN_BACK
from pylitefs.http.door import WHY, Door
from pylitefs.http.events import EventHub
from pylitefs.http.halt import HaltApi
from pylitefs.http.metrics import CONTENT_TYPE, Metrics
from pylitefs.http.push import PushResponse, RequestFile, Write, file_response, while_connected
from pylitefs.http.turnover import Turnover, TurnoverApi
from pylitefs.replication.behind import BehindWatch, of_streams
from pylitefs.replication.fan_out import FanOut
from pylitefs.replication.followed import StreamRequest
from pylitefs.replication.frames import MAX_POSITION_MAP_BYTES, decode_positions
from pylitefs.replication.primary import PrimaryStream
from pylitefs.replication.replica import CANDIDATE
from pylitefs.replication.stream_log import StreamLog
from pylitefs.replication.threads import in_thread
from pylitefs.store.halting import Halts
from pylitefs.store.names import check_name
from pylitefs.store.store import Store
from pylitefs.store.turns import Patience

log = logging.getLogger("pylitefs")

LEASE_EXPIRED = "lease expired"
_STATUS: Mapping[type[PylitefsError], int] = {
    InvalidNameError: 400,
    ReplicationError: 400,
    SqliteFormatError: 400,
    DatabaseNotFoundError: 404,
    ReadOnlyReplicaError: 503,
    BusyError: 503,
    SetAsideError: 503,
}


class Me(Protocol):
    """What this node's lease says of it."""

    @property
    def type(self) -> str: ...
    @property
    def hostname(self) -> str: ...


class Api:
    """The requests of one node. `latencies` are the replica's, in seconds by database; `token` and
    `open_stream` are the `Door`'s; without `turnover` the lease never changes hands."""

    def __init__(
        self,
        store: Store,
        lease: Me,
        *,
        turnover: Turnover | None = None,
        latencies: Callable[[], Mapping[str, float]] = dict,
        token: str = "",
        open_stream: bool = False,
        halts: Halts | None = None,
    ) -> None:
        self._store = store
        self._lease = lease
        self._latencies = latencies
        self._streams: set[PrimaryStream] = set()
        self._turnover = TurnoverApi(store, lease.type, turnover, lambda: tuple(self._streams))
        self._halt = HaltApi(store, halts or Halts(store))
        self._stream_log = StreamLog()
        self._fan_out = FanOut(store)
        self._watch = BehindWatch(store, self._stream_log)
        self._ending = False
        self._events = EventHub(store)
        self._metrics = Metrics(
            store,
            streams=lambda: len(self._streams),
            subscribers=lambda: len(self._streams) + self._events.readers,
            latencies=latencies,
            behind=lambda: of_streams(store, tuple(self._streams)),
        )
        door = Door(self._application(), token=token, open_stream=open_stream)
        self.app: ASGIApp = _Envelope(door, store)

    def primary_changed(self) -> None:
        """The store's status changed: `/events` says so. In any thread."""
        self._events.primary_changed()

    def stream_of(self, node_id: str) -> PrimaryStream | None:
        """The stream of a replica that is connected. In any thread."""
        return next((one for one in tuple(self._streams) if one.request.node_id == node_id), None)

    def streams(self) -> tuple[PrimaryStream, ...]:
        """Of all replicas that are connected. In any thread."""
        return tuple(self._streams)

    def is_drained(self) -> bool:
        """Whether every replica was sent all that there is. In any thread."""
        return all(stream.is_level() for stream in tuple(self._streams))

    def demoted(self) -> None:
        """This node is the primary no longer: say End to every replica. In any thread."""
        for stream in tuple(self._streams):
            stream.end_soon()

    def end_streams(self) -> None:
        """Say End to every replica and let every reader of events go. In the event loop."""
        self._ending = True
        self._events.close()
        for stream in tuple(self._streams):
            stream.end()

    def _application(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/stream", self._stream, methods=["POST"]),
                Route("/events", self._get_events, methods=["GET"]),
                Route("/info", self._info, methods=["GET"]),
                Route("/export", self._export, methods=["GET"]),
                Route("/import", self._import, methods=["POST"]),
                Route("/promote", self._turnover.promote, methods=["POST"]),
                Route("/handoff", self._turnover.handoff, methods=["POST"]),
                Route("/candidates", self._turnover.candidates, methods=["GET"]),
                Route("/halt", self._halt.halt, methods=["POST", "DELETE"]),
                Route("/tx", self._halt.tx, methods=["POST"]),
                Route("/metrics", self._get_metrics, methods=["GET"]),
                Route("/debug/vars", self._debug_vars, methods=["GET"]),
                Route("/debug/pprof/", self._debug_index, methods=["GET"]),
                Route("/debug/pprof/goroutine", self._debug_threads, methods=["GET"]),
                Route("/debug/pprof/cmdline", self._debug_command_line, methods=["GET"]),
                Route("/debug/pprof/{name}", self._debug_profile, methods=["GET"]),
            ],
            exception_handlers={
                HTTPException: _http_error,
                PylitefsError: _pylitefs_error,
                ClientDisconnect: _client_gone,
                Exception: _internal_error,
            },
        )

    # Replication

    async def _stream(self, request: Request) -> Response:
        if not request.scope["http_version"].startswith("2"):
            raise HTTPException(426, "Upgrade to HTTP/2 required")
        node_id = request.headers.get("litefs-id", "")
        if node_id.upper() == self._store.node_id_text:
            raise HTTPException(400, "cannot connect to self")
        self._require_primary()
        names = request.query_params.get("filter", "")
        wanted = frozenset(check_name(name) for name in names.split(",") if name)
        positions = decode_positions(await _read_limited(request, MAX_POSITION_MAP_BYTES))
        stream = PrimaryStream(
            self._store,
            StreamRequest(
                node_id.upper() or "without an id",
                positions,
                wanted or None,
                request.headers.get(CANDIDATE, ""),
            ),
            self._metrics.count_frame,
            self._stream_log,
            self._fan_out,
        )

        request.scope[GIVEN_BACK] = lambda size: stream.followed.given_back(size, self._store)

        async def produce(write: Write) -> None:
            self._streams.add(stream)
            leave = self._watch.follow(stream)
            if self._ending:
                stream.end()
            try:
                await stream.run(write)
            finally:
                leave()
                self._streams.discard(stream)

        return PushResponse(produce, self._turnover.stream_headers())

    async def _get_events(self, _request: Request) -> Response:
        return PushResponse(self._events.serve, media_type="application/json")

    # Databases

    async def _export(self, request: Request) -> Response:
        name = _database_name(request)
        self._store.check_served(name)
        database = self._store.get(name)
        if database is None:
            raise HTTPException(404, "database not found")
        path = self._store.temp_path(".export")
        patience = Patience("an export", self._store.snapshot_timeout_s)

        def export(path: Path) -> None:
            self._store.export(database.name, path, patience)

        try:
            file = await while_connected(request, patience, lambda: _made_file(path, export))
        except DatabaseNotFoundError:
            raise HTTPException(404, "database not found") from None
        return file_response(file, os.fstat(file.fileno()).st_size)

    async def _import(self, request: Request) -> Response:
        name = _database_name(request)
        self._require_primary()
        source = RequestFile(request)
        await in_thread(lambda: self._store.import_database(name, source))
        return Response()

    # The node

    async def _info(self, _request: Request) -> Response:
        status = self._store.status
        hostname = self._lease.hostname if status.is_primary else status.primary_hostname
        facts: dict[str, object] = {
            "clusterID": self._store.cluster_id,
            "isPrimary": status.is_primary,
            "candidate": status.candidate,
            "path": str(self._store.data_dir),
            "primary": {"hostname": hostname} if hostname is not None else None,
            "setAside": self._store.set_aside or None,
        }
        known = {key: value for key, value in facts.items() if value is not None}
        # JSON, but as LiteFS sends it: without saying so.
        return Response(json.dumps(known, indent=2, ensure_ascii=False) + "\n", media_type="text/plain")

    async def _get_metrics(self, _request: Request) -> Response:
        return Response(await asyncio.to_thread(self._metrics.text), media_type=CONTENT_TYPE)

    async def _debug_vars(self, _request: Request) -> Response:
        text = await asyncio.to_thread(debug.variables, self._store, tuple(self._streams), self._latencies())
        return Response(text, media_type="application/json")

    async def _debug_index(self, _request: Request) -> Response:
        return PlainTextResponse(debug.INDEX)

    async def _debug_command_line(self, _request: Request) -> Response:
        return PlainTextResponse(debug.command_line())

    async def _debug_profile(self, request: Request) -> Response:
        why = debug.refused_profile(request.path_params["name"])
        raise HTTPException(501, why) if why else HTTPException(404)

    async def _debug_threads(self, _request: Request) -> Response:
        return PlainTextResponse(await asyncio.to_thread(debug.thread_dump))

    def _require_primary(self) -> None:
        if not self._store.status.is_primary:
            raise HTTPException(503, LEASE_EXPIRED)


class _Envelope:
    """What every answer has in common.

    It carries `Litefs-Id` and, once known, `Litefs-Cluster-Id`; and it waits for the request's end, for an
    answer that overtakes the body costs the connection, and with it perhaps the answer.
    """

    def __init__(self, app: ASGIApp, store: Store) -> None:
        self._app = app
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        read = False

        async def receive_noting() -> Message:
            nonlocal read
            message = await receive()
            read = read or not message.get("more_body", False)
            return message

        async def send_enveloped(message: Message) -> None:
            if message["type"] == "http.response.start":
                with suppress(TimeoutError):
                    while not read:
                        async with asyncio.timeout(push.SILENCE_S):
                            await receive_noting()
                message = {**message, "headers": [*message.get("headers", ()), *self._ids(scope["path"])]}
            await send(message)

        await self._app(scope, receive_noting, send_enveloped)

    def _ids(self, path: str) -> Iterator[tuple[bytes, bytes]]:
        if path != "/metrics" and not path.startswith("/debug/"):
            yield b"litefs-id", self._store.node_id_text.encode()
            if self._store.cluster_id:
                yield b"litefs-cluster-id", self._store.cluster_id.encode()


def _database_name(request: Request) -> str:
    name = request.query_params.get("name", "")
    if not name:
        raise HTTPException(400, "name required")
    return check_name(name)


async def _read_limited(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk[: limit + 1 - len(body)]
    if len(body) > limit:
        raise HTTPException(413, f"a position map is no longer than {limit} bytes")
    return bytes(body)


def _made_file(path: Path, make: Callable[[Path], object]) -> BinaryIO:
    """The file that `make` writes to `path`, open, and already without its name."""
    try:
        make(path)
        return path.open("rb")
    finally:
        path.unlink(missing_ok=True)


# Errors: the message and a newline


def _error(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return PlainTextResponse(f"{text}\n", status, headers)


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = {"Not Found": "404 page not found", "Method Not Allowed": "method not allowed"}
    return _error(error.status_code, text.get(error.detail, error.detail), error.headers)


async def _pylitefs_error(request: Request, error: Exception) -> Response:
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
    text = LEASE_EXPIRED if isinstance(error, ReadOnlyReplicaError) else str(error)
    request.scope[WHY] = str(error)
    return _error(status, text)


async def _client_gone(request: Request, _error: Exception) -> Response:
    request.scope[WHY] = "the client is gone"
    return Response(status_code=499)


async def _internal_error(_request: Request, error: Exception) -> Response:
    return _error(500, f"internal error: {error}; the node's log says more")
