"""The commands of the lesson language: each has a form, its help, and its place in the documentation."""

import dataclasses
from pathlib import Path

from pylitefs.lecture.language import commands as c
from pylitefs.lecture.language.look import Look, Target
from pylitefs.lecture.language.verbs import VERBS
from pylitefs.trace import TRACEPOINTS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "lessons.md"

#: Each form of the language at least once, and what it becomes.
FORMS = {
    "cluster": c.MakeCluster(),
    "cluster replicas 2 page-size 4096 journal wal compress retention 3": c.MakeCluster(
        2, 4096, "wal", True, 3.0
    ),
    "cluster lease 1.5s": c.MakeCluster(lease=1.5),
    "expire-lease": c.ExpireLease(),
    "promote n2": c.Promote("n2"),
    "handoff n2": c.Handoff("n2"),
    "halt n2": c.Halt("n2"),
    "halt n2/job": c.Halt("n2", "job"),
    "unhalt n2/job": c.Unhalt("n2", "job"),
    "expire-halt": c.ExpireHalt(),
    "sql n1 SELECT 1": c.Sql("n1", "SELECT 1"),
    "sql n2/reader SELECT 1,\n2": c.Sql("n2", "SELECT 1,\n2", "reader"),
    "step": c.StepOn(),
    "step 3": c.StepOn(count=3),
    "step n1": c.StepOn("n1"),
    "step n1 12": c.StepOn("n1", 12),
    "run-to ltx.commit": c.RunTo("ltx.commit"),
    "run-to page.apply n2": c.RunTo("page.apply", "n2"),
    "run-to-commit": c.RunToCommit(),
    "run-to-commit n2": c.RunToCommit("n2"),
    "run": c.Run(),
    "pause": c.Pause(),
    "pause ltx.commit pos.advance": c.Pause(("ltx.commit", "pos.advance")),
    "pause without page.write": c.Pause(without=("page.write",)),
    "partition n2": c.Partition("n2"),
    "delay n2 200ms": c.Delay("n2", 200),
    "delay n2 1.5s": c.Delay("n2", 1500),
    "drop n2": c.Drop("n2"),
    "heal": c.Heal(),
    "heal n2": c.Heal("n2"),
    "kill n1": c.Kill("n1"),
    "restart n1": c.Restart("n1"),
    "restart n2 as primary": c.Restart("n2", "primary"),
    "restart n1 as replica of n2": c.Restart("n1", "replica", "n2"),
    "corrupt n2 database": c.Corrupt("n2", "database"),
    "corrupt n2 ltx 100": c.Corrupt("n2", "ltx", 100),
    "ltx n1 history": c.Ltx("n1", "history"),
    "ltx n1 restore 3": c.Ltx("n1", "restore", 3),
    "look n1 ltx post-apply": Look(Target("n1", "ltx", "post-apply")),
    "note Look  at\nthis": c.Note("Look at this"),
    "ask Which\none?\n- this\n+ that,\n  or so\n= since\n  it is": c.Ask(
        "Which one?", ("this", "that, or so"), 1, "since it is"
    ),
    'expect n1 sql "SELECT a = 1 FROM t" = 1|x\n2|': c.ExpectSql("n1", "SELECT a = 1 FROM t", "1|x\n2|"),
    'expect n1 sql "SELECT 1 WHERE 0" =': c.ExpectSql("n1", "SELECT 1 WHERE 0", ""),
    'expect n1 sql "SELECT 1" fails database is locked': c.ExpectSqlFails(
        "n1", "SELECT 1", "database is locked"
    ),
    "expect n1 at 31": c.ExpectAt("n1", 31),
    "expect n1 at 000000000000001f": c.ExpectAt("n1", 31),
    "expect n1 checksum of 3": c.ExpectChecksum("n1", 3),
    "expect n1 held wal.commit": c.ExpectHeld("n1", "wal.commit"),
    "expect n1/b waits": c.ExpectWaits("n1", "b"),
    "expect n1 done": c.ExpectDone("n1"),
    "expect n1/b done 1|2\n3|4": c.ExpectDone("n1", "b", "1|2\n3|4"),
    "expect n1 fails disk I/O": c.ExpectFails("n1", "disk I/O"),
    "expect same n1 n2 n3": c.ExpectSame(("n1", "n2", "n3")),
    "expect differ n1 n2": c.ExpectDiffer(("n1", "n2")),
    "expect n1 event catchup.decide gets nothing": c.ExpectEvent("n1", "catchup.decide", "gets nothing"),
    "expect n1 event tx.rollback": c.ExpectEvent("n1", "tx.rollback"),
    "expect n1 no-event tx.rollback": c.ExpectNoEvent("n1", "tx.rollback"),
    "expect n1 role down": c.ExpectRole("n1", "down"),
    "expect n1 log began again": c.ExpectLog("n1", "began again"),
}


def test_every_command_is_in_these_tests() -> None:
    """So that a new form is not left out of anything here."""

    known = {one for one in vars(c).values() if isinstance(one, type) and issubclass(one, c.Command)}
    assert {type(command) for command in FORMS.values()} == (known | {Look}) - {c.Command, c.Expect}
    assert {command.verb for command in FORMS.values()} == set(VERBS)
    assert set(c.EXPECTATIONS) == {one for one in known if issubclass(one, c.Expect)} - {c.Expect}


def test_commands_are_frozen() -> None:
    for command in FORMS.values():
        assert dataclasses.is_dataclass(command)
        assert type(command).__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_the_page_names_every_tracepoint() -> None:
    text = PAGE.read_text()
    for name, meaning in TRACEPOINTS.items():
        assert f"| `{name}` | {meaning} |" in text
