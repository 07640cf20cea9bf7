"""The live side of `pylitefs lecture`: a lesson's session on real nodes, shown, recorded, or run as a test.

The rule: however it ends (Ctrl-C, a kill, a closed terminal, an error), nothing stays held, mounted or
running, and no folder is removed through a mount.
"""

import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from pylitefs.cli.lecture_page import show
from pylitefs.cli.lecture_share import Share, say, shared
from pylitefs.cluster import own_folder
from pylitefs.cluster.cluster import Cluster, ClusterError, is_mounted
from pylitefs.errors import LessonError, MountError
from pylitefs.lecture.language.lesson import Lesson
from pylitefs.lecture.live.session import Session, run_headless
from pylitefs.lecture.model import Dump, Entry, Json
from pylitefs.lecture.recording import SUFFIX, Head, Writer, open_recording, packaged
from pylitefs.lecture.show.server import LectureServer
from pylitefs.lecture.show.terminal import Story, TerminalLecture
from pylitefs.mount import requirements

Emit = Callable[[Entry, Sequence[Dump]], None]


@contextlib.contextmanager
def folder(directory: Path | None) -> Iterator[Path]:
    """A fresh folder for the nodes. Raises LessonError if `directory` is there and not empty."""
    try:
        if directory is not None and directory.exists() and any(directory.iterdir()):
            raise LessonError(f"{directory} is not empty: name a new folder with --dir")
        given = directory or Path(tempfile.mkdtemp(prefix="pylitefs-lecture-"))
        base = own_folder.claimed(given)
    except OSError as error:
        raise LessonError(f"{directory}: {error.strerror}; name another folder with --dir") from None
    try:
        yield base
    finally:
        mounts = [path for path in base.glob("**/mnt") if is_mounted(path)]
        if mounts:
            click.echo(f"{mounts[0]} is still mounted, so {base} stays", err=True)
        else:
            shutil.rmtree(base, ignore_errors=True)


def try_mount(base: Path) -> None:
    """Mount one node and end it again: FUSE can be there and fail. Raises MountError."""
    requirements.check()
    trial = base / "trial"
    try:
        with Cluster(trial, replicas=0):
            pass
    except ClusterError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise MountError(f"a trial mount failed: {lines[-1]}") from None
    finally:
        if not is_mounted(trial / "n1" / "mnt"):
            shutil.rmtree(trial, ignore_errors=True)


@contextlib.contextmanager
def recorded(lesson: Lesson, base: Path, record: Path | None, emit: Emit) -> Iterator[Emit]:
    """`emit`, and into the file `record` besides."""
    if record is None:
        yield emit
        return
    with Writer(record, Head.of(lesson), hidden=base) as writer:

        def both(entry: Entry, dumps: Sequence[Dump]) -> None:
            emit(entry, dumps)
            writer.emit(entry, dumps)

        yield both
    click.echo(f"recorded: pylitefs replay {record}", err=True)


def in_page(
    lesson: Lesson,
    base: Path,
    record: Path | None,
    bind: tuple[str, int],
    share: Share | None = None,
    *,
    browser: bool,
) -> None:
    """The lesson in a browser, until Ctrl-C."""
    head = Head.of(lesson).to_json()
    server = LectureServer(head, bind)
    with (
        shared(head, base, share, server.emit) as (both, sharing),
        recorded(lesson, base, record, both) as emit,
        contextlib.closing(Session(lesson, base, emit)) as session,
    ):
        server.attach(session)
        if sharing is not None:
            say(sharing, with_code=False)
            server.share(sharing.link())
            sharing.on_votes = server.tell_votes
        server.preview(recorded_before(lesson))
        server.begin()
        show(server, browser=browser)


def recorded_before(lesson: Lesson) -> Iterator[Json]:
    """The lines of the recording that is packaged with this very lesson; none of another's of its name."""
    if lesson.name in packaged():
        recording = open_recording(lesson.name)
        if recording.head.steps == Head.of(lesson).steps:
            yield from recording.lines()


def in_terminal(lesson: Lesson, base: Path, record: Path | None, share: Share | None = None) -> None:
    """The lesson in this terminal, until `q` or Ctrl-C."""
    story, head = Story(), Head.of(lesson)
    with (
        shared(head.to_json(), base, share, story.emit) as (both, sharing),
        recorded(lesson, base, record, both) as emit,
        contextlib.closing(Session(lesson, base, emit)) as session,
    ):
        if sharing is not None:
            say(sharing, with_code=True)
        votes = (lambda: sharing.votes) if sharing is not None else None
        TerminalLecture(head, story, session, votes=votes).run()


def headless(chosen: Sequence[Lesson], base: Path, record: Path | None, *, all_lessons: bool) -> int:
    """Run lessons to their end, telling each step's outcome; 1 if one of them failed."""
    requirements.check()
    if record and all_lessons:
        record.mkdir(parents=True, exist_ok=True)
    failed = []
    for lesson in chosen:
        file = record / f"{lesson.name}{SUFFIX}" if record and all_lessons else record
        outcomes = Outcomes(lesson)
        began = time.monotonic()
        with recorded(lesson, base, file, outcomes.emit) as emit:
            code = run_headless(lesson, emit, base / lesson.name)
        outcomes.end(code == 0)
        if code:
            failed.append(lesson.name)
        click.echo(f"{lesson.name}: {'FAILED' if code else 'ok'} in {time.monotonic() - began:.1f} s")
    if len(chosen) > 1:
        broken = f"; broken: {', '.join(failed)}" if failed else ""
        click.echo(f"{len(chosen) - len(failed)} of {len(chosen)} lessons hold{broken}")
    return 1 if failed else 0


class Outcomes:
    """Prints a line for each step of a headless run once it is known how it went."""

    def __init__(self, lesson: Lesson) -> None:
        self._lesson = lesson
        self._at = 0
        self._seen = -1

    def emit(self, entry: Entry, dumps: Sequence[Dump] = ()) -> None:
        """A step that something of a later one follows went well."""
        del dumps
        if entry.step > self._seen:
            self._seen = entry.step
            self._tell_until(entry.step)

    def end(self, ok: bool) -> None:
        """The run is over; if it failed, then at the last step that was seen."""
        if ok:
            self._tell_until(len(self._lesson.steps))
        elif 0 <= self._seen < len(self._lesson.steps):
            self._tell_until(self._seen)
            self._tell("FAILED", self._seen)

    def _tell_until(self, index: int) -> None:
        for number in range(self._at, index):
            self._tell("ok", number)
        self._at = max(self._at, index)

    def _tell(self, outcome: str, index: int) -> None:
        step = self._lesson.steps[index]
        click.echo(f"{outcome:6} {index + 1:3}  {step.text.splitlines()[0]}")
        sys.stdout.flush()
