"""Which roles this node has had since its start, and when: what `status` tells of a failover afterwards.

The rule: only for show. What stays so is noted once, and only the newest are kept. Any thread may call.
"""

from collections import deque
from dataclasses import dataclass

MOST = 20


@dataclass(frozen=True, slots=True)
class RoleChange:
    """From then on, on the node's wall clock, it was this."""

    at_ms: int
    text: str


class RoleLog:
    """Of one node."""

    def __init__(self) -> None:
        self._changes: deque[RoleChange] = deque(maxlen=MOST)

    def note(self, text: str, at_ms: int) -> None:
        """The node is this from now on."""
        if not self._changes or self._changes[-1].text != text:
            self._changes.append(RoleChange(at_ms, text))

    def changes(self) -> tuple[RoleChange, ...]:
        """Oldest first."""
        return tuple(self._changes)
