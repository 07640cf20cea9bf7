"""Every packaged lesson is true of this implementation: run headless, on real mounts, to its end.

Each run is recorded, into PYLITEFS_RECORDINGS where that names a folder.
"""

import os
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import is_mounted
from pylitefs.lecture import recording
from pylitefs.lecture.language import commands as c
from pylitefs.lecture.language import lesson
from pylitefs.lecture.language.look import BESIDE
from pylitefs.lecture.language.verbs import VERBS
from pylitefs.lecture.live.session import Session, run_headless
from pylitefs.lecture.model import Dump, Entry, Json

PAUSES = range(10, 27)
"""How many times a lesson stops: as many clicks as a class can follow in ten minutes."""


class Run:
    """What a lesson's run gave."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.dumps: dict[str, Dump] = {}

    def emit(self, entry: Entry, dumps: Sequence[Dump]) -> None:
        self.entries.append(entry)
        for dump in dumps:
            self.dumps.setdefault(dump.id, dump)

    def of(self, kind: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.kind == kind]


@pytest.mark.fuse
@pytest.mark.parametrize("name", lesson.names())
def test_a_lesson_runs_to_its_end(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every `expect` holds, every failing statement is an expected one, and nothing is left mounted."""
    found, run = lesson.load(name), Run()
    kept = Path(os.environ.get("PYLITEFS_RECORDINGS") or tmp_path / "recordings")
    kept.mkdir(parents=True, exist_ok=True)
    with recording.Writer(kept / f"{name}{recording.SUFFIX}", recording.Head.of(found), tmp_path) as writer:

        def emit(entry: Entry, dumps: Sequence[Dump]) -> None:
            run.emit(entry, dumps)
            writer.emit(entry, dumps)

        code = run_headless(found, emit, tmp_path)
    assert code == 0, capsys.readouterr().err
    recorded = recording.read(kept / f"{name}{recording.SUFFIX}")
    assert len(recorded.entries) == len(run.entries)
    assert recorded.dumps == run.dumps
    assert not any(is_mounted(path) for path in tmp_path.glob("n*/mnt"))
    assert not run.of("error")
    asked = [step for step in found.steps if isinstance(step.command, c.Ask)]
    assert len(run.of("question")) == len(run.of("answer")) == len(asked)
    assert all(entry.text for entry in run.entries)
    assert {one for entry in run.entries for one in entry.dumps} <= set(run.dumps)
    failed = {entry.step for entry in run.of("sql") if entry.name == "error"}
    assert failed <= expected_failures(found), "a statement failed, and no `expect … fails` says so"


def expected_failures(found: lesson.Lesson) -> set[int]:
    """The steps whose statement is said to fail by an `expect` after it, or whose node is killed."""
    steps = set()
    for step in found.steps:
        for later in found.steps[step.index + 1 :]:
            if isinstance(later.command, c.ExpectFails | c.Kill):
                steps |= {step.index, later.index}
                break
            if isinstance(later.command, c.Sql):
                break
    return steps


def default_sql() -> str:
    """What stands in the field beside the page's `sql` button."""
    page = (resources.files("pylitefs.lecture.show") / "page" / "faults.js").read_text()
    (found,) = re.findall(r'\bsql: "([^"]+)"', page)
    return str(found)


def excuses(state: Json, node: str) -> set[str]:
    """Why a SELECT on this node may fail: SQLite's locks, no database yet, or no mount yet."""
    locks = {one["lock"] for one in state.get(f"db/{node}/data.db/locks") or ()}
    is_recovering = any(one["name"].startswith("recovery.") for one in state.get(f"node/{node}/held") or ())
    is_there = bool(state.get(f"db/{node}/data.db/txid")) and not is_recovering
    locked = {"database is locked"} if locks & {"PENDING", "EXCLUSIVE"} else set()
    return locked | (set() if is_there else {"unable to open database file"})


@pytest.mark.fuse
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == "ltx-file" else pytest.mark.full) for name in lesson.names()],
)
def test_the_page_s_sql_works_at_every_stop(name: str, tmp_path: Path) -> None:
    """On every node that runs, whatever is held, but for what a terminal is told as well."""
    state: Json = {}

    def emit(entry: Entry, dumps: Sequence[Dump]) -> None:
        del dumps
        state.update(entry.set)

    with Session(lesson.load(name), tmp_path, emit) as session:
        while session.next():
            for node in [one for one in state["nodes"] if state[f"node/{one}/role"] != "down"]:
                session.do(f"sql {node} {default_sql()}")
                told = state[f"sql/{node}/you"]
                assert told["state"] == "done" or told["result"] in excuses(state, node), session.position
        assert session.ended


@pytest.mark.parametrize("name", lesson.names())
def test_a_lesson_is_made_for_a_class(name: str) -> None:
    """It has prose at every stop, questions at its turning points, and no more stops than can be followed."""
    found = lesson.load(name)
    stops = [step for step in found.steps if not isinstance(step.command, BESIDE)]
    assert len(stops) in PAUSES
    assert sum(isinstance(step.command, c.Ask) for step in stops) >= 2
    assert any(isinstance(step.command, c.Expect) for step in found.steps)
    assert len(found.summary) < 300
    for section in found.sections:
        assert section.prose_markdown, f"{section.heading}: no prose before its first command"
        assert len(section.prose_markdown) < 900, f"{section.heading}: too long to read aloud"


def test_every_command_is_used_in_a_lesson() -> None:
    """So each one is tried on real mounts with every run of these tests."""
    used = {step.command.verb for name in lesson.names() for step in lesson.load(name).steps}
    assert used == set(VERBS)


@pytest.mark.parametrize("name", lesson.names())
def test_the_right_answer_is_not_always_in_the_same_place(name: str) -> None:
    asked = [step.command for step in lesson.load(name).steps if isinstance(step.command, c.Ask)]
    assert len(asked) < 3 or len({one.answer for one in asked}) > 1


@pytest.mark.parametrize("name", ["behind", "crash", "asynchronous"])
def test_a_sentence_can_be_said_in_one_breath(name: str) -> None:
    """“After its commit it reads the position on n2, here `data.db-pos` on n1, and goes on …” could not."""
    found = lesson.load(name)
    texts = [re.sub(r"^\|.*$", "", one.prose_markdown, flags=re.MULTILINE) for one in found.sections]
    texts += [step.command.why for step in found.steps if isinstance(step.command, c.Ask)]
    for sentence in (one for text in texts for one in re.split(r"(?<=[.?!:;])\s+", " ".join(text.split()))):
        assert len(sentence.split()) <= 21, sentence
        assert not re.search(r", here .*, and", sentence), sentence
