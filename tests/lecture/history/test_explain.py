"""Every tracepoint in words."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylitefs.lecture.history.explain import EXPLANATIONS, explain, title
from pylitefs.lecture.history.facts import Facts
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


_anything = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=9)
)


@given(st.sampled_from([*TRACEPOINTS, "unknown"]), st.dictionaries(st.sampled_from(KEYS), _anything))
def test_no_payload_makes_a_sentence_fail(name: str, payload: dict[str, object]) -> None:
    assert explain(name, Facts("n1", "a.db", 1, "", "", payload))[0]
