"""A run of a lesson as a file: JSON lines with every entry and the bytes it needs, to be played anywhere.

    {"pylitefs": version, "format": 1, "lesson": name, "title": …, "summary": …,
     "sections": [{"heading", "html", "prose"}], "steps": [{"index", "text", "section"}]}
    {"dump": {…}}      before the first entry that names it
    {"entry": {…}}     in order, `seq` from 0 without gaps

The same lines are what a live page is sent. A file may be gzipped; its name then ends in `.gz`.

The rule: nothing here needs FUSE, Linux or a node, and nothing that is read is believed: a line that is
not as `model.py` says, or more than `bounds.py` lets be, is refused with its number and what to do. A last
line that is cut (the lecture was killed) only ends the recording there. No path of the machine gets in.
"""

import binascii
import gzip
import io
import json
import threading
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from pylitefs import __version__
from pylitefs.errors import PylitefsError
from pylitefs.lecture import bounds, invariants, json_lines
from pylitefs.lecture.language import lesson as lessons
from pylitefs.lecture.language.safe_html import why_not_prose
from pylitefs.lecture.model import FORMAT, Dump, Entry, Json, Term, to_line

SUFFIX = ".jsonl.gz"
KINDS = frozenset({"event", "command", "sql", "fault", "prose", "question", "answer", "note", "error"})
_REMEDY = "record it again with `pylitefs lecture LESSON --record FILE`"


class RecordingError(PylitefsError):
    """A file is not a recording that this pylitefs can play; the text has the line and the remedy."""


@dataclass(frozen=True, slots=True)
class HeadSection:
    """A section of the lesson: its heading, its prose as safe HTML and as Markdown."""

    heading: str
    html: str
    prose: str = ""


@dataclass(frozen=True, slots=True)
class HeadStep:
    """One command of the lesson, as it is written there, and the section it stands in."""

    index: int
    text: str
    section: int


@dataclass(frozen=True, slots=True)
class Head:
    """The first line: which lesson this is, and all of its text."""

    lesson: str
    title: str
    summary: str
    sections: tuple[HeadSection, ...]
    steps: tuple[HeadStep, ...]
    pylitefs: str = __version__
    format: int = FORMAT

    @classmethod
    def of(cls, of: lessons.Lesson) -> "Head":
        """The head of a lesson's runs."""
        sections = (HeadSection(one.heading, one.html, one.prose_markdown) for one in of.sections)
        steps = (HeadStep(one.index, one.text, one.section) for one in of.steps)
        return cls(of.name, of.title, of.summary, tuple(sections), tuple(steps))

    def to_json(self) -> Json:
        return {
            "pylitefs": self.pylitefs,
            "format": self.format,
            "lesson": self.lesson,
            "title": self.title,
            "summary": self.summary,
            "sections": [asdict(section) for section in self.sections],
            "steps": [asdict(step) for step in self.steps],
        }


@dataclass(frozen=True, slots=True)
class Recording:
    """A whole run, read and checked."""

    head: Head
    entries: tuple[Entry, ...]
    dumps: Mapping[str, Dump]
    is_cut: bool = False
    """Whether the file ended in the middle of a line, as after a kill."""

    def lines(self) -> Iterator[Json]:
        """The recording's lines again, as JSON objects."""
        liner = Liner()
        yield self.head.to_json()
        for entry in self.entries:
            yield from liner.lines(entry, [self.dumps[one] for one in entry.dumps])


