"""The live side of `pylitefs lecture LEVEL`: played on the page or in the terminal, or solved as a test.

The rule: a level is run as a lesson is (lecture_live.py), with the same ends. What differs is its session.
"""

import contextlib
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import click

from pylitefs.cli.lecture_live import recorded
from pylitefs.cli.lecture_page import show
from pylitefs.errors import PylitefsError
from pylitefs.lecture.language.level import Level, load
from pylitefs.lecture.live.level_session import LevelSession, run_headless
from pylitefs.lecture.model import Dump, Entry
from pylitefs.lecture.recording import SUFFIX, Head
from pylitefs.lecture.show.server import LectureServer
from pylitefs.lecture.show.terminal import Story
from pylitefs.lecture.show.terminal_level import TerminalLevel
from pylitefs.mount import requirements


def play(name: str, base: Path, record: Path | None, bind: tuple[str, int] | None, *, browser: bool) -> None:
    """A level, on the page that listens at `bind`, or in this terminal where that is None."""
    level = load(name)
    if bind is None:
        _in_terminal(level, base, record)
    else:
        _in_page(level, base, record, bind, browser=browser)


def _in_terminal(level: Level, base: Path, record: Path | None) -> None:
    story, head = Story(), Head.of(level.opening)
    with (
        recorded(level.opening, base, record, story.emit) as emit,
        contextlib.closing(LevelSession(level, base, emit)) as session,
    ):
        TerminalLevel(head, story, session).run()


def _in_page(level: Level, base: Path, record: Path | None, bind: tuple[str, int], *, browser: bool) -> None:
    """The scene is set while the page opens."""
    server = LectureServer(Head.of(level.opening).to_json(), bind)
    with (
        recorded(level.opening, base, record, server.emit) as emit,
        contextlib.closing(LevelSession(level, base, emit)) as session,
    ):
        server.attach(session)

        def begin() -> None:
            with contextlib.suppress(PylitefsError):  # The page tells of it.
                server.do("next", True)

        threading.Thread(target=begin, name="opening", daemon=True).start()
        show(server, browser=browser)


def headless(chosen: Sequence[Level], base: Path, record: Path | None) -> int:
    """Play the solutions; 1 if one of them does not reach its goal. Of several, `record` names a folder."""
    requirements.check()
    several = len(chosen) > 1
    if record and several:
        record.mkdir(parents=True, exist_ok=True)
    broken = []
    for level in chosen:
        file = record / f"{level.name}{SUFFIX}" if record and several else record
        began = time.monotonic()
        with recorded(level.opening, base, file, _nowhere) as emit:
            code = run_headless(level, emit, base / level.name)
        if code:
            broken.append(level.name)
        outcome = "FAILED" if code else f"ok, with {level.fewest} of {level.terms.most} commands,"
        click.echo(f"{level.name}: {outcome} in {time.monotonic() - began:.1f} s")
    if several:
        told = f"; broken: {', '.join(broken)}" if broken else ""
        click.echo(f"{len(chosen) - len(broken)} of {len(chosen)} levels are solved{told}")
    return 1 if broken else 0


def _nowhere(entry: Entry, dumps: Sequence[Dump]) -> None:
    """Nobody looks on."""
