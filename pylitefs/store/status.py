"""What this node is just now: primary or replica, of whom, and how far behind.

The rule: written by the lease and the replica thread, read by everyone; each field is one
attribute, so that a reader needs no lock.

The lag is counted on this node's monotonic clock, for two nodes' wall clocks may differ by an hour. A
heartbeat says what the primary's clock shows, and it cannot come before it was sent: so the one that came
with the smallest difference between the two clocks tells how they stand to each other.
"""

import time
from dataclasses import dataclass, field

from pylitefs.store.backup_state import BackupState

LAG_NEVER_SYNCED = 2147483647
DRIFT = 0.0002
"""Two clocks go apart by no more than this share of the time: by so much the smallest difference ages."""
STEPPED_MS = 1000
"""A heartbeat that is older than the one before it by more: the primary's clock was set back."""


def now_ms() -> int:
    """Wall clock, milliseconds since 1970, as in LTX timestamps and heartbeats."""
    return time.time_ns() // 1_000_000


def monotonic_ms() -> float:
    """A clock of this node that nobody sets."""
    return time.monotonic_ns() / 1_000_000


@dataclass
class Status:
    """The node's role. `primary_hostname` is set only while a replica is connected to its primary."""

    is_primary: bool = False
    candidate: bool = False
    primary_hostname: str | None = None
    primary_url: str | None = None
    wal_stays_writable: bool = False
    """A replica lets its clients open a WAL to write it: their connections can write after a promotion."""
    ready: bool = False
    """The primary is ready at once; a replica after the first Ready frame."""
    heard_ms: int | None = None
    """The primary's clock at the last heartbeat or transaction that was applied; None before the first."""
    ahead_ms: float | None = None
    """Our monotonic clock minus the primary's wall clock, as heartbeats told; None before the first."""
    sampled_ms: float = 0.0
    """When a heartbeat was last noted, on our monotonic clock."""
    backup: BackupState | None = None
    """How far the backup is; None where none is configured."""
    started_ns: int = field(default_factory=time.time_ns)
    """When the node started, on its wall clock."""

    @property
    def wal_is_shut(self) -> bool:
        """Whether clients may open a WAL for reading alone."""
        return not self.is_primary and not self.wal_stays_writable

    def heartbeat(self, primary_ms: int, now: float | None = None, *, level: bool = True) -> None:
        """The primary said that it has sent everything up to `primary_ms`, on its clock; with `level` this
        node has applied all of it, too."""
        now = monotonic_ms() if now is None else now
        stepped = self.heard_ms is not None and primary_ms < self.heard_ms - STEPPED_MS
        sample = now - primary_ms
        if self.ahead_ms is not None and not stepped:
            sample = min(sample, self.ahead_ms + DRIFT * (now - self.sampled_ms))
        self.ahead_ms, self.sampled_ms = sample, now
        if level or stepped:
            self.heard_ms = primary_ms

    def primary_now_ms(self) -> float:
        """What the primary's clock shows now, as far as is known; else what ours does."""
        return now_ms() if self.ahead_ms is None else monotonic_ms() - self.ahead_ms

    @property
    def skew_ms(self) -> int | None:
        """How far this node's wall clock is ahead of the primary's; None on the primary, or if unknown."""
        if self.is_primary or self.ahead_ms is None:
            return None
        return round(now_ms() - self.primary_now_ms())

    def lag_ms(self, now: int | None = None) -> int:
        """Milliseconds behind the primary: 0 on the primary, LAG_NEVER_SYNCED before the first sync."""
        if self.is_primary:
            return 0
        if self.heard_ms is None:
            return LAG_NEVER_SYNCED
        behind = (self.primary_now_ms() if now is None else now) - self.heard_ms
        return round(min(max(behind, 0), LAG_NEVER_SYNCED))
