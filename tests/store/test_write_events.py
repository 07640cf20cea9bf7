"""What events say of a write: the page, the record, the frame, told from real commits of SQLite's."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pylitefs.sqlite.journal import Journal, read_journal
from pylitefs.store import write_events
from pylitefs.store.names import FileKind
from pylitefs.store.store import Store
from pylitefs.trace import Event
from tests.store.serving import Served

Payload = Mapping[str, object]


@pytest.fixture
def events(store: Store) -> Iterator[list[Event]]:
    found: list[Event] = []
    stop = store.tracer.listen(found.append)
    yield found
    stop()


def payloads(events: list[Event], name: str) -> list[Payload]:
    return [event.payload for event in events if event.name == name]


def test_a_journal_s_records_are_told_by_their_pages(served: Served, events: list[Event]) -> None:
    db = served.connect("a.db", "page_size=1024")
    db.execute("CREATE TABLE t (x)")
    events.clear()
    db.execute("INSERT INTO t VALUES (randomblob(600))")
    writes = payloads(events, "journal.write")
    assert writes[0]["parts"] == "header" and "pgno" not in writes[0]
    records = [(payload["parts"], payload["pgno"]) for payload in writes if "pgno" in payload]
    assert records == [(part, pgno) for pgno in (2, 1) for part in ("page number", "page", "checksum")]
    assert [payload["parts"] for payload in writes if "pgno" not in payload] == ["header", "header"]
    assert events[0].name == "journal.open"


@pytest.mark.parametrize("mode", ["DELETE", "PERSIST"])
def test_records_of_later_segments_are_told_too(
    served: Served, store: Store, events: list[Event], mode: str
) -> None:
    """After a cache spill the journal has a header in the middle; every record names the page it holds."""
    db = served.connect("a.db", "page_size=1024", f"journal_mode={mode}", "cache_size=10")
    db.execute("CREATE TABLE t (x)")
    db.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<80) "
               "INSERT INTO t SELECT randomblob(900) FROM n")  # fmt: skip
    events.clear()
    db.execute("BEGIN")
    db.execute("UPDATE t SET x = randomblob(900)")
    path = store.require("a.db").path(FileKind.JOURNAL)
    journal = _open_journal(path)
    held = [pgno for pgno, _ in journal.records]
    told = [payload["pgno"] for payload in payloads(events, "journal.write") if payload["parts"] == "page"]
    assert len(held) > 40 and told[: len(held)] == held
    headers = [
        payload["offset"]
        for payload in payloads(events, "journal.write")
        if payload.get("parts") == "header" and payload["offset"]
    ]
    assert headers, "the journal has a second segment"
    db.execute("COMMIT")
    (ending,) = payloads(events, "journal.invalidate")
    assert ending["how"] == mode.lower() and ending["live"] is True
    pages = {payload["pgno"] for payload in payloads(events, "page.write")}
    assert set(ending["pages"]) == pages and ending["count"] == len(pages)  # type: ignore[call-overload]
    if mode == "PERSIST":
        assert payloads(events, "journal.write")[-1] == {
            "offset": 0, "length": 28, "parts": "header", "zeroed": True
        }  # fmt: skip


def _open_journal(path: Path) -> Journal:
    data = path.read_bytes()
    return read_journal(lambda offset, size: data[offset : offset + size], len(data), hot=False)


def test_frames_and_commits_of_a_wal_are_told_by_their_pages(served: Served, events: list[Event]) -> None:
    db = served.connect("a.db", "page_size=1024", "journal_mode=WAL")
    db.execute("CREATE TABLE t (x)")
    events.clear()
    db.execute("INSERT INTO t VALUES (1)")
    frames = payloads(events, "wal.frame")
    assert {payload["pgno"] for payload in frames} == {2}
    assert ", ".join(str(payload["parts"]) for payload in frames) == "frame header, page"
    assert all(payload["commit"] == 2 for payload in frames)
    (commit,) = payloads(events, "wal.commit")
    assert commit["pages"] == [2] and commit["first"] == commit["last"] == frames[0]["frame"]
    assert (commit["offset"], commit["length"]) == (frames[0]["offset"], 24 + 1024)
    (encoded,) = payloads(events, "ltx.encode")
    (kept,) = payloads(events, "ltx.commit")
    assert encoded["pages"] == kept["pages"] == [2] and encoded["commit"] == 2
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert all(payload["checkpoint"] is True for payload in payloads(events, "page.write"))


def test_the_applier_s_pages_are_told_one_by_one_and_can_be_stopped_between(
    served: Served, store: Store, events: list[Event]
) -> None:
    db = served.connect("a.db", "page_size=1024")
    db.execute("CREATE TABLE t (x)")
    database = store.require("a.db")
    fd = database.open_file(FileKind.DATABASE, os.O_RDWR, applier=True)
    content = database.path(FileKind.DATABASE).read_bytes()
    events.clear()
    seen: list[bytes] = []
    stop = store.tracer.listen(lambda event: seen.append(os.pread(fd, 2048, 0)))
    database.state.applying = 9
    database.write(FileKind.DATABASE, fd, content[:1024] + b"\xff" * 1024, 0, applier=True)
    stop()
    database.release(FileKind.DATABASE, fd, applier=True)
    assert [event.txid for event in events] == [9, 9]
    assert [dict(payload) for payload in payloads(events, "page.apply")] == [
        {"pgno": pgno, "offset": offset, "length": 1024, "applier": True}
        for pgno, offset in ((1, 0), (2, 1024))
    ]
    assert seen[0] == content and seen[1][1024:] == b"\xff" * 1024


def test_very_many_pages_are_counted_and_not_all_named() -> None:
    payload = write_events.pages_payload(list(range(1, write_events.MOST_PGNOS + 11)))
    assert payload["count"] == write_events.MOST_PGNOS + 10
    assert payload["pages"] == list(range(1, write_events.MOST_PGNOS + 1))
