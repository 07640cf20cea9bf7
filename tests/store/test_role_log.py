"""Which roles a node has had."""

from pylitefs.store.role_log import MOST, RoleChange, RoleLog
from pylitefs.store.status import Status, lease_clock


def test_what_stays_so_is_noted_once_and_only_the_newest_are_kept() -> None:
    log = RoleLog()
    for at, text in enumerate(["primary", "primary", "replica of n2"]):
        log.note(text, at)
    assert log.changes() == (RoleChange(0, "primary"), RoleChange(2, "replica of n2"))
    for at in range(2 * MOST):
        log.note(f"replica of n{at}", at)
    assert len(log.changes()) == MOST and log.changes()[-1].at_ms == 2 * MOST - 1


def test_a_node_has_its_lease_for_so_long() -> None:
    """A static lease has no time, and a lease that another node has is none of its own."""
    status = Status(is_primary=True)
    assert status.lease_left is None
    status.lease_ttl = 10.0
    status.lead(lease_clock() + 5)
    left = status.lease_left
    assert left is not None and 0 < left <= 5
    status.follow()
    assert status.lease_left is None
