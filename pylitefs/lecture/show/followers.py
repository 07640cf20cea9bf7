"""The followers' server: the lecture's page to read, and votes. A process of its own, beside the lecture's.

    GET  /?token=T                     the page; its script and its style need no token
    GET  /events?token=T[&voter=V]     what has been shown, and what comes, as server-sent events
    POST /vote?token=T                 {"voter": "…", "question": "…", "choice": 1}

    the lecture's process --stdin--> lines, and what is asked --> here
                          <--stdout-- the port, then the votes

The rule: nobody can ask anything of the lecture here. There is no session in this process, only lines that
the class has seen (audience.py). It runs at a lower priority, bounds its connections, and gives up those of
whoever has most (fair.py); so whatever its clients do, the lecturer's page and the nodes go on. Nothing is
kept: no file, no address, no log of who voted for what. It ends with its standard input.
"""

import asyncio
import gzip
import json
import os
import re
import secrets
import signal
import sys
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pylitefs import limits
from pylitefs.errors import ConfigError
from pylitefs.http.server import HttpServer
from pylitefs.lecture.model import Json
from pylitefs.lecture.show.asking import Refused, read_body
from pylitefs.lecture.show.bundle import modules
from pylitefs.lecture.show.fair import CUT, FairListener, FollowersDoor
from pylitefs.lecture.show.feed import GZIP_HEAD, Feed, message, packed
from pylitefs.lecture.show.page_files import HEADERS, page_files, page_with
from pylitefs.lecture.show.votes import Votes

MOST_VOTE = 512
"""Bytes of a vote."""
VOTE_S = 10.0
"""So long a vote may take to come in."""
STALL_S = 60.0
"""A reader that takes nothing for so long is cut off; its page comes again by itself."""
TELL_S = 0.2
"""So often at most the lecture hears of new votes."""
MOST_KNOWN = 4000
"""Followers that are remembered by the name that they were given."""
NICE = 5
_STYLE = re.compile(rb'<link rel="stylesheet" href="([^"]+)">\n')


class Followers:
    """The application: the feed, the votes, and who follows. All of it in one event loop."""

    def __init__(self, token: str, names: Collection[str], tell: "Tell") -> None:
        self.feed = Feed()
        self.votes = Votes()
        self._tell = tell
        self._known: OrderedDict[str, None] = OrderedDict()
        self._here: Counter[str] = Counter()
        self._is_due = False
        files = page_files()
        index = page_with(files["index.html"], "follow").replace(b"follow.js", b"page.js")
        styles = [one.decode() for one in _STYLE.findall(index)]
        one_style = b'<link rel="stylesheet" href="page.css">\n</head>'
        index = _STYLE.sub(b"", index).replace(b"</head>", one_style)
        self._page = _Packed("text/html", index)
        self._script = _Packed("text/javascript", modules(files, "follow.js").encode())
        self._style = _Packed("text/css", b"\n".join(files[one] for one in styles))
        routes = [
            Route("/", self._get_page),
            Route("/page.js", self._get_script),
            Route("/page.css", self._get_style),
            Route("/events", _Events(self)),
            Route("/vote", self._vote, methods=["POST"]),
        ]
        self.app: ASGIApp = FollowersDoor(Starlette(routes=routes), token, names)

    def take(self, line: str) -> None:
        """A line of the lecture's process: one to send on, or `!` and what has come to be."""
        if not line.startswith("!"):
            self.feed.take([line])
            return
        what = json.loads(line[1:])
        if "begin" in what:
            self.feed.begin()
            self.votes.forget()
        elif "ask" in what:
            seq, choices = what["ask"]
            self.votes.ask(f"{self.feed.run}-{seq}", choices)
        elif "close" in what:
            self.votes.close()
            self.feed.tell_now("votes", self.votes.told())
        self._tell_soon()

    def end_streams(self) -> None:
        self.feed.close()

    def came(self, asked: str) -> str:
        """A follower is here: the name by which it votes, its own of before if it is known."""
        voter = asked if asked in self._known else secrets.token_urlsafe(12)
        self._known[voter] = None
        self._known.move_to_end(voter)
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        self._here[voter] += 1
        self._tell_soon()
        return voter

    def went(self, voter: str) -> None:
        self._here[voter] -= 1
        if self._here[voter] <= 0:
            del self._here[voter]
        self._tell_soon()

    def _tell_soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(TELL_S, self._tell_lecture)

    def _tell_lecture(self) -> None:
        self._is_due = False
        self._tell({"votes": {**self.votes.told(), "followers": len(self._here)}})

    # Requests.

    async def _get_page(self, request: Request) -> Response:
        return self._page.answer(request)

    async def _get_script(self, request: Request) -> Response:
        return self._script.answer(request)

    async def _get_style(self, request: Request) -> Response:
        return self._style.answer(request)

    async def _vote(self, request: Request) -> Response:
        try:
            async with asyncio.timeout(VOTE_S):
                voter, question, choice = parse_vote(await read_body(request, MOST_VOTE))
            if voter not in self._known:
                raise Refused(403, "this page is not known here: load it again")
            self.votes.vote(voter, question, choice, asyncio.get_running_loop().time())
        except TimeoutError:
            return JSONResponse({"error": "the vote came too slowly"}, 408, headers=HEADERS)
        except Refused as refused:
            return JSONResponse({"error": str(refused)}, refused.status, headers=HEADERS)
        self._tell_soon()
        return JSONResponse({"ok": True}, headers=HEADERS)


