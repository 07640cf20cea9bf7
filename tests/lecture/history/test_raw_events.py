"""What comes over the control channel is taken as far as it can be read."""

import base64

from pylitefs.lecture.history.raw_events import RawItem, plain, read_items
from pylitefs.replication.frames import LtxBegin, LtxEnd, Ready, pack_ltx_body


def test_items_are_read_and_what_is_none_is_left_out() -> None:
    data = base64.b64encode(b"abc").decode()
    found = read_items(
        [
            {"file": "wal", "path": "/d/wal", "offset": 32, "data": data, "size": 900, "cut": True},
            {"file": "journal", "data": data},
            {"file": "journal", "data": "?"},
            {"file": "journal", "data": 5},
            "nothing",
        ]
    )
    assert found == [RawItem("wal", b"abc", 32, 900, "/d/wal", True), RawItem("journal", b"abc", 0, 3)]
    assert found[0].name == "wal"
    assert read_items(None) == []


def test_the_ltx_file_in_a_frame_is_put_together_from_its_chunks() -> None:
    body = pack_ltx_body(b"one") + pack_ltx_body(b"two")
    frame = LtxBegin("a.db").pack() + body + LtxEnd().pack()
    assert RawItem("frame", frame).ltx_of_frame() == b"onetwo"
    assert RawItem("frame", frame[:-2]).ltx_of_frame() == b"", "not all of it"
    assert RawItem("frame", Ready().pack()).ltx_of_frame() == b""
    assert RawItem("frame", b"\xff" * 20).ltx_of_frame() == b""


def test_a_payload_is_shown_as_people_read_it() -> None:
    assert plain("checksum", 1 << 63) == "8000000000000000"
    assert plain("path", "/data/dbs/a.db/ltx/x.ltx") == "x.ltx"
    assert plain("pages", [1, 2, 7]) == "1, 2, 7"
    assert plain("pages", list(range(50))).endswith(" …")  # type: ignore[attr-defined]
    assert plain("live", True) is True
