"""A lesson under way: next, answers, what a person does in between, and again from any step."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import is_mounted
from pylitefs.errors import ExpectError, LessonError
from pylitefs.lecture.language import lesson
from pylitefs.lecture.live.session import Session, run_headless
from pylitefs.lecture.model import Dump, Entry, state_at
from tests.slack import slack

pytestmark = pytest.mark.fuse

TEXT = """# A lesson

For tests.

## First

```lesson
cluster replicas 1
sql n1 CREATE TABLE t(a); INSERT INTO t VALUES (1)
expect n2 at 2
pause without lock
sql n1 INSERT INTO t VALUES (2)
```

## Then

```lesson
ask What does a reader on n2 see?
  + one row
  - two rows
  = Nothing was sent.
run-to ltx.commit
expect n1 waits
run
expect n2 sql "SELECT count(*) FROM t" = 2
note That is all.
```
"""


class Run:
    """A session, and what it has told since its history began."""

    def __init__(self, base_dir: Path, text: str = TEXT) -> None:
        self.base_dir = base_dir
        self.entries: list[Entry] = []
        self.session = Session(lesson.read("test", text), base_dir, self.emit)

    def emit(self, entry: Entry, dumps: Sequence[Dump]) -> None:
        if entry.seq == 0:
            self.entries.clear()
        assert entry.seq == len(self.entries)
        self.entries.append(entry)

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()
        assert not any(is_mounted(path) for path in self.base_dir.glob("n*/mnt"))


def test_next_does_a_step_and_what_is_expected_of_it(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        session = run.session
        positions = []
        while session.next():
            positions.append(session.position)
            assert run.entries[-1].step < session.position
        # `expect` lines go with the step before them, and a question takes two: to ask and to answer.
        assert positions == [1, 3, 4, 5, 6, 6, 8, 10, 11]
        assert session.ended and not session.next()
        stops = [entry.name for entry in run.entries if entry.stop]
        assert stops[-2:] != ["expect", "expect"] and "expect" not in stops
        assert run.entries[-1].kind == "note" and run.entries[-1].text == "That is all."
        assert state_at(run.entries)["lesson/step"] == 10


def test_a_question_is_open_until_it_is_answered_and_nothing_skips_it(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        session = run.session
        with pytest.raises(LessonError, match="no question is open"):
            session.answer(0)
        while session.question is None:
            session.next()
        asked = state_at(run.entries)["question"]
        assert asked == {
            "text": "What does a reader on n2 see?",
            "choices": ["one row", "two rows"],
            "answer": None,
            "why": "",
        }
        with pytest.raises(LessonError, match="2 choices, and no 3"):
            session.answer(2)
        session.answer(1)
        assert run.entries[-1].kind == "answer" and run.entries[-1].text.startswith("No: one row")
        told = state_at(run.entries)["question"]
        assert told["answer"] == 0 and told["why"] == "Nothing was sent."
        assert session.position == 6 and session.question is None
        session.next()
        assert "question" not in state_at(run.entries)


def test_a_person_can_do_more_and_again_does_it_too_but_only_before_that_step(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        session = run.session
        session.next()
        session.next()
        session.do("sql n1 INSERT INTO t VALUES (7)")
        session.next()
        session.do("kill n2")
        began = time.monotonic()
        session.again(4)
        assert time.monotonic() - began < 5 * slack()
        state = state_at(run.entries)
        assert session.position == 4 and state["mode"] == "paused"
        assert state["db/n1/data.db/txid"] == 3 and state["node/n2/role"] == "replica"
        session.again(3)
        assert session.position == 3 and state_at(run.entries)["db/n1/data.db/txid"] == 2


def test_again_without_what_a_person_did(tmp_path: Path) -> None:
    """A stray `kill` was done again without a word. The entries say what is done with it, and what was."""
    with Run(tmp_path) as run:
        session = run.session
        session.next()
        session.next()
        session.do("sql n1 INSERT INTO t VALUES (7)")
        with pytest.raises(LessonError):
            session.do("kill n7")
        session.do("kill n2")
        kill = [3, "kill n2"]
        insert = [3, "sql n1 INSERT INTO t VALUES (7)"]
        assert state_at(run.entries)["lesson/yours"] == [insert, kill]
        session.again(4)
        state = state_at(run.entries)
        assert state["lesson/yours"] == [insert, kill] and state["node/n2/role"] == "down"
        session.again(4, yours=False)
        state = state_at(run.entries)
        assert not state.get("lesson/yours") and state["node/n2/role"] == "replica"
        assert state["db/n1/data.db/txid"] == 2


def test_a_select_beside_the_lesson_is_no_more_held_than_a_terminal_s(tmp_path: Path) -> None:
    """The page's `sql` button stopped at its locks while all was held, and the same in a terminal did not."""
    with Run(tmp_path, TEXT.replace("pause without lock", "pause")) as run:
        session = run.session
        for _ in range(4):
            session.next()
        assert state_at(run.entries)["node/n1/held"]
        session.do("sql n1 SELECT a FROM t")
        shell = state_at(run.entries)["sql/n1/you"]
        assert (shell["state"], shell["result"]) == ("done", "1")
        session.do("sql n2 INSERT INTO t VALUES (3)")
        assert [one["name"] for one in state_at(run.entries)["node/n2/held"]] == ["fault.refused"]
        session.do("sql n1/b SELECT a FROM t")
        assert state_at(run.entries)["sql/n1/b"]["state"] == "running"  # a lesson's own stops at its locks


