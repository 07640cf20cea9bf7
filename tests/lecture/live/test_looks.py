"""`look` and the links of the prose: told where they lead, and a lesson that points at nothing fails."""

from pathlib import Path

import pytest

from pylitefs.lecture.language import lesson
from pylitefs.lecture.language.lesson import Section
from pylitefs.lecture.live.looks import Links
from pylitefs.lecture.live.session import run_headless
from pylitefs.lecture.looking import Seen
from pylitefs.lecture.model import Entry

LESSON = """# T

S.

## H

The [LTX file's](look:n1/ltx/post-apply) and [its node](look:n1).

```lesson
cluster replicas 0
sql n1 CREATE TABLE t (x)
look n1 ltx post-apply
{}
```
"""


@pytest.mark.fuse
def test_a_lesson_points_at_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The entry says the field and its value, is no stop of its own; what is not there fails the lesson."""
    entries: list[Entry] = []
    found = lesson.read("x", LESSON.format("look n1 journal nonce\nlook n1 wal"))
    assert run_headless(found, lambda entry, dumps: entries.append(entry), tmp_path) == 1
    first, second = [one for one in entries if one.name == "look" and one.kind == "command"]
    assert "post-apply checksum" in first.text
    assert first.detail == {"look": "n1/ltx/post-apply"}
    assert not first.stop
    assert first.seq == second.seq - 1
    assert "no WAL of n1 has been shown yet" in capsys.readouterr().err


def test_a_link_has_to_lead_somewhere_while_its_passage_is_read() -> None:
    seen = Seen()
    links = Links([Section("H", "", '<a href="look:n1">a</a> <a href="look:n2">b</a>')], seen)
    seen.note(Entry(0, 0, "command", set={"nodes": ["n1", "n2"]}), [])
    links.stop(0)
    seen.note(Entry(1, 0, "command", set={"nodes": []}), [])
    links.stop(0)
    links.check(0)
    links = Links([Section("H", "", '<a href="look:n1/ltx">a</a>')], seen)
    links.stop(0)
    with pytest.raises(
        Exception, match=r"\(look:n1/ltx\) of this passage leads nowhere: there is no node n1"
    ):
        links.check(0)