class Liner:
    """Turns entries and their dumps into lines; a dump goes out once, before the first entry naming it."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def lines(self, entry: Entry, dumps: Iterable[Dump]) -> list[Json]:
        found: list[Json] = []
        for dump in dumps:
            if dump.id not in self._told:
                self._told.add(dump.id)
                found.append({"dump": dump.to_json()})
        found.append({"entry": entry.to_json()})
        return found


class Writer:
    """Writes a recording while the lecture goes on: each entry is in the file when `emit` returns.

    A `.gz` file is written at the end, in one piece. An entry numbered 0 after others (the lesson was
    begun again from a step) begins the file anew. `hidden` is a folder whose path must not get in: it
    becomes "…". Raises RecordingError.
    """

    def __init__(self, path: Path, head: Head, hidden: Path | None = None) -> None:
        self._path = path
        self._head = head
        self._hidden = json.dumps(str(hidden), ensure_ascii=False)[1:-1] if hidden else ""
        self._lock = threading.Lock()
        self._next = 0
        self._liner = Liner()
        self._packed = io.StringIO() if path.suffix == ".gz" else None
        with self._told():
            self._file = path.open("wb")
            self._put([head.to_json()])

    def emit(self, entry: Entry, dumps: Iterable[Dump] = ()) -> None:
        """Append the entry, and before it those of its dumps that are new."""
        with self._lock, self._told():
            lines: list[Json] = []
            if entry.seq == 0 and self._next:
                self._begin_anew()
                lines.append(self._head.to_json())
            self._next = entry.seq + 1
            lines += [without_mounts(line) for line in self._liner.lines(entry, dumps)]
            self._put(lines)

    def _begin_anew(self) -> None:
        self._liner = Liner()
        for file in (self._file, self._packed):
            if file:
                file.seek(0)
                file.truncate()

    def _put(self, lines: Iterable[Json]) -> None:
        text = "".join(to_line(line) + "\n" for line in lines)
        text = text.replace(self._hidden, "…") if self._hidden else text
        if self._packed:
            self._packed.write(text)
        else:
            self._file.write(_encoded(text))
            self._file.flush()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RecordingError(f"{self._path}: {error.strerror}; name another file with --record") from None

    def close(self) -> None:
        """End the file; a second time does nothing."""
        with self._lock, self._told():
            if self._packed and not self._file.closed:
                # Without a time in it, equal runs give equal files.
                self._file.write(gzip.compress(_encoded(self._packed.getvalue()), mtime=0))
            self._file.close()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _encoded(text: str) -> bytes:
    # What SQLite or a file's name gave need not be Unicode; such a thing must not end the recording.
    return text.encode("utf-8", "surrogatepass")


def without_mounts(line: Json) -> Json:
    """A line without the paths of the mounts: they are the machine's own."""
    entry = line.get("entry")
    if not entry or not any(_is_mount(key) for key in entry["set"]):
        return line
    known = {key: "" if _is_mount(key) and value else value for key, value in entry["set"].items()}
    return {"entry": {**entry, "set": known}}


def _is_mount(key: str) -> bool:
    return key.startswith("node/") and key.endswith("/mount")


def read(path: Path) -> Recording:
    """Read and check a recording, gzipped or not. Raises RecordingError."""
    try:
        with path.open("rb") as file:
            return read_bytes(file.read(bounds.MAX_BYTES + 1), str(path))
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror}") from None


def read_bytes(data: bytes, name: str) -> Recording:
    """As `read`; `name` is what the errors call it."""
    try:
        text, is_cut = json_lines.text_of(data)
    except ValueError as error:
        raise RecordingError(f"{name}: {error}; {_REMEDY}, with fewer steps if it was long") from None
    return _Reader(name).read(json_lines.lines(text), is_cut)


Line = TypeVar("Line")
_HEAD = TypeAdapter(Head)
_ENTRY = TypeAdapter(Entry)
_DUMP = TypeAdapter(Dump)
_PART = ("offset", "length", "name", "value", "meaning", "kind")


