"""What stands in for a node's streams before its start."""

from pylitefs.roles.ports import Handoff, NoStreams, Wake


def test_before_the_start_there_are_no_streams() -> None:
    """Nothing is connected, nothing waits to be sent; and a request for a handoff is taken once."""
    none = NoStreams()
    assert none.stream_of("AA") is None and none.streams() == () and none.is_drained()
    none.demoted()
    none.primary_changed()
    one = Handoff("AA")
    assert not one.taken.is_set() and Handoff("AA").taken is not one.taken and Wake("stop").what == "stop"
