"""The fields of a message between the node and the applier: of the right kind, or no field at all."""

from pathlib import Path

import pytest

from pylitefs.ltx.short import ShortTransaction
from pylitefs.mount.applier.messages import (
    MAX_MESSAGE,
    Message,
    apply_request,
    decode,
    encode,
    encode_pages,
    known_of,
    seconds_of,
    text_of,
)
from pylitefs.store.applying import KnownWal


def test_text_is_there_and_is_text() -> None:
    message: Message = {"db": "a.db", "txid": 7}
    assert text_of(message, "db") == "a.db"
    with pytest.raises(AssertionError):
        text_of(message, "txid")
    with pytest.raises(KeyError):
        text_of(message, "path")


def test_a_time_without_end_is_null_or_absent() -> None:
    """None is no limit, and 0 is not None: it means not to wait."""
    message: Message = {"at_once": 0, "half": 0.5, "none": None, "text": "1"}
    assert seconds_of(message, "at_once") == 0 and seconds_of(message, "at_once") is not None
    assert seconds_of(message, "half") == 0.5
    assert seconds_of(message, "none") is None and seconds_of(message, "absent") is None
    with pytest.raises(AssertionError):
        seconds_of(message, "text")


def test_a_message_has_room_for_a_path_and_a_name() -> None:
    """Linux has paths of 4,096 bytes and names of 255; JSON writes each byte as up to six."""
    assert MAX_MESSAGE > 6 * (4096 + 255)


def test_what_is_known_of_a_wal_comes_as_it_was_sent() -> None:
    """The salts of its header, and how many frames count; or nothing."""
    known = KnownWal(1, 0xFFFFFFFF, 7)
    request = apply_request("a.db", [Path("one"), Path("two")], None, known, verified=True)
    assert known_of(decode(encode(request))) == known
    assert known_of(decode(encode(apply_request("a.db", [Path("one")], 1.0)))) is None


def test_a_message_is_what_it_was() -> None:
    message: Message = {"op": "hold", "db": "a\udcff.db", "timeout": None}
    assert decode(encode(message)) == message


@pytest.mark.parametrize("timeout", [None, 0.0, 0.25])
@pytest.mark.parametrize("name", ["a.db", "naïve.db", "a\udcff.db"])
def test_pages_come_as_they_were_sent(name: str, timeout: float | None) -> None:
    pages = [(pgno, memoryview(bytes([pgno % 251]) * 512)) for pgno in (1, 7, 4_294_967_295)]
    packet = encode_pages(name, ShortTransaction(512, 9, 2**63, pages), timeout)
    assert packet is not None
    message = decode(packet)
    assert message.pop("pages") == pages
    assert message == {
        "op": "apply_pages",
        "db": name,
        "timeout": timeout,
        "page_size": 512,
        "commit": 9,
        "txid": 2**63,
    }


def test_more_pages_than_a_packet_holds_do_not_go() -> None:
    """Then the file is read."""
    page = memoryview(bytes(65536))
    assert encode_pages("a.db", ShortTransaction(65536, 1, 2, [(1, page)]), None) is None
    for count in (126, 127, 128):
        pages = [(pgno, page[:512]) for pgno in range(1, count + 1)]
        packet = encode_pages("a.db", ShortTransaction(512, count, 2, pages), None)
        assert packet is None or len(packet) <= MAX_MESSAGE
        assert (packet is None) == (count > 126)
