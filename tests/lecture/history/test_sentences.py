"""The sentences about events: they have the numbers that the event has, and leave out what it has not."""

import pytest

from pylitefs.lecture.history.explain import explain, title
from pylitefs.lecture.history.facts import Facts
from pylitefs.trace import TRACEPOINTS


@pytest.mark.parametrize(
    ("name", "payload", "words"),
    [
        ("journal.write", {"pgno": 2, "parts": "page", "offset": 516, "length": 1024}, "copied page 2"),
        ("journal.write", {"pgno": 2, "parts": "checksum", "offset": 1, "length": 4}, "its checksum"),
        ("journal.write", {"offset": 0, "length": 12, "parts": "header"}, "the journal is hot"),
        ("journal.write", {"offset": 0, "length": 28, "parts": "header", "zeroed": True}, "zeros"),
        ("journal.write", {"offset": 0, "length": 512, "parts": "header"}, "with its header"),
        ("journal.invalidate", {"live": True, "how": "delete"}, "about to be unlinked: the commit point"),
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
        ("stream.send", {"frame": "ready"}, "n1 is about to send Ready"),
        ("catchup.decide", {"decision": "files", "position": "02/00ab"}, "n2's checksum is 00ab"),
        ("recovery.ltx", {"dropped": "/d/x.ltx"}, "x.ltx was not written to its end"),
        ("lease.ask", {}, "nobody has the lease, and is about to ask"),
        ("lease.ask", {"handed": True, "session": "ab"}, "n1 was handed the lease"),
        ("lease.acquire", {"ttl": 10.0}, "n1 has the lease, for 10 s unless it renews it. It is the primary"),
        ("lease.acquire", {}, "n1 is the primary"),
        ("lease.renew", {"ttl": 2.5}, "it has it for 2.5 s from now"),
        ("lease.lose", {"why": "given back"}, "no longer (given back). So it is not the primary"),
        ("lease.handoff", {}, "has handed its lease to n2"),
        ("halt.acquire", {}, "n1 gives n2 the HALT lock of a.db, at TXID 4"),
        ("halt.acquire", {"primary": "http://x"}, "n1 has the HALT lock of a.db, and is at TXID 4"),
        ("halt.release", {"why": "it expired after 30 s"}, "of n2 is over: it expired after 30 s. Programs"),
        ("halt.release", {"primary": "http://x", "why": "given back"}, "that n1 had is over: given back."),
        ("halt.tx", {}, "made on n2: stored"),
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


@pytest.mark.parametrize("name", [name for name, words in TRACEPOINTS.items() if "about to" in words])
def test_what_is_held_before_it_is_done_is_told_as_about_to_be(name: str) -> None:
    """Neither the sentence, nor the heading, nor what SQLite alone would do says that it has happened."""
    full = {"live": True, "how": "unlink", "frame": "ltx", "size": 9}
    for payload in (full, {**full, "live": False}, {}):
        text, alone = explain(name, Facts("n1", "a.db", 4, "writer (pid 1)", "n2", payload))
        if name != "journal.open":  # The journal has been made; its bytes are to come.
            assert "about to" in text
        assert " sends" not in text
        assert "is gone" not in alone
        assert "from which on" not in text
    if name in ("stream.send", "journal.invalidate"):
        assert "about to" in title(name)


def test_a_kill_at_the_journal_s_end_still_rolls_back_and_the_caption_says_so() -> None:
    """A rollback's journal ends in the same way, and commits nothing."""
    text, _ = explain("journal.invalidate", Facts("n1", "a.db", payload={"live": True, "how": "unlink"}))
    assert "A crash here still rolls back, and after it none does." in text
    assert "the commit point of whatever has changed" in text


def test_beside_a_journal_that_is_still_there_none_is_said_to_be_gone() -> None:
    """`ltx.commit` comes inside the call that ends the journal."""
    assert "gone" not in explain("ltx.commit", Facts("n1", "a.db", 3))[1]