class _Reader:
    """Checks line after line, knowing what came before."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._number = 1
        self._entries: list[Entry] = []
        self._dumps: dict[str, Dump] = {}

    def read(self, lines: Iterator[bytes], is_cut: bool) -> Recording:
        first = next(lines, None)
        if first is None:
            raise self._wrong("there is no line in it")
        head = self._read_head(self._object(first))
        for self._number, line in enumerate(lines, start=2):
            if self._number > bounds.MAX_LINES:
                raise self._wrong(f"a recording has at most {bounds.MAX_LINES:,} lines")
            found = self._object(line)
            if set(found) == {"dump"}:
                self._add_dump(found["dump"])
            elif set(found) == {"entry"}:
                self._add_entry(found["entry"], len(head.steps))
            else:
                raise self._wrong('it has neither a "dump" nor an "entry"')
        return Recording(head, invariants.told(self._entries), self._dumps, is_cut)

    def _wrong(self, what: str) -> RecordingError:
        return RecordingError(f"{self._name}, line {self._number}: {what}; {_REMEDY}")

    def _object(self, line: bytes) -> Json:
        try:
            return json_lines.parsed(line)
        except ValueError as error:
            raise self._wrong(str(error)) from None

    def _refuse(self, why: str | None) -> None:
        if why:
            raise self._wrong(why)

    def _read_head(self, found: Json) -> Head:
        if "format" not in found or "pylitefs" not in found:
            raise self._wrong('this is no recording: the first line has no "pylitefs" and "format"')
        if found["format"] != FORMAT:
            raise RecordingError(
                f"{self._name} was made by pylitefs {found['pylitefs']} in format {found['format']}; "
                f"this is pylitefs {__version__}, which plays format {FORMAT}: use the other, or {_REMEDY}"
            )
        head = self._checked(_HEAD, found)
        for number, section in enumerate(head.sections, start=1):
            if why_long := bounds.why_too_long(section.prose, section.html):
                raise self._wrong(f"section {number} has {why_long}")
            why = why_not_prose(section.html)
            if why:
                raise self._wrong(f"section {number} has {why}, which no lesson's prose has")
        for number, step in enumerate(head.steps):
            if step.index != number or not 0 <= step.section < max(len(head.sections), 1):
                raise self._wrong(f"step {number} has index {step.index}, section {step.section}")
        return head

    def _add_dump(self, found: Json) -> None:
        try:
            data = b64decode(found["data"], validate=True)
            parts = [dict(zip(_PART, part, strict=True)) for part in found.get("parts", ())]
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise self._wrong(f"the dump's data or parts cannot be read ({error!r})") from None
        dump = self._checked(_DUMP, {**found, "data": data, "parts": parts})
        if dump.id in self._dumps:
            raise self._wrong(f"the dump {dump.id} is there twice")
        self._dumps[dump.id] = dump

    def _add_entry(self, found: Json, steps: int) -> None:
        try:
            terms = [asdict(Term(label, int(value, 16))) for label, value in found.get("xor", ())]
        except (AttributeError, TypeError, ValueError) as error:
            raise self._wrong(f"the entry's xor cannot be read ({error})") from None
        entry = self._checked(_ENTRY, {**found, "xor": terms})
        self._refuse(bounds.why_no_facts(entry.detail) or bounds.why_no_facts(entry.frame or {}))
        self._refuse(bounds.why_no_state(entry.set))
        if entry.seq != len(self._entries):
            raise self._wrong(f"entry {len(self._entries)} is missing: this is {entry.seq}")
        if entry.kind not in KINDS:
            raise self._wrong(f"entry {entry.seq} is of kind {entry.kind!r}, which is none")
        if not -1 <= entry.step < max(steps, 1):
            raise self._wrong(f"entry {entry.seq} belongs to step {entry.step} of {steps}")
        for one in entry.dumps:
            if one not in self._dumps:
                raise self._wrong(f"entry {entry.seq} names the dump {one}, which no line before it has")
        self._entries.append(entry)

    def _checked(self, kind: "TypeAdapter[Line]", found: object) -> Line:
        try:
            return kind.validate_python(found)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(one) for one in first["loc"])
            raise self._wrong(f"{place or 'it'}: {first['msg'].lower()}") from None


def packaged() -> list[str]:
    """The lessons of which pylitefs brings a recording along, by name, in the lessons' order."""
    folder = _packaged_folder()
    files = [one.name for one in folder.iterdir()] if folder.is_dir() else []
    found = sorted(name.removesuffix(SUFFIX) for name in files if name.endswith(SUFFIX))
    order = lessons.names()
    return sorted(found, key=lambda name: order.index(name) if name in order else len(order))


def following(name: str, *, live: bool) -> Json | None:
    """The packaged lesson after this one: name, title, and the line that starts it; None after the last."""
    names = lessons.names()
    if name not in names[:-1]:
        return None
    after = names[names.index(name) + 1]
    command = f"pylitefs {'lecture' if live else 'replay'} {after}"
    return {"lesson": after, "title": lessons.load(after).title, "command": command}


def open_recording(name: str) -> Recording:
    """A recording by the path of its file, or a packaged one by its lesson's name. Raises RecordingError."""
    path = Path(name)
    if not path.exists() and name in packaged():
        return read_bytes((_packaged_folder() / f"{name}{SUFFIX}").read_bytes(), f"the recording of {name}")
    if not path.is_file():
        known = ", ".join(packaged()) or "the packaged ones (there are none)"
        raise RecordingError(f"{name} is neither a recording's file nor one of {known}")
    return read(path)


def _packaged_folder() -> "resources.abc.Traversable":
    return resources.files("pylitefs.lecture") / "recordings"
