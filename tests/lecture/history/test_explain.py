"""Every tracepoint in words."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylitefs.lecture.history.explain import EXPLANATIONS, explain, title
from pylitefs.lecture.history.facts import Facts, bytes_text, pages_text
from pylitefs.trace import TRACEPOINTS

KEYS = (
    "pgno", "pages", "count", "offset", "length", "checksum", "frame", "parts", "commit", "path", "size",
    "live", "how", "first", "last", "lock", "kind", "holder", "reason", "decision", "peer", "waited_ms",
    "dropped", "files", "frames", "ahead", "what", "why", "remedy", "applying", "checkpoint", "zeroed",
)  # fmt: skip

FULL = {
    "pgno": 7, "offset": 512, "length": 1032, "checksum": 5, "frame": 3, "commit": 9, "first": 2, "last": 3,
    "path": "/x/0000000000000004-0000000000000004.ltx", "size": 2_000, "lock": "RESERVED", "kind": "write",
    "reason": "because", "decision": "snapshot", "what": "a write", "why": "no reason", "pages": [7, 8],
}  # fmt: skip


def test_every_tracepoint_has_its_words() -> None:
    assert EXPLANATIONS.keys() == TRACEPOINTS.keys()


@pytest.mark.parametrize("name", TRACEPOINTS)
def test_a_sentence_reads_well_with_all_facts_and_with_few(name: str) -> None:
    assert title(name)
    for facts in (Facts("n1", "a.db"), Facts("n1", "a.db", 4, "writer (pid 1)", "n2", dict(FULL))):
        text, alone = explain(name, facts)
        assert re.fullmatch(r"\S.*[.]", text), text
        assert "  " not in text
        assert ".." not in text
        assert alone == "" or re.fullmatch(r"[A-Z].*[.]", alone)


@pytest.mark.parametrize(
    ("name", "payload", "words"),
    [
        ("journal.write", {"pgno": 2, "parts": "page", "offset": 516, "length": 1024}, "copied page 2"),
        ("journal.write", {"pgno": 2, "parts": "checksum", "offset": 1, "length": 4}, "its checksum"),
        ("journal.write", {"offset": 0, "length": 12, "parts": "header"}, "the journal is hot"),
        ("journal.write", {"offset": 0, "length": 28, "parts": "header", "zeroed": True}, "zeros"),
        ("journal.write", {"offset": 0, "length": 512, "parts": "header"}, "with its header"),
        ("journal.invalidate", {"live": True, "how": "delete"}, "unlinked: the commit point"),
        ("journal.invalidate", {"live": False, "how": "truncate"}, "no transaction"),
        ("page.write", {"pgno": 3, "checkpoint": True}, "checkpoint copied page 3"),
        ("wal.frame", {"offset": 0, "length": 32, "parts": "header"}, "new salts"),
        ("wal.frame", {"offset": 32, "length": 24, "frame": 1, "pgno": 4, "parts": "frame header"}, "page 4"),
        ("wal.frame", {"offset": 56, "frame": 1, "pgno": 4, "parts": "page", "commit": 6}, "page count of 6"),
        ("wal.commit", {"first": 3, "last": 5}, "frames 3 to 5"),
        ("ltx.encode", {"pages": [1, 2, 5], "commit": 5}, "Pages 1, 2 and 5"),
        ("ltx.encode", {"pages": [], "commit": 0}, "drops the database"),
        ("ltx.commit", {"path": "/d/ltx/x.ltx", "size": 1500, "pages": [2]}, "x.ltx, 1,500 bytes with"),
        ("pos.advance", {"checksum": 1 << 63, "pages": 3}, "checksum 8000000000000000, 3 pages"),
        ("page.apply", {"pgno": 3, "offset": 2048, "length": 1024}, "page 3"),
        ("page.apply", {"pages": [1, 3], "waited_ms": 12}, "waited 12 ms"),
        ("catchup.decide", {"decision": "snapshot", "reason": "it is new"}, "a snapshot of a.db: it is new."),
        ("stream.send", {"frame": "ltx", "size": 1200}, "of a.db, transaction 4, to n2 (1,200 "),
        ("recovery.ltx", {"dropped": "/d/x.ltx"}, "x.ltx was not written to its end"),
        ("fault.refused", {"what": "a write", "why": "a replica", "remedy": "go"}, "What to do: go."),
        ("lock.acquire", {"lock": "EXCLUSIVE", "kind": "write"}, "took EXCLUSIVE: it alone"),
        ("lock.acquire", {"lock": "PENDING", "kind": "read"}, "in passing"),
        ("lock.acquire", {"lock": "READ1+READ2", "kind": "write"}, "READ2, exclusively: no reader goes by"),
        ("lock.acquire", {"lock": "SHARED", "kind": "read", "before": "EXCLUSIVE"}, "EXCLUSIVE to SHARED"),
        ("journal.sync", {"header": "zero"}, "nothing would be rolled back"),
        ("journal.sync", {}, "Only now may SQLite touch"),
        ("lock.acquire", {"lock": "READ2", "kind": "read"}, "read mark 2"),
        ("lock.busy", {"lock": "RESERVED", "holder": "writer (pid 5)"}, "writer (pid 5) holds it"),
    ],
)  # fmt: skip
def test_a_sentence_has_the_numbers(name: str, payload: dict[str, object], words: str) -> None:
    assert words in explain(name, Facts("n1", "a.db", 4, "writer (pid 1)", "n2", payload))[0]


_anything = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=9)
)


@given(st.sampled_from([*TRACEPOINTS, "unknown"]), st.dictionaries(st.sampled_from(KEYS), _anything))
def test_no_payload_makes_a_sentence_fail(name: str, payload: dict[str, object]) -> None:
    assert explain(name, Facts("n1", "a.db", 1, "", "", payload))[0]


def test_pages_are_counted_for_people() -> None:
    assert pages_text([]) == "no page"
    assert pages_text([4]) == "page 4"
    assert pages_text([1, 2]) == "pages 1 and 2"
    assert pages_text(range(1, 10)) == "9 pages (1 to 9)"
    assert pages_text([1, 3, 4, 5, 6, 7, 40]) == "7 pages (1, 3, 4 … 40)"
    assert bytes_text(1) == "1 byte"
