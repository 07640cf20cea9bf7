"""Dumps: what is shown of the bytes that came with an event, and which of them changed."""

import base64
from itertools import pairwise

from pylitefs.lecture.history.dumps import MOST_BYTES, Dumps
from pylitefs.lecture.model import Dump
from pylitefs.replication.frames import LtxBegin, LtxEnd, pack_ltx_body
from tests.lecture.anatomies import assert_covers
from tests.lecture.told import Told
from tests.store.serving import Served


def by_key(dumps: list[Dump]) -> dict[str, Dump]:
    return {dump.key: dump for dump in dumps}


def changed_bytes(dump: Dump) -> int:
    return sum(length for _, length in dump.changed)


def test_every_dump_is_annotated_to_its_last_byte(served: Served, told: Told) -> None:
    for mode in ("delete", "wal"):
        db = served.connect("a.db", "page_size=1024", f"journal_mode={mode}")
        db.execute("CREATE TABLE IF NOT EXISTS t (x)")
        db.execute("INSERT INTO t VALUES (randomblob(3000))")
        db.close()
    assert {dump.format for dump in told.dumps.values()} == {
        "journal", "wal", "wal-index", "ltx", "database", "position",
    }  # fmt: skip
    for dump in told.dumps.values():
        assert_covers(dump.parts, dump.data, dump.base)
        assert dump.title
        assert len(dump.data) <= MOST_BYTES
        for offset, length in dump.changed:
            assert dump.base <= offset < offset + length <= dump.base + len(dump.data)


def test_a_journal_grows_and_only_what_is_new_is_marked(served: Served, told: Told) -> None:
    db = served.connect("a.db", "page_size=1024")
    db.execute("CREATE TABLE t (x)")
    told.entries.clear()
    db.execute("INSERT INTO t VALUES (1)")
    dumps = [told.shown(entry)[0] for entry in told.named("journal.write")]
    assert {dump.key for dump in dumps} == {"n1 a.db-journal"}
    assert dumps[0].changed == (), "the journal of the transaction before is another file"
    for before, after in pairwise(dumps):
        assert changed_bytes(after) < len(after.data)
        for offset, length in after.changed:
            assert after.data[offset : offset + length] != before.data[offset : offset + length]
    assert dumps[-1].parts[0].value == "valid: this journal can roll back"


def test_a_wal_dump_shows_the_frames_of_the_transaction(served: Served, told: Told) -> None:
    db = served.connect("a.db", "page_size=1024", "journal_mode=wal")
    db.execute("CREATE TABLE t (x)")
    first = told.shown(told.last("wal.commit"))[0]
    assert (first.format, first.base) == ("wal", 0)
    db.execute("INSERT INTO t VALUES (1)")
    event = told.last("wal.commit")
    wal, index = told.shown(event)
    assert (wal.format, index.format) == ("wal", "wal-index")
    assert wal.base == len(first.data)
    assert wal.note == f"The {wal.base:,} bytes before are not shown."
    assert {part.name for part in wal.parts} >= {"page number", "commit", "salt 1", "page 2"}
    assert wal.parts[0].meaning.endswith(f"This is frame {event.detail['first']}.")


def test_a_page_is_shown_with_the_bytes_that_changed(served: Served, told: Told) -> None:
    db = served.connect("a.db", "page_size=1024")
    db.execute("CREATE TABLE t (x)")
    db.execute("INSERT INTO t VALUES ('Anna')")
    db.execute("UPDATE t SET x = 'Otto'")
    page = [
        dump
        for entry in told.named("page.write")
        for dump in told.shown(entry)
        if dump.key == "n1 a.db page 2"
    ][-1]
    assert page.base == 1024
    changed = b"".join(page.data[offset - page.base :][:length] for offset, length in page.changed)
    assert changed == b"Otto"


