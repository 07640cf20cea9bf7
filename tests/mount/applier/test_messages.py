"""The fields of a message between the node and the applier: of the right kind, or no field at all."""

import pytest

from pylitefs.mount.applier.messages import MAX_MESSAGE, Message, seconds_of, text_of


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
