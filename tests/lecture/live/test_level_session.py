"""A level on a real node: what costs, what does not, what is refused, how it is reached, and begun again."""

from pathlib import Path

import pytest

from pylitefs.cluster.cluster import is_mounted, wait_until
from pylitefs.errors import LessonError
from pylitefs.lecture.language import level
from pylitefs.lecture.live import level_session
from pylitefs.lecture.live.level_session import LevelSession, run_headless
from pylitefs.lecture.model import Entry, Json, state_at
from tests.lecture.level_sample import LEVEL

pytestmark = pytest.mark.fuse


class Played:
    """A session and all that it has told."""

    def __init__(self, folder: Path) -> None:
        self.entries: list[Entry] = []
        self.session = LevelSession(
            level.read("two-rows", LEVEL), folder, lambda e, _: self.entries.append(e)
        )

    @property
    def shown(self) -> Json:
        begin = max(n for n, one in enumerate(self.entries) if one.seq == 0)
        found: Json = state_at(self.entries[begin:])["level"]
        return found

    def refused(self, line: str, why: str) -> None:
        before = self.shown["used"]
        with pytest.raises(LessonError, match=why):
            self.session.do(line)
        assert self.shown["used"] == before
        assert line not in [one[0] for one in self.shown["given"]]


def test_a_level_is_played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(level_session, "LAST_S", 0.1)
    played = Played(tmp_path)
    with played.session as session:
        with pytest.raises(LessonError, match="not set yet"):
            session.do("run")
        session.next()
        with pytest.raises(LessonError, match="your turn"):
            session.next()
        with pytest.raises(LessonError, match="no question"):
            session.answer(0)
        assert [one[1] for one in played.shown["goal"]] == [False, False]
        played.refused("sq n1 INSERT", "no command 'sq'")
        played.refused("kill n2", "no node n2")
        played.refused("restart n1", "not to be given")
        played.refused("partition n1", "a primary")
        session.do("sql n1 INSERT INT t VALUES (2)")
        session.do("expect n1 at 2")
        session.do("sql n1 INSERT INTO u VALUES (2)")
        assert played.shown["used"] == 0
        assert [one[1] for one in played.shown["given"]] == [
            'n1/a: error: near "INT": syntax error (costs nothing)',
            "it is so",
            "n1/a: error: no such table: u (costs nothing)",
        ]
        session.hint()
        assert played.shown["hints_left"] == 1
        session.do("sql n1 DELETE FROM t WHERE a = 1")
        assert [one[1] for one in played.shown["goal"]] == [True, False]
        assert "gives '0'" in played.shown["goal"][1][2]
        assert (played.shown["used"], played.shown["over"]) == (1, "")
        session.do("sql n1 INSERT INTO t VALUES (7), (8)")
        assert (played.shown["used"], played.shown["over"], played.shown["fewest"]) == (2, "reached", 1)
        played.refused("run", "over")
    assert not is_mounted(tmp_path / "n1" / "mnt")


@pytest.mark.full
def test_a_level_begins_again_and_what_takes_its_time_is_seen(tmp_path: Path) -> None:
    """All commands are there again, the hints stay; then a shell that nobody waits for reaches the goal."""
    played = Played(tmp_path)
    with played.session as session:
        session.next()
        session.hint()
        session.do("sql n1 DELETE FROM t WHERE a = 1")
        session.again(0)
        assert (played.shown["used"], played.shown["over"], played.shown["hints_left"]) == (0, "", 1)
        scene = session._director.scene
        shell = session._director.shells.get(scene.nodes.running("n1"), "other")
        shell.begin("INSERT INTO t VALUES (2)")
        wait_until(lambda: played.shown["over"] == "reached", 20)
        session.attempt.over = "used up"
        session.give_up()
        assert played.shown["solution"][0] == "sql n1 INSERT INTO t VALUES (2)"
    assert not is_mounted(tmp_path / "n1" / "mnt")


@pytest.mark.full
def test_a_solution_that_is_none_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(level_session, "LAST_S", 0.1)
    monkeypatch.setattr(level_session, "EXPECT_S", 0.1)
    insert = "INSERT INTO t VALUES (2)\nexpect"
    for number, (instead, why) in enumerate(
        [
            ("SELECT 1\nexpect", "the solution does not reach the goal: n1 has a transaction more."),
            ("BEGIN; INSERT INTO t VALUES (2); ROLLBACK\nexpect", "does not reach the goal"),
            (
                "INSERT INTO t VALUES (2), (3)\nexpect",
                "The table has two rows. (n1: SELECT count(*) FROM t gives '3'",
            ),
        ]
    ):
        text = LEVEL.replace(insert, instead)
        assert text != LEVEL
        code = run_headless(level.read("two-rows", text), lambda entry, dumps: None, tmp_path / str(number))
        assert code == 1
        assert why in capsys.readouterr().err


@pytest.mark.full
def test_a_level_that_the_opening_reaches_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = LEVEL.replace("past 2", "past 1").replace('" = 2\n', '" = 1\n')
    assert run_headless(level.read("two-rows", text), lambda entry, dumps: None, tmp_path) == 1
    assert "nothing was done, and the level is over" in capsys.readouterr().err
