"""Lessons are Markdown: all that is in the file is there, in order, and safe; what is wrong says where."""

import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pylitefs.errors import LessonError
from pylitefs.lecture.language import commands as c
from pylitefs.lecture.language import lesson

TEXT = """\
# Two nodes

What is seen, told
in one paragraph.

## First

Some *prose*, and `code`.

```lesson
cluster
# a comment
sql n1 CREATE TABLE t (x);
  INSERT INTO t VALUES (1)
```

More prose, under the same heading.

```sh
ls
```

```lesson
run
```

```lesson
note Without prose of its own.
```

## Second

| a | b |
| --- | --- |
| 1 | 2 |

```lesson
note The end.
```
"""


def test_a_lesson_has_its_title_summary_passages_and_steps() -> None:
    found = lesson.read("two", TEXT)
    assert (found.name, found.title) == ("two", "Two nodes")
    assert found.summary == "What is seen, told in one paragraph."
    assert [one.heading for one in found.sections] == ["First", "First", "Second"]
    assert [step.section for step in found.steps] == [0, 0, 1, 1, 2]
    assert [step.index for step in found.steps] == [0, 1, 2, 3, 4]
    assert [step.line for step in found.steps] == [11, 13, 24, 28, 38]
    assert found.steps[1].command == c.Sql("n1", "CREATE TABLE t (x);\nINSERT INTO t VALUES (1)")
    assert found.steps[1].text == "sql n1 CREATE TABLE t (x);\nINSERT INTO t VALUES (1)"


def test_the_prose_is_html_without_the_commands() -> None:
    first, more, second = lesson.read("two", TEXT).sections
    assert first.html == "<p>Some <em>prose</em>, and <code>code</code>.</p>"
    assert first.prose_markdown == "Some *prose*, and `code`."
    assert "ls" in more.html, "a block that is no lesson block is prose"
    assert "<td>1</td>" in second.html
    assert not any("cluster" in one.html for one in (first, more, second))


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize(
    "prose",
    [
        "<script>alert(1)</script>",
        "a <img src=x onerror=alert(1)> b",
        "[here](javascript:alert(1))",
        "[here](JaVaScRiPt:alert(1))",
        "[here](data:text/html,<script>)",
        "![x](javascript:alert(1))",
        "<javascript:alert(1)>",
        '[a](http://b/" onclick="alert(1))',
    ],
)
def test_no_prose_becomes_a_script(prose: str) -> None:
    tags = _Tags()
    tags.feed(lesson.render(prose))
    for tag, attributes in tags.found:
        assert tag in ("p", "a", "code", "pre")
        assert set(attributes) <= {"href"}
        assert (attributes.get("href") or "http:").startswith("http:")


def changed(before: str, after: str) -> Callable[[], str]:
    assert before in TEXT
    return lambda: TEXT.replace(before, after)


@pytest.mark.parametrize("name", ["lessons", "Lesson", "leson", "lesson x", "lessons extra"])
def test_a_block_that_was_meant_to_be_a_lesson_s_is_named(name: str) -> None:
    """It was “prose is shown at no step”, or nothing at all where another block follows."""
    for before in ("```lesson\nrun\n```", "```lesson\nnote The end.\n```"):
        text = TEXT.replace(before, before.replace("lesson", name, 1))
        line = text.splitlines().index(f"```{name}") + 1
        with pytest.raises(LessonError, match=f"line {line}: the block is named “{name}”.*write ```lesson"):
            lesson.read("two", text)


@pytest.mark.parametrize("name", ["", "sh", "sql", "less", "json", "text", "session"])
def test_a_block_of_another_kind_is_prose(name: str) -> None:
    assert lesson.read("two", TEXT.replace("```sh", f"```{name}"))


WRONG = {
    "no title": (changed("# Two nodes\n", ""), "line 1: the first line is not “# Title”"),
    "no summary": (changed("What is seen, told\nin one paragraph.\n", ""), "line 2: no summary"),
    "prose before a heading": (
        changed("## First\n", ""),
        "line 7: “Some *prose*, and `code`.” stands before",
    ),
    "prose that no step shows": (lambda: TEXT + "\nMore.\n", "line 41: “More.” is shown at no step"),
    "no command": (lambda: TEXT.partition("## First")[0], "no command: add a ```lesson block"),
    "no cluster": (changed("cluster\n", ""), "line 12: no nodes yet: the first command is `cluster`"),
    "a wrong command": (
        changed("run\n", "runn\n"),
        "line 24: “runn”: there is no command 'runn'; write: run",
    ),
    "a wrong continuation": (changed("cluster\n", "  cluster\n"), "line 11: “cluster” continues no command"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_names_file_and_line(what: str) -> None:
    text, said = WRONG[what]
    with pytest.raises(LessonError) as raised:
        lesson.read("two", text(), "two.md")
    assert str(raised.value).startswith("two.md, ")
    assert said in str(raised.value)


def test_a_lesson_is_found_by_name_and_by_path(tmp_path: Path) -> None:
    path = tmp_path / "07-mine.md"
    path.write_text(TEXT)
    assert lesson.load(path).name == lesson.load(str(path)).name == "mine"
    assert lesson.load("commit").title == "What SQLite does when it commits"


def test_a_lesson_that_is_not_there_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(LessonError, match="no lesson 'comit'; there is: commit"):
        lesson.load("comit")
    with pytest.raises(LessonError, match=r"cannot read the lesson .*gone\.md"):
        lesson.load(tmp_path / "gone.md")
    (tmp_path / "binary.md").write_bytes(b"\xff\xfe")
    with pytest.raises(LessonError, match=r"cannot read the lesson .*binary\.md"):
        lesson.load(tmp_path / "binary.md")


def test_the_packaged_lessons_are_in_their_order() -> None:
    assert lesson.names() == (
        "commit",
        "ltx-file",
        "replica",
        "checksum",
        "wal",
        "rollback",
        "behind",
        "split-brain",
        "crash",
        "asynchronous",
        "lease",
        "handoff",
        "fenced",
        "halt",
        "who-changed",
        "backup",
    )


LONG = "# A\n\nb\n\n## c\n\n{0}\n\n```lesson\ncluster\n```\n"


@pytest.mark.parametrize(
    ("prose", "said"),
    [
        (
            "*a" * 10_000,
            "line 6: 20,000 characters before one block, where 16,384 are the most: put a ```lesson",
        ),
        ("|" + "a|" * 500 + "\n|" + "-|" * 500 + "\n" + "|x\n" * 1000, "line 6: this prose makes"),
        ("x" * lesson.MAX_BYTES, "is longer than 131,072 bytes: make it several lessons"),
    ],
)
def test_a_lesson_of_a_stranger_s_is_not_without_end(prose: str, said: str) -> None:
    with pytest.raises(LessonError) as error:
        lesson.read("x", LONG.format(prose), "x.md")
    assert str(error.value).startswith("x.md") and said in str(error.value)


def test_a_file_without_end_is_read_no_further_than_a_lesson_may_be(tmp_path: Path) -> None:
    (tmp_path / "x.md").symlink_to("/dev/zero")
    with pytest.raises(LessonError, match="longer than"):
        lesson.load(tmp_path / "x.md")


def test_many_sections_are_read_in_time_that_grows_with_them() -> None:
    """By the square of their number it took minutes."""
    began = time.process_time()
    with pytest.raises(LessonError):
        lesson.read("x", "# A\n\nb\n\n" + "## c\n```lesson\n```\n" * 5000 + "end", "x.md")
    assert time.process_time() - began < 20