def test_an_ltx_file_marks_what_its_transaction_changed(served: Served, told: Told) -> None:
    db = served.connect("a.db", "page_size=1024")
    db.execute("CREATE TABLE t (x)")
    db.execute("INSERT INTO t VALUES ('Anna')")
    db.execute("UPDATE t SET x = 'Otto'")
    ltx = next(dump for dump in told.shown(told.last("ltx.commit")) if dump.format == "ltx")
    assert ltx.key == "n1 a.db 0000000000000003-0000000000000003.ltx"
    changed = [ltx.data[offset : offset + length] for offset, length in ltx.changed]
    assert b"Otto" in changed
    assert ltx.note.startswith("Marked")


def test_a_position_is_shown_as_the_mount_shows_it(served: Served, told: Told) -> None:
    served.connect("a.db").execute("CREATE TABLE t (x)")
    dumps = told.shown(told.last("pos.advance"))
    assert dumps[0].key == "n1 a.db-pos"
    assert dumps[0].data == f"{served.store.require('a.db').pos}\n".encode()
    assert dumps[1].key == "n1 a.db header"


def test_equal_bytes_are_one_dump(served: Served, told: Told) -> None:
    db = served.connect("a.db", "page_size=1024")
    db.execute("CREATE TABLE t (x)")
    wrote, ended = told.last("journal.write"), told.last("journal.invalidate")
    assert set(ended.dumps) <= {one for entry in told.named("journal.write") for one in entry.dumps} or (
        wrote.dumps == ended.dumps
    )


def test_what_is_long_is_cut_and_says_so(served: Served, told: Told) -> None:
    db = served.connect("a.db", "page_size=4096", "journal_mode=wal")
    db.execute("CREATE TABLE t AS SELECT randomblob(200000) AS x")
    wal = told.shown(told.last("wal.commit"))[0]
    assert len(wal.data) == MOST_BYTES
    assert "are not shown" in wal.note
    assert_covers(wal.parts, wal.data, wal.base)
    ltx = told.shown(told.last("ltx.commit"))[0]
    assert len(ltx.data) == MOST_BYTES
    assert "Shown are the first" in ltx.note
    assert_covers(ltx.parts, ltx.data)


def test_a_frame_changed_on_its_way_shows_where() -> None:
    """Two nodes tell of the same frame; a bit was flipped between them."""
    told = Told()
    told.historian._name_of = {"A": "n1", "B": "n2"}.get
    frame = LtxBegin("a.db").pack() + pack_ltx_body(b"LTX1" + bytes(200)) + LtxEnd().pack()
    damaged = frame[:99] + b"\x01" + frame[100:]

    def message(name: str, peer: str, data: bytes) -> dict[str, object]:
        item = {"file": "frame", "offset": 0, "data": base64.b64encode(data).decode(), "size": len(data)}
        event = {"name": name, "node": "", "database": "a.db", "txid": 2, "pid": 0}
        return {"event": {**event, "payload": {"frame": "ltx", "peer": peer}}, "bytes": [item]}

    sent = told.shown(told.tell(message("stream.send", "B", frame), "n1"))[0]
    received = told.shown(told.tell(message("stream.receive", "A", damaged), "n2"))[0]
    assert sent.key == received.key == "n1>n2 frame"
    assert sent.changed == ()
    assert received.changed == ((99, 1),)
    assert received.note == "Marked: what was changed on the way."
    again = told.shown(told.tell(message("stream.send", "B", frame[:50]), "n1"))[0]
    assert again.changed == ()


def test_another_frame_with_the_same_bytes_is_another_dump() -> None:
    """Two handoffs carry the same lease: each has its own title, and a recording keeps both."""
    kept = Dumps()
    first, second, third = (
        kept.keep(Dump("", "n1>n2 frame", title, "frame", b"lease"))
        for title in ("handoff", "handoff #2", "handoff")
    )
    assert first.id != second.id
    assert (first.title, second.title, third.title) == ("handoff", "handoff #2", "handoff")
    assert kept.keep(third) is third
