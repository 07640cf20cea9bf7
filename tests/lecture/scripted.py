"""A lecture without nodes: a session that tells a recording's entries, one stop a step."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from pylitefs.errors import LessonError
from pylitefs.lecture.model import Dump, Entry, Json
from pylitefs.lecture.show.server import LectureServer
from tests.lecture import recordings


class Shows(Protocol):
    """What entries are told to: a server, or several."""

    def emit(self, entry: Entry, dumps: Sequence[Dump]) -> None: ...


class ScriptedSession:
    """What the buttons act on; keeps what was asked of it."""

    def __init__(self, server: Shows, make: recordings.Maker) -> None:
        self._server = server
        self._make = make
        self.at = 0
        self.asked: list[object] = []
        self.yours: list[list[object]] = []

    def _tell(self) -> None:
        while self.at < len(self._make.entries):
            entry = self._make.entries[self.at]
            self._server.emit(entry, self._make.dumps[entry.seq])
            self.at += 1
            if entry.stop:
                break

    def next(self) -> None:
        self.asked.append("next")
        self._tell()

    def answer(self, choice: int) -> None:
        self.asked.append(("answer", choice))
        self._tell()

    def do(self, line: str) -> None:
        self.asked.append(line)
        if line.startswith("explode"):
            raise LessonError(f"there is no command {line!r}")
        self.yours.append([self._make.entries[self.at].step, line])
        # As a director tells it, at a place of its own in the history.
        told = Entry(self.at, 0.0, "fault", "kill", "n2", text=line, set={"lesson/yours": list(self.yours)})
        self._server.emit(told, [])

    def again(self, step: int, *, yours: bool = True) -> None:
        self.asked.append(("again" if yours else "afresh", step))
        self.at = 0
        while self._make.entries[self.at].step < step:
            self._tell()


@contextmanager
def live() -> Iterator[tuple[LectureServer, ScriptedSession]]:
    """A server of the made lesson, not begun; stopped at the end."""
    server = LectureServer(recordings.HEADER)
    session = ScriptedSession(server, recordings.made())
    server.attach(session)
    server.start()
    try:
        yield server, session
    finally:
        assert server.stop()


@contextmanager
def recorded(lines: list[Json] | None = None) -> Iterator[LectureServer]:
    """A server of the made lesson's recording, or of these lines."""
    server = LectureServer.of_recording(lines or recordings.lines(recordings.made()))
    server.start()
    try:
        yield server
    finally:
        assert server.stop()