def test_again_to_the_end_gives_the_same_history(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        while run.session.next():
            pass
        first = [(one.step, one.kind, one.name, one.node) for one in run.entries if one.kind != "event"]
        run.session.again(len(run.session.steps))
        assert [
            (one.step, one.kind, one.name, one.node) for one in run.entries if one.kind != "event"
        ] == first
        assert run.session.ended


def test_only_what_came_since_the_last_cluster_is_done_again(tmp_path: Path) -> None:
    text = TEXT.replace("note That is all.", "cluster replicas 0\nnote That is all.")
    with Run(tmp_path, text) as run:
        run.session.again(12)
        assert [one.name for one in run.entries if one.kind in ("command", "note")] == ["cluster", "note"]
        assert state_at(run.entries)["nodes"] == ["n1"]


def test_a_step_that_fails_counts_as_done_and_names_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pylitefs.lecture.live.expect.Expectations.check.__defaults__", (0.1,))
    with Run(tmp_path, TEXT.replace("expect n2 at 2", "expect n2 at 9")) as run:
        run.session.next()
        with pytest.raises(
            ExpectError, match="test, line 10, `expect n2 at 9`: n2 is at TXID 2 and not at 9"
        ):
            run.session.next()
        assert run.entries[-1].kind == "error" and run.session.position == 3
        run.session.again(3)
        run.session.next()


def test_a_lesson_can_be_closed_while_a_step_is_under_way(tmp_path: Path) -> None:
    failed: list[Exception] = []
    with Run(tmp_path, TEXT.replace("expect n2 at 2", "expect n2 at 9")) as run:
        run.session.next()

        def go_on() -> None:
            try:
                run.session.next()
            except LessonError as error:
                failed.append(error)

        thread = threading.Thread(target=go_on)
        thread.start()
        while not any(entry.name == "sql" for entry in run.entries):
            time.sleep(0.01)
        began = time.monotonic()
        run.session.close()
        assert time.monotonic() - began < 8
        thread.join(5)
        assert not thread.is_alive() and "the lecture is closed" in str(failed[0])


def test_headless_tells_by_its_exit_code_whether_the_lesson_is_true(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pylitefs.lecture.live.expect.Expectations.check.__defaults__", (0.5,))
    entries: list[Entry] = []
    good = "# A\n\nB.\n\n## C\n\n```lesson\ncluster replicas 0\nexpect n1 role primary\n```\n"
    assert run_headless(lesson.read("good", good), lambda entry, dumps: entries.append(entry)) == 0
    assert entries and not capsys.readouterr().err
    bad = lesson.read("bad", good.replace("primary", "replica"))
    assert run_headless(bad, lambda entry, dumps: None, tmp_path) == 1
    assert "bad, line 9, `expect n1 role replica`: n1 is primary" in capsys.readouterr().err


def test_sql_that_fails_unexpectedly_fails_the_lesson(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A typo passed as ok. What an `expect` says should fail, or a kill ended, is no mistake."""
    start = "# A\n\nB.\n\n## C\n\n```lesson\ncluster replicas 0\n"
    good = (
        "sql n1 CREATE TABLE t (x)\nsql n1 SELECT y FROM t\nask What now?\n  - a\n  + b\n  = c\nnote Look.\n"
        "expect n1 fails no such column\nsql n1 SELECT x FROM t\nexpect n1 done\n"
        "pause\nsql n1 INSERT INTO t VALUES (1)\nkill n1\n```\n"
    )
    assert run_headless(lesson.read("good", start + good), lambda entry, dumps: None, tmp_path) == 0
    assert not capsys.readouterr().err
    for bad in ("sql n1/b SELEC 1\nsql n1 SELECT 1\n```\n", "sql n1/b SELEC 1\n```\n"):
        assert run_headless(lesson.read("bad", start + bad), lambda entry, dumps: None, tmp_path) == 1
        said = capsys.readouterr().err
        assert "bad, line 9, `sql n1/b SELEC 1`: the statement failed" in said
        assert "syntax error" in said and "say `expect n1/b fails TEXT`" in said
