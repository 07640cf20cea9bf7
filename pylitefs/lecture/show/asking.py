"""What a request to the lecture's server asks for: read from its headers and its body, or refused.

The rule: whatever the bytes are, the answer is what was asked for or a `Refused` with its status and a
sentence. Nobody's request is an error of ours: numbers have an end, JSON a depth, and text is Unicode.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from starlette.requests import ClientDisconnect, Request

from pylitefs.errors import LessonError

MAX_REQUEST = 65536
MAX_NUMBER = 1_000_000
"""No lesson has so many steps, no question so many choices."""
_SHOWN = 200
_EVENT_ID = re.compile(r"([0-9]{1,9})-([0-9]{1,9})")


class Refused(Exception):
    """A request that gets a status and a sentence."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Lecture(Protocol):
    """What the buttons act on: `Session` of live/session.py."""

    def next(self) -> object: ...
    def answer(self, choice: int) -> None: ...
    def do(self, line: str) -> None: ...
    def again(self, step: int, *, yours: bool = True) -> None: ...


@runtime_checkable
class Played(Protocol):
    """What a level has besides: `LevelSession` of live/level_session.py."""

    def hint(self) -> None: ...
    def give_up(self) -> None: ...


def _played(lecture: object) -> Played:
    if not isinstance(lecture, Played):
        raise LessonError("this is a lesson, which has no hints and nothing to give up: press Next")
    return lecture


#: What POST /do takes: the type of the value, and what is done with it.
ACTIONS: Mapping[str, tuple[type, Callable[[Lecture, object], object]]] = {
    "next": (bool, lambda lecture, _: lecture.next()),
    "answer": (int, lambda lecture, value: lecture.answer(int(str(value)))),
    "line": (str, lambda lecture, value: lecture.do(str(value))),
    "again": (int, lambda lecture, value: lecture.again(int(str(value)))),
    "afresh": (int, lambda lecture, value: lecture.again(int(str(value)), yours=False)),
    "pause": (bool, lambda lecture, _: lecture.do("pause")),
    "run": (bool, lambda lecture, _: lecture.do("run")),
    "hint": (bool, lambda lecture, _: _played(lecture).hint()),
    "give_up": (bool, lambda lecture, _: _played(lecture).give_up()),
}


def parse_request(body: bytes) -> tuple[str, object]:
    """The one thing that is asked for, and its value."""
    try:
        found = json.loads(body)
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Refused(400, "the body's text has half of a character: it is no Unicode") from None
    except (ValueError, RecursionError):
        raise Refused(400, "the body is no JSON that could be read") from None
    if not isinstance(found, dict) or len(found) != 1:
        raise Refused(400, f"one of {', '.join(ACTIONS)} is asked for, as an object with one key")
    ((what, value),) = found.items()
    if what not in ACTIONS or type(value) is not ACTIONS[what][0]:
        raise Refused(400, f"{_cut(what)} with {_cut(value)} is nothing the lecture can do")
    if isinstance(value, int) and abs(value) > MAX_NUMBER:
        raise Refused(400, f"{_cut(what)}: no lesson has so many of them")
    return what, value


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


async def read_body(request: Request, most: int = MAX_REQUEST) -> bytes:
    """The body. A client that goes away has asked for nothing."""
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise Refused(413, "that is too long")
    except ClientDisconnect:
        raise Refused(400, "the request ended early") from None
    return body


def last_event(request: Request) -> tuple[int, int]:
    """Run and line of Last-Event-ID, as this server gives them; without one the beginning."""
    text = request.headers.get("last-event-id", "")
    if not text:
        return -1, 0
    found = _EVENT_ID.fullmatch(text)
    if found is None:
        raise Refused(400, f"Last-Event-ID {_cut(text)} is none of this lecture's: load the page again")
    return int(found[1]), int(found[2])
