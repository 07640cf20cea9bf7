"""What a lesson does by LTX files, on real mounts."""

from pathlib import Path

import pytest

from pylitefs.errors import LessonError
from pylitefs.lecture import recording
from tests.lecture.conducted import Conducted

pytestmark = pytest.mark.fuse


def test_history_diff_undo_and_a_backup_with_a_hole(tmp_path: Path) -> None:
    """Rows are told, undone by a transaction of its own; the hole is found, and its states are refused."""
    with Conducted(tmp_path) as lecture:
        lecture.run("cluster replicas 0", "sql n1 CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
        lecture.run(
            "sql n1 INSERT INTO t VALUES (1, 'x')", "sql n1 INSERT INTO t VALUES (2, hex(zeroblob(700)))"
        )
        lecture.run("sql n1 UPDATE t SET b = 'y'")
        assert "`4` t +0 ~2" in lecture.run("ltx n1 history")[0].text
        [told] = lecture.run("ltx n1 diff 4")
        assert (told.txid, told.database) == (4, "data.db")
        assert "t 1 changed, t 2 changed" in told.text
        lecture.run("ltx n1 backup", "ltx n1 undo 4")
        lecture.run('expect n1 sql "SELECT a, length(b) FROM t" = 1|1\n2|1400', "expect n1 at 5")
        assert "no fault" in lecture.run("ltx n1 verify")[0].text
        lecture.run("ltx n1 hole 3")
        assert "has no page 3" in lecture.run("ltx n1 verify")[0].text
        assert "refused" in lecture.run("ltx n1 restore 3")[0].text
        lecture.run("ltx n1 restore 2", 'expect n1 sql "SELECT * FROM t" = 1|x', "expect n1 at 6")
        with pytest.raises(LessonError, match="no LTX file of TXID 9"):
            lecture.run("ltx n1 hole 9")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("who-changed", ("`4` account +0 ~3", "undoes transaction 4")),
        ("backup", ("has no page 3", "is refused")),
    ],
)
def test_the_lessons_show_what_they_promise(name: str, wanted: tuple[str, ...]) -> None:
    """What no `expect` can say: the history's line, and what verify and restore say of the hole."""
    told = [one.text for one in recording.open_recording(name).entries if one.name.startswith("ltx.")]
    assert all(any(text in one for one in told) for text in wanted)
