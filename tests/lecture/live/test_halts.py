"""What is done with the HALT lock of a lecture's database, on real mounts; the lesson does the rest."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.errors import LessonError
from tests.lecture.conducted import Conducted

pytestmark = pytest.mark.fuse


@pytest.fixture
def lecture(tmp_path: Path) -> Iterator[Conducted]:
    with Conducted(tmp_path) as one:
        yield one


def test_a_shell_has_the_lock_until_it_gives_it_back_or_its_time_passes(lecture: Conducted) -> None:
    """It is the shell's: who only looked before is not taken for it, so it is held on the way."""
    lecture.run("cluster replicas 1", "sql n1 CREATE TABLE t(a)", "expect same n1 n2")
    lecture.run('expect n2 sql "INSERT INTO t VALUES (1)" fails readonly', "pause halt", "halt n2/job")
    assert lecture.held("n2") == ["halt.request"]
    assert [one.who.split(" (")[0] for one in lecture.events("halt.request")] == ["writer n2/job"]
    lecture.run("run", "expect n2/job done", "sql n2 INSERT INTO t VALUES (1)", "expect n2 done")
    assert lecture.state["halt"] == {"holder": "n2"}
    lecture.run("halt n2/job", "expect n2/job fails this shell has the HALT lock")
    lecture.run("expire-halt", "expect n1 event halt.release", "expect n2 event halt.release not renewed")
    assert "halt" not in lecture.state
    lecture.run("sql n2 INSERT INTO t VALUES (2)", "expect n2 fails readonly", "unhalt n2/job")
    lecture.run("sql n1 INSERT INTO t VALUES (3)", "expect n1 done", "expect same n1 n2")
    lecture.run("unhalt n2/job", "expect n2/job fails this shell has no HALT lock")
    with pytest.raises(LessonError, match="nobody has the HALT lock"):
        lecture.run("expire-halt")


def test_with_a_lease_its_time_is_not_let_pass(lecture: Conducted) -> None:
    """The lease would end, too. And the primary's own end is the lock's."""
    lecture.run("cluster replicas 1 lease 10s", "sql n1 CREATE TABLE t(a)", "expect same n1 n2", "halt n2")
    assert lecture.state["halt"] == {"holder": "n2"}
    with pytest.raises(LessonError, match="the lease would end as well"):
        lecture.run("expire-halt")
    lecture.run("kill n1")
    assert "halt" not in lecture.state
