"""What this node is just now: primary or replica, of whom, and how far behind.

The rule: written by the lease and the replica thread, read by everyone; each field is one
attribute, so that a reader needs no lock.
"""

import time
from dataclasses import dataclass

LAG_NEVER_SYNCED = 2147483647


def now_ms() -> int:
    """Wall clock, milliseconds since 1970, as in LTX timestamps and heartbeats."""
    return time.time_ns() // 1_000_000


@dataclass
class Status:
    """The node's role. `primary_hostname` is set only while a replica is connected to its primary."""

    is_primary: bool = False
    candidate: bool = False
    primary_hostname: str | None = None
    primary_url: str | None = None
    ready: bool = False
    """The primary is ready at once; a replica after the first Ready frame."""
    heard_ms: int | None = None
    """The primary's clock at the last heartbeat or transaction that was applied; None before the first."""

    def lag_ms(self, now: int | None = None) -> int:
        """Milliseconds behind the primary: 0 on the primary, LAG_NEVER_SYNCED before the first sync."""
        if self.is_primary:
            return 0
        if self.heard_ms is None:
            return LAG_NEVER_SYNCED
        return min(max((now_ms() if now is None else now) - self.heard_ms, 0), LAG_NEVER_SYNCED)
