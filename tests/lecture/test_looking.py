"""What is pointed at is found in what was shown so far; each packaged recording has what it points at."""

from collections import defaultdict

import pytest

from pylitefs.errors import LessonError
from pylitefs.lecture import recording
from pylitefs.lecture.language import look
from pylitefs.lecture.looking import Seen
from pylitefs.lecture.model import Dump, Entry, Json, Part


def a_dump(key: str, format: str, *names: str) -> Dump:
    parts = [Part(4 * n, 4, name, f"v{n}", f"It is {n}.") for n, name in enumerate(names)]
    return Dump(key, key, f"The {key}", format, bytes(4 * len(parts)), tuple(parts))


STATE: Json = {
    "nodes": ["n1", "n2"],
    "node/n1/role": "primary",
    "db/n1/data.db/pages": 2,
    "db/n1/data.db/locks": [{"who": "writer", "lock": "RESERVED", "kind": "write"}],
    "page/n1/data.db/9": {"how": "written", "txid": 3},
}
SEEN = Seen()
SEEN.note(Entry(0, 0, "command", set=STATE), [])
SEEN.note(Entry(1, 1, "event"), [a_dump("n1 a.ltx", "ltx", "commit", "pre-apply checksum")])
SEEN.note(
    Entry(2, 2, "event"), [a_dump("n1 data.db-wal", "wal", "commit", "page number", "commit", "commit")]
)
SEEN.note(Entry(3, 3, "event"), [a_dump("n1 b.ltx", "ltx", "commit"), a_dump("n1>n2 frame", "frame", "size")])


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("n1", "The node n1, primary"),
        ("n2", "The node n2, down"),
        ("n1 page 2", "Page 2 of data.db on n1"),
        ("n1 page 9", "Page 9 of data.db on n1"),
        ("n1 lock RESERVED", "RESERVED on data.db of n1, held by writer"),
        ("n1 ltx", "The n1 b.ltx, 4 bytes"),
        ("n1 ltx commit", "The n1 b.ltx, bytes 0 to 3: commit v0. It is 0."),
        ("n1 ltx pre-apply", "The n1 a.ltx, bytes 4 to 7: pre-apply checksum v1. It is 1."),
        ("n1 wal commit", "The n1 data.db-wal, bytes 12 to 15: commit v3. It is 3."),
        ("n1 wal commit 2", "The n1 data.db-wal, bytes 8 to 11: commit v2. It is 2."),
        ("n1 frame size", "The n1>n2 frame, bytes 0 to 3: size v0. It is 0."),
        ("n2 frame", "The n1>n2 frame, 4 bytes"),
    ],
)
def test_it_is_found_and_said(target: str, text: str) -> None:
    assert SEEN.find(look.target(target.split())).text == text


@pytest.mark.parametrize(
    ("target", "what_is"),
    [
        ("n3", "there are n1, n2"),
        ("n1 page 3", "data.db has 2 pages"),
        ("n2 page 1", "it has no database"),
        ("n1 lock SHARED", "held: RESERVED"),
        ("n2 ltx", "no LTX file of n2 has been shown yet"),
        ("n1 wal nonsense-9", "commit, page-number"),
        ("n1 wal commit 4", "no field commit number 4"),
    ],
)
def test_what_is_not_there_is_said_with_what_there_is(target: str, what_is: str) -> None:
    node, what, name, number, *_ = [*target.split(), "", "", ""]
    with pytest.raises(LessonError, match=what_is):
        SEEN.find(look.Target(node, what, name, int(number or 0)))


def test_a_new_run_begins_anew() -> None:
    seen = Seen()
    seen.note(Entry(0, 0, "command", set=STATE), [a_dump("n1 a.ltx", "ltx", "commit")])
    seen.note(Entry(0, 0, "command", set={"nodes": ["n1"]}), [])
    with pytest.raises(LessonError):
        seen.find(look.Target("n1", "ltx"))


@pytest.mark.parametrize("name", recording.packaged())
def test_a_recording_has_what_its_lesson_points_at(name: str) -> None:
    """Each link leads somewhere while its passage is read, and each `look` did at its step."""
    found = recording.open_recording(name)
    left = {n: set(look.links(one.html)) for n, one in enumerate(found.head.sections)}
    links = sum(map(len, left.values()))
    looks: dict[int, list[Entry]] = defaultdict(list)
    seen = Seen()
    for entry in found.entries:
        seen.note(entry, [found.dumps[one] for one in entry.dumps])
        if entry.name == "look":
            assert seen.find(look.link(str(entry.detail["look"]))).text == entry.text
            looks[entry.step].append(entry)
        if entry.stop and entry.step >= 0:
            here = left[found.head.steps[entry.step].section]
            here -= {one for one in here if is_there(seen, one)}
    assert not any(left.values()), left
    written = [one.index for one in found.head.steps if one.text.startswith("look ")]
    assert written == sorted(looks)
    assert links + len(written) >= 2, "the prose of a lesson points at what it speaks of"


def is_there(seen: Seen, link: str) -> bool:
    try:
        return bool(seen.find(look.link(link)))
    except LessonError:
        return False
