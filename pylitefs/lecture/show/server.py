"""The lecture's web server: the page, the entries as server-sent events, and what the buttons ask for.

    GET  /?token=T           the page; its modules and its style need no token
    GET  /events?token=T     the lines of a recording as they come, after Last-Event-ID where there is one
    GET  /recording?token=T  the lines so far, as a file
    GET  /preview?token=T    how the lesson went when it was recorded, until its nodes are up
    POST /do?token=T         {"next": true}, {"answer": 1}, {"line": "partition n2"}, {"pause": true},
                             {"run": true}, {"again": 4}, {"afresh": 4} (without what a person did),
                             of a level {"hint": true}, {"give_up": true}

The rule: whoever asks has the token of the printed URL, names a loopback host, and comes from this page.
The port and the loopback name may be any, as behind an SSH tunnel or a container's port. One command is
done at a time; a second one meanwhile is refused, never queued: a double press must not skip anything.
"""

import asyncio
import contextlib
import hmac
import json
import logging
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import PurePosixPath

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from pylitefs.errors import ConfigError, LessonError, PylitefsError
from pylitefs.http.door import names_loopback
from pylitefs.http.server import HttpServer
from pylitefs.lecture.language.verbs import VERBS, slots
from pylitefs.lecture.model import Dump, Entry, Json, to_line
from pylitefs.lecture.recording import following
from pylitefs.lecture.show.asking import ACTIONS, Lecture, Refused, last_event, parse_request, read_body
from pylitefs.lecture.show.changed_rows import with_rows
from pylitefs.lecture.show.entry_lines import EntryLines
from pylitefs.lecture.show.page_files import HEADERS, TYPES, page_files, page_with
from pylitefs.lecture.show.sides import with_sides
from pylitefs.trace import TRACEPOINTS

KEEP_ALIVE_S = 15.0
LINES_A_MESSAGE = 500
"""How many lines are handed to the socket at once: a long history arrives in a few writes."""

log = logging.getLogger("pylitefs.lecture")


class _Lines:
    """The lines of a recording as they come, for any number of readers. Filled from any thread.

    `Again` begins a new run: readers are told to forget what they have.
    """

    def __init__(self, header: Json) -> None:
        self._header = to_line(header)
        self._lock = threading.Lock()
        self._wakers: set[Callable[[], None]] = set()
        self.run = 0
        self.now: dict[str, object] = {"busy": ""}
        """What holds now, by the name of its event: sent to a reader when it is another than it was."""
        self.lines: list[str] = [self._header]
        self._entry_lines = EntryLines()
        self.closed = False

    @property
    def last_id(self) -> str:
        """The id of the newest line's event: who asked for something waits until it has that."""
        with self._lock:
            return f"{self.run}-{len(self.lines)}"

    def append(self, lines: Iterable[str]) -> None:
        with self._lock:
            self.lines.extend(lines)
        self.wake()

    def emit(self, entry: Entry, dumps: Sequence[Dump]) -> None:
        """One entry; its dumps go before it, each once."""
        self.append([to_line(line) for line in self._entry_lines.of(entry, dumps)])

    def begin(self) -> None:
        """Forget everything but the header: a new run."""
        with self._lock:
            self.run += 1
            self.lines = [self._header]
            self._entry_lines = EntryLines()
        self.wake()

    def tell(self, event: str, what: object) -> None:
        self.now[event] = what
        self.wake()

    def close(self) -> None:
        self.closed = True
        self.wake()

    def wake(self) -> None:
        with self._lock:
            wakers = tuple(self._wakers)
        for waker in wakers:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the server has stopped
                waker()

    async def read(self, run: int, at: int) -> AsyncIterator[bytes]:
        """Server-sent events after this line of this run, for ever."""
        loop, wake = asyncio.get_running_loop(), asyncio.Event()

        def waker() -> None:
            loop.call_soon_threadsafe(wake.set)

        with self._lock:
            self._wakers.add(waker)
        try:
            told: dict[str, object] = {}
            while not self.closed:
                wake.clear()
                with self._lock:
                    reset = run != self.run or at > len(self.lines)
                    if reset:
                        run, at = self.run, 0
                    lines = self.lines[at : at + LINES_A_MESSAGE]
                out = [_message("reset", run)] if reset else []
                out += [f"id: {run}-{at + n + 1}\ndata: {line}\n\n" for n, line in enumerate(lines)]
                at += len(lines)
                if self.now != told and len(lines) < LINES_A_MESSAGE:
                    before, told = told, dict(self.now)
                    out += [
                        _message(event, what) for event, what in told.items() if what != before.get(event)
                    ]
                if out:
                    yield "".join(out).encode("utf-8", "surrogatepass")
                    continue
                try:
                    await asyncio.wait_for(wake.wait(), KEEP_ALIVE_S)
                except TimeoutError:
                    yield b": still there\n\n"
            yield _message("end", True).encode()
        finally:
            with self._lock:
                self._wakers.discard(waker)


