"""For how long a node may believe that it has a lease."""

from pylitefs.lease.base import fence


def test_the_fence_comes_before_the_end() -> None:
    """It is counted from before the question, and ends a share of the TTL early."""
    assert 100.0 < fence(100.0, 10.0) < 110.0
    assert fence(100.0, 10.0) == 109.5
