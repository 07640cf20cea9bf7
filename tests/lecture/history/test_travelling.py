"""Frames between nodes: one id at both ends, whichever tells of it first."""

from itertools import permutations

from pylitefs.lecture.history.travelling import Travelling

ENDS = ("n1", "n2")


def test_a_frame_has_one_id_and_the_next_like_it_another() -> None:
    """Of equal frames the oldest that was sent is the first that is received."""
    frames = Travelling()
    first = frames.seen("send", ENDS, "a.db", 4, "ltx:snapshot")
    second = frames.seen("send", ENDS, "a.db", 4, "ltx")
    assert (first, second) == ("n1>n2 a.db 4 ltx", "n1>n2 a.db 4 ltx #2")
    assert frames.seen("receive", ENDS, "a.db", 4, "ltx") == first
    assert frames.seen("receive", ENDS, "a.db", 4, "ltx") == second
    assert frames.seen("send", ENDS, "", 0, "heartbeat") == "n1>n2 heartbeat"


def test_the_order_in_which_both_ends_tell_does_not_matter() -> None:
    """As long as each end tells in its own."""
    for order in set(permutations(["send", "send", "receive", "receive"])):
        frames = Travelling()
        ids: dict[str, list[str]] = {"send": [], "receive": []}
        for phase in order:
            ids[phase].append(frames.seen(phase, ENDS, "a.db", 4, "ltx"))
        assert ids["send"] == ids["receive"] and len(set(ids["send"])) == 2, order


def test_what_differs_is_another_frame() -> None:
    frames = Travelling()
    frames.seen("send", ENDS, "a.db", 4, "ltx")
    for ends, database, txid, kind in (
        (("n2", "n1"), "a.db", 4, "ltx"),
        (ENDS, "b.db", 4, "ltx"),
        (ENDS, "a.db", 5, "ltx"),
        (ENDS, "a.db", 4, "drop"),
    ):
        assert frames.seen("receive", ends, database, txid, kind) != "n1>n2 a.db 4 ltx"


def test_the_sender_is_who_sent_such_a_frame_if_one_did() -> None:
    frames = Travelling()
    assert frames.sender_of("n2", "a.db", 4, "ltx") == ""
    frames.seen("send", ENDS, "a.db", 4, "ltx")
    assert frames.sender_of("n2", "a.db", 4, "ltx:snapshot") == "n1"
    assert frames.sender_of("n3", "a.db", 4, "ltx") == ""
    frames.seen("send", ("n3", "n2"), "a.db", 4, "ltx")
    assert frames.sender_of("n2", "a.db", 4, "ltx") == "", "either may have"


def test_what_is_under_way_when_its_connection_ends_does_not_arrive() -> None:
    frames = Travelling()
    lost = frames.seen("send", ENDS, "a.db", 4, "ltx")
    other = frames.seen("send", ("n1", "n3"), "a.db", 4, "ltx")
    frames.lost("n2", "n1")
    sent = frames.seen("send", ENDS, "a.db", 4, "ltx")
    assert frames.seen("receive", ENDS, "a.db", 4, "ltx") == sent != lost
    assert frames.seen("receive", ("n1", "n3"), "a.db", 4, "ltx") == other
