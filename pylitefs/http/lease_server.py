"""The lease service over HTTP: the part of Consul's API that LiteFS uses, for demos, tests and lectures.

    PUT /v1/session/create, renew/ID, destroy/ID      GET /v1/session/info/ID, list
    PUT, GET, DELETE /v1/kv/KEY[?acquire=ID|release=ID]
    PUT /v1/catalog/register                          answered, and forgotten
    GET /v1/status/leader                             this very service

The rule: what an answer says is `lease/service.py`'s; here it is written as Consul writes it, after the state
is durable in the service's own directory. One service is one process on one disk: beyond one machine use a
real Consul. Reference: https://developer.hashicorp.com/consul/api-docs
"""

import base64
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from pylitefs.errors import DataDirectoryError
from pylitefs.http.door import Door
from pylitefs.http.server import HttpServer
from pylitefs.lease.service import BadRequestError, Entry, NoSessionError, Service, State
from pylitefs.store.directory_lock import DirectoryLock
from pylitefs.store.files import write_durably
from pylitefs.store.privacy import make_directory
from pylitefs.store.status import lease_clock

log = logging.getLogger("pylitefs")

MOST_VALUE = 512 * 1024
"""Bytes of a key's value, as in Consul."""
STATE = "leases.json"

Answer = Callable[[Request], Awaitable[Response]]


def load(path: Path) -> State:
    """What the service knew when it was last saved. DataDirectoryError if the file is something else."""
    try:
        return State.from_json(json.loads(path.read_text()))
    except FileNotFoundError:
        return State()
    except (ValueError, KeyError, TypeError) as error:
        raise DataDirectoryError(
            f"{path} is not what a lease service saved ({error}): move it away, and every lease begins anew"
        ) from None


class LeaseApp:
    """The requests, as an ASGI application. `token` is Consul's ACL token; "" asks for none."""

    def __init__(self, service: Service, *, token: str = "") -> None:
        self._service = service
        self._token = token
        session, kv = "/v1/session", "/v1/kv/{key:path}"
        routes = [
            Route("/v1/catalog/register", self._answer(self._register), methods=["PUT"]),
            Route("/v1/status/leader", self._answer(self._leader), methods=["GET"]),
            Route(f"{session}/create", self._answer(self._create), methods=["PUT"]),
            Route(f"{session}/renew/{{id}}", self._answer(self._renew), methods=["PUT"]),
            Route(f"{session}/destroy/{{id}}", self._answer(self._destroy), methods=["PUT"]),
            Route(f"{session}/info/{{id}}", self._answer(self._info), methods=["GET"]),
            Route(f"{session}/list", self._answer(self._list), methods=["GET"]),
            Route(kv, self._answer(self._get), methods=["GET"]),
            Route(kv, self._answer(self._put), methods=["PUT"]),
            Route(kv, self._answer(self._delete), methods=["DELETE"]),
        ]
        self.app: ASGIApp = Door(Starlette(routes=routes))

    def end_streams(self) -> None:
        """There are none: nobody waits here."""

    def _answer(self, handler: Answer) -> Answer:
        async def answered(request: Request) -> Response:
            if self._token and request.headers.get("X-Consul-Token") != self._token:
                return PlainTextResponse("Permission denied", 403)
            self._service.expire()
            try:
                response = await handler(request)
            except BadRequestError as error:
                return PlainTextResponse(str(error), 400)
            except NoSessionError as error:
                renews = "/renew/" in request.url.path
                return PlainTextResponse(str(error), 404 if renews else 500)
            response.headers["X-Consul-Index"] = str(max(1, self._service.state.index))
            return response

        return answered

    async def _register(self, request: Request) -> Response:
        await _json_body(request)
        return _json(True)

    async def _leader(self, request: Request) -> Response:
        return _json(f"{request.url.hostname}:{request.url.port}")

    # Sessions

    async def _create(self, request: Request) -> Response:
        return _json({"ID": self._service.create(await _json_body(request))})

    async def _renew(self, request: Request) -> Response:
        return _json([self._service.renew(request.path_params["id"]).shown()])

    async def _destroy(self, request: Request) -> Response:
        self._service.destroy(request.path_params["id"])
        return _json(True)

    async def _info(self, request: Request) -> Response:
        session = self._service.state.sessions.get(request.path_params["id"])
        return _json([session.shown()] if session else [])

    async def _list(self, _request: Request) -> Response:
        return _json([one.shown() for one in self._service.state.sessions.values()])

    # Keys

    async def _get(self, request: Request) -> Response:
        key = request.path_params["key"]
        entry = self._service.state.keys.get(key)
        if entry is None:
            return PlainTextResponse("", 404)
        return _json([_shown(key, entry)])

    async def _put(self, request: Request) -> Response:
        key, asked = request.path_params["key"], request.query_params
        value = bytearray()
        async for chunk in request.stream():
            value += chunk
            if len(value) > MOST_VALUE:
                return PlainTextResponse(f"Value for key {key!r} is too large", 413)
        if "acquire" in asked:
            return _json(self._service.acquire(key, bytes(value), asked["acquire"]))
        if "release" in asked:
            return _json(self._service.release(key, bytes(value), asked["release"]))
        return _json(self._service.put(key, bytes(value)))

    async def _delete(self, request: Request) -> Response:
        return _json(self._service.delete(request.path_params["key"]))


def _shown(key: str, entry: Entry) -> dict[str, object]:
    shown: dict[str, object] = {
        "LockIndex": entry.lock_index,
        "Key": key,
        "Flags": entry.flags,
        "Value": base64.b64encode(entry.value).decode() if entry.value else None,
    }
    shown |= {"Session": entry.session} if entry.session else {}
    return shown | {"CreateIndex": entry.create_index, "ModifyIndex": entry.modify_index}


def _json(value: object) -> Response:
    return Response(json.dumps(value), media_type="application/json")


async def _json_body(request: Request) -> dict[str, object]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk[: MOST_VALUE - len(body)]
    try:
        found = json.loads(body) if body else {}
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"Request decode failed: {error}") from None
    if not isinstance(found, dict):
        raise BadRequestError("Request decode failed: not an object")
    return found


class LeaseServer:
    """A lease service with its directory and its port. `start()`, `stop()`."""

    def __init__(
        self,
        directory: Path,
        bind: tuple[str, int],
        *,
        token: str = "",
        clock: Callable[[], float] = lease_clock,
    ) -> None:
        self._lock = DirectoryLock(directory)
        make_directory(directory)
        self._lock.acquire()
        self._path = directory / STATE
        try:
            self.service = Service(load(self._path), clock, self._save)
            self.server = HttpServer(LeaseApp(self.service, token=token), bind)
        except BaseException:
            self._lock.release()
            raise

    def _save(self, state: State) -> None:
        write_durably(self._path, json.dumps(state.to_json()).encode())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def start(self) -> None:
        """Listen, and serve in a thread. Raises ConfigError if the address cannot be had."""
        try:
            self.server.start()
        except BaseException:
            self._lock.release()
            raise

    def stop(self) -> None:
        """Serve no longer; what was said stays true for whoever starts it again."""
        self.server.stop()
        self._lock.release()