def _message(event: str, data: object) -> str:
    return f"event: {event}\ndata: {json.dumps(data)}\n\n"


class LectureServer:
    """Serves one lesson's page: a live one (`emit` its entries, `attach` its session) or a recording.

    `header` is a recording's first line. Port 0 is any port; `url` holds the token.
    """

    def __init__(self, header: Json, bind: tuple[str, int] = ("127.0.0.1", 0), *, token: str = "") -> None:
        self.token = token or secrets.token_urlsafe(24)
        self._lesson = str(header.get("lesson", ""))
        self._lines = _Lines(header)
        self._lecture: Lecture | None = None
        self._share: Json | None = None
        self._preview = ""
        self._live = True
        self._doing = threading.Lock()
        self._host = bind[0]
        self._server = HttpServer(self, bind)
        self.app: ASGIApp = Starlette(
            routes=[
                Route("/", self._page),
                Route("/events", self._events),
                Route("/recording", self._recording),
                Route("/preview", self._of_before),
                Route("/do", self._do, methods=["POST"]),
                Route("/{name}", self._file),
            ]
        )

    @classmethod
    def of_recording(
        cls, lines: Iterable[Json], bind: tuple[str, int] = ("127.0.0.1", 0), *, token: str = ""
    ) -> "LectureServer":
        """A server of what was recorded: the header and the lines after it, as JSON values."""
        rest = map(with_sides, with_rows(lines))
        server = cls(next(rest), bind, token=token)
        server._live = False
        server._lines.append(to_line(line) for line in rest)
        return server

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def url(self) -> str:
        """The URL to open, with the token. The host is loopback also where every interface is listened on."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host if names_loopback(host) else '127.0.0.1'}:{self.port}/?token={self.token}"

    def attach(self, lecture: Lecture) -> None:
        """From now on the buttons act on this session."""
        self._lecture = lecture

    def do(self, what: str, value: object) -> None:
        """Do one thing as if the page had asked for it. Raises LessonError where it cannot be done."""
        assert self._lecture is not None
        self._perform(self._lecture, what, value)

    def emit(self, entry: Entry, dumps: Sequence[Dump]) -> None:
        """Show one more entry. In any thread; one at a time."""
        self._lines.emit(entry, dumps)

    def preview(self, lines: Iterable[Json]) -> None:
        """What the page shows until the nodes are up: the lines of a recording of this lesson."""
        self._preview = "".join(f"{to_line(line)}\n" for line in lines)

    def begin(self) -> None:
        """Do the lesson's first step, behind what is shown; what goes wrong is told on the page."""
        lecture = self._lecture
        if lecture is not None and self._doing.acquire(blocking=False):
            threading.Thread(target=self._begin, args=(lecture,), name="first-step", daemon=True).start()

    def _begin(self, lecture: Lecture) -> None:
        try:
            self._do_alone(lecture, "next", True)
        except PylitefsError as error:
            self._lines.tell("problem", str(error))
        except Exception as error:  # as in _do
            log.exception("the lecture could not begin")
            self._lines.tell("problem", f"{type(error).__name__}: {error}")

    def share(self, link: Json) -> None:
        """Students follow: the page shows this link (`Sharing.link`), and the votes of `tell_votes`."""
        self._share = link

    def tell_votes(self, votes: Json) -> None:
        """How the class has voted, as votes.py has it. In any thread."""
        self._lines.tell("votes", votes)

    def start(self) -> None:
        """Listen, and serve in a thread. Raises ConfigError if the port cannot be had."""
        try:
            self._server.start()
        except ConfigError as error:
            raise ConfigError(f"the lecture's page {str(error).removeprefix('cannot ')}") from None

    def stop(self) -> bool:
        """End every connection and the thread; False if that took too long."""
        return self._server.stop()

    def end_streams(self) -> None:
        """Let the readers of /events go (the HTTP server asks for it when it stops)."""
        self._lines.close()

    # Requests.

    def _check(self, request: Request, *, token: bool = True) -> None:
        """Raise Refused unless host, origin and token are right."""
        host = request.headers.get("host", "")
        if not names_loopback(host):
            raise Refused(403, f"the lecture answers on loopback names only, and this asks for {host!r}")
        origin = request.headers.get("origin")
        if origin is not None and origin != f"{request.scope['scheme']}://{host}":
            raise Refused(403, f"the lecture does not answer pages of {origin}")
        given = request.query_params.get("token", "")
        if token and not hmac.compare_digest(given.encode(), self.token.encode()):
            raise Refused(403, "the token is missing or wrong: open the URL that pylitefs lecture printed")

    async def _page(self, request: Request) -> Response:
        return self._answer(request, "index.html", token=True)

    async def _file(self, request: Request) -> Response:
        return self._answer(request, request.path_params["name"], token=False)

    def _answer(self, request: Request, name: str, *, token: bool) -> Response:
        try:
            self._check(request, token=token)
        except Refused as refused:
            return _refusal(refused)
        found = page_files().get(name)
        if found is None:
            return PlainTextResponse("no such file", 404)
        if name == "index.html" and self._share is not None:
            found = page_with(found, "share")
        return Response(found, media_type=TYPES[PurePosixPath(name).suffix], headers=HEADERS)

    async def _events(self, request: Request) -> Response:
        try:
            self._check(request)
            run, at = last_event(request)
        except Refused as refused:
            return _refusal(refused)

        async def messages() -> AsyncIterator[bytes]:
            yield _message("hello", self._hello()).encode()
            async for message in self._lines.read(run, at):
                yield message

        return StreamingResponse(messages(), media_type="text/event-stream", headers=HEADERS)

    def _hello(self) -> Json:
        verbs = [
            {"verb": verb, "usage": line.usage, "help": line.help, "slots": slots(line.usage)}
            for verb, line in VERBS.items()
        ]
        after = following(self._lesson, live=self._live)
        hello = {
            "live": self._live,
            "next": after,
            "verbs": verbs,
            "tracepoints": dict(TRACEPOINTS),
            "preview": bool(self._preview),
        }
        return hello if self._share is None else {**hello, "share": self._share}

    async def _recording(self, request: Request) -> Response:
        try:
            self._check(request)
        except Refused as refused:
            return _refusal(refused)
        text = "".join(f"{line}\n" for line in tuple(self._lines.lines)).encode("utf-8", "surrogatepass")
        headers = {**HEADERS, "Content-Disposition": 'attachment; filename="lecture.jsonl"'}
        return Response(text, media_type="application/jsonl", headers=headers)

    async def _of_before(self, request: Request) -> Response:
        try:
            self._check(request)
        except Refused as refused:
            return _refusal(refused)
        text = self._preview.encode("utf-8", "surrogatepass")
        return Response(text, media_type="application/jsonl", headers=HEADERS)

    async def _do(self, request: Request) -> Response:
        try:
            self._check(request)
            what, value = parse_request(await read_body(request))
            if self._lecture is None:
                reason = "the nodes are not up yet" if self._live else "this is a recording: it has no nodes"
                raise Refused(409, reason)
            await run_in_threadpool(self._perform, self._lecture, what, value)
        except Refused as refused:
            return _refusal(refused)
        except PylitefsError as error:
            return JSONResponse({"error": str(error), "last": self._lines.last_id}, 409)
        except Exception as error:  # the lecture goes on: the person at the page decides what to do
            log.exception("the lecture could not do %s", what)
            return JSONResponse({"error": f"{type(error).__name__}: {error}"}, 500)
        return JSONResponse({"ok": True, "last": self._lines.last_id})

    def _perform(self, lecture: Lecture, what: str, value: object) -> None:
        """Do one thing, in a worker thread. Raises LessonError if another is still being done."""
        if not self._doing.acquire(blocking=False):
            raise LessonError(f"still busy with {self._lines.now['busy']}")
        self._do_alone(lecture, what, value)

    def _do_alone(self, lecture: Lecture, what: str, value: object) -> None:
        """The same, once nothing else is done (`_doing` is held); lets others do something afterwards."""
        try:
            self._lines.tell("busy", str(value) if what == "line" else what)
            if what in ("again", "afresh"):
                self._lines.begin()
            ACTIONS[what][1](lecture, value)
        finally:
            self._lines.tell("busy", "")
            self._doing.release()


def _refusal(refused: Refused) -> Response:
    log.warning("refused: %s", refused)
    return JSONResponse({"error": str(refused)}, refused.status, headers=HEADERS)
