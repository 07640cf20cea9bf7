"""A lease on its way over a stream."""

import threading

from pylitefs.replication.handover import HandOver


def test_it_is_handed_over_once_its_frame_has_begun() -> None:
    """Whoever waits learns of the end; what becomes of the connection afterwards changes nothing."""
    one = HandOver("lease")
    assert one.begin()
    assert one.wait(0.0), "from here on it may be the replica's"
    threading.Thread(target=one.__exit__, args=(None, None, None)).start()
    assert one.wait(5.0)


def test_what_was_not_begun_in_time_is_not_sent_later() -> None:
    """The node goes on as the primary, so the stream must not send it any more."""
    one = HandOver("lease")
    assert not one.wait(0.0)
    assert not one.begin()


def test_a_stream_that_ends_hands_nothing_over() -> None:
    """Who waits is told at once."""
    one = HandOver("lease")
    one.cancel()
    assert not one.wait(5.0) and not one.begin()