class _Packed:
    """A file of the page, packed once."""

    def __init__(self, kind: str, data: bytes) -> None:
        self._type = f"{kind}; charset=utf-8"
        self._data = data
        self._gzip = gzip.compress(data, mtime=0)

    def answer(self, request: Request) -> Response:
        if not _takes_gzip(request):
            return Response(self._data, media_type=self._type, headers=HEADERS)
        return Response(self._gzip, media_type=self._type, headers={**HEADERS, "Content-Encoding": "gzip"})


class _Events:
    """GET /events: an ASGI application, so that a reader that takes nothing is seen and cut off."""

    def __init__(self, followers: Followers) -> None:
        self._followers = followers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        if not _takes_gzip(request):  # All browsers do. Text that is unpacked for each has no bound.
            await PlainTextResponse("the lecture is sent as gzip: ask with Accept-Encoding: gzip\n", 406)(
                scope, receive, send
            )
            return
        voter = self._followers.came(request.query_params.get("voter", "")[:100])
        sending = asyncio.ensure_future(self._send(request, voter, send))
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._followers.went(voter)
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send(self, request: Request, voter: str, send: Send) -> None:
        headers = HEADERS | {"Content-Type": "text/event-stream; charset=utf-8", "Content-Encoding": "gzip"}
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": raw})
            async for pieces in self._pieces(request, voter):
                async with asyncio.timeout(STALL_S):
                    await send({"type": "http.response.body", "body": pieces, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            request.scope[CUT]()

    async def _pieces(self, request: Request, voter: str) -> AsyncIterator[bytes]:
        hello = packed("retry: 2000\n\n" + message("hello", {"live": True, "voter": voter}))
        yield GZIP_HEAD + hello
        async for pieces in self._followers.feed.read(request.headers.get("last-event-id", "")):
            yield pieces


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _takes_gzip(request: Request) -> bool:
    return "gzip" in request.headers.get("accept-encoding", "")


def parse_vote(body: bytes) -> tuple[str, str, int]:
    """Who, on which question, for which choice. Raises Refused."""
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    wanted = {"voter": str, "question": str, "choice": int}
    if not isinstance(found, dict) or {key: type(value) for key, value in found.items()} != wanted:
        raise Refused(400, 'a vote is {"voter": "…", "question": "…", "choice": 0}')
    return found["voter"], found["question"], found["choice"]


class Tell:
    """Says things to the lecture's process, a line each; one that does not listen any more is no error."""

    def __call__(self, what: Json) -> None:
        with suppress(BrokenPipeError, BlockingIOError):
            sys.stdout.write(json.dumps(what) + "\n")
            sys.stdout.flush()


async def _serve(config: Json) -> None:
    tell = Tell()
    followers = Followers(config["token"], config["names"], tell)
    try:
        listener = FairListener.bound(config["host"], config["port"])
    except OSError as error:
        tell({"error": error.strerror or str(error)})
        return
    server = HttpServer(followers, (config["host"], config["port"]), listener)
    tell({"port": listener.port})
    serving = asyncio.ensure_future(server.serve())
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer
    )
    rest = b""
    while data := await reader.read(1 << 16):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            followers.take(line.decode("utf-8", "surrogatepass"))
    server.shutdown()
    await serving


def main() -> None:
    """Serve until standard input ends. Its first line says where, with which token, and under which names."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # The lecture's process gets them too, and ends this one.
    os.nice(NICE)
    limits.raise_open_files()
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as first:
        config = json.loads(first.readline())
    asyncio.run(_serve(config))


if __name__ == "__main__":
    try:
        main()
    except ConfigError as error:
        sys.exit(str(error))
