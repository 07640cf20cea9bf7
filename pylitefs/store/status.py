"""What this node is just now: primary or replica, of whom, and how far behind.

The rules: written by the lease and the replica thread, read by everyone; each field is one
attribute, so that a reader needs no lock. And a primary whose time is over is none, from that moment on,
whatever its threads do: each look at `is_primary` is a look at the clock.

The lag is counted on this node's monotonic clock, for two nodes' wall clocks may differ by an hour. A
heartbeat says what the primary's clock shows, and it cannot come before it was sent: so the one that came
with the smallest difference between the two clocks tells how they stand to each other.
"""

import math
import threading
import time
from collections.abc import Callable

from pylitefs.portable import awake_clock
from pylitefs.store.backup_state import BackupState
from pylitefs.store.role_log import RoleLog

FOR_GOOD = math.inf
LAG_NEVER_SYNCED = 2147483647
DRIFT = 0.0002
"""Two clocks go apart by no more than this share of the time: by so much the smallest difference ages."""
STEPPED_MS = 1000
"""A heartbeat that is older than the one before it by more: the primary's clock was set back."""
CHANGE_S = 3.0
"""A writer waits so long, at most, for a handoff to come to its end."""


def now_ms() -> int:
    """Wall clock, milliseconds since 1970, as in LTX timestamps and heartbeats."""
    return time.time_ns() // 1_000_000


def monotonic_ms() -> float:
    """A clock of this node that nobody sets."""
    return time.monotonic_ns() / 1_000_000


_stands_at: float | None = None
"""What the lease's clock shows in a node of a lecture, where it stands still; None in earnest."""
_watching: list[Callable[[], None]] = []


def lease_clock() -> float:
    """Seconds on a clock that nobody sets, and that goes on while the machine sleeps."""
    return awake_clock() if _stands_at is None else _stands_at


def lease_clock_stands() -> bool:
    """Whether time passes only when a lecture says so."""
    return _stands_at is not None


def pass_lease_time(seconds: float) -> None:
    """For a lecture: from now on this process's lease clock stands still; so much time passes on it now.

    A class may talk about a lease for longer than it lasts.
    """
    global _stands_at
    _stands_at = lease_clock() + seconds
    for look in tuple(_watching):
        look()


def watch_lease_time(look: Callable[[], None]) -> None:
    """Call `look` when time has passed on the lease's clock at once."""
    _watching.append(look)


class Status:
    """The node's role, and what a replica knows of its primary."""

    def __init__(
        self,
        *,
        is_primary: bool = False,
        candidate: bool = False,
        primary_hostname: str | None = None,
        wal_stays_writable: bool = False,
        ready: bool = False,
        started_ns: int | None = None,
    ) -> None:
        self._until = FOR_GOOD if is_primary else -FOR_GOOD
        self._changing = False
        self._changed = threading.Condition()
        self.candidate = candidate
        self.primary_hostname = primary_hostname
        """Set only while a replica is connected to its primary."""
        self.primary_url: str | None = None
        self.wal_stays_writable = wal_stays_writable
        """A replica lets its clients open a WAL to write it: after a promotion their connections can."""
        self.ready = ready
        """The primary is ready at once; a replica after the first Ready frame."""
        self.promoting = False
        """It is to become the primary before it counts as started (`lease.promote`)."""
        self.heard_ms: int | None = None
        """The primary's clock at the last heartbeat or applied transaction; None before the first."""
        self.ahead_ms: float | None = None
        """Our monotonic clock minus the primary's wall clock, as heartbeats told; None before the first."""
        self.sampled_ms = 0.0
        """When a heartbeat was last noted, on our monotonic clock."""
        self.backup: BackupState | None = None
        """How far the backup is; None where none is configured."""
        self.lease_ttl = 0.0
        """Seconds of a lease that changes hands; 0 with a static one."""
        self.roles = RoleLog()
        self.started_ns = time.time_ns() if started_ns is None else started_ns
        """When the node started, on its wall clock."""

    # The role

    @property
    def has_lease(self) -> bool:
        """Whether this node may ship transactions: it has the lease, and its time is not over."""
        until = self._until
        return until == FOR_GOOD or until > lease_clock()

    @property
    def is_primary(self) -> bool:
        """Whether this node takes writes: it has the lease, and is not handing it over."""
        until = self._until
        return (until == FOR_GOOD or until > lease_clock()) and not self._changing

    @is_primary.setter
    def is_primary(self, value: bool) -> None:
        """For good, as with a static lease."""
        self.lead(FOR_GOOD if value else -FOR_GOOD)

    @property
    def lease_left(self) -> float | None:
        """For how many seconds this node has the lease; None if it has not, or has a static one."""
        return self._until - lease_clock() if self.lease_ttl and self.has_lease else None

    def note_role(self, text: str) -> None:
        """For people: what this node is from now on."""
        self.roles.note(text, now_ms())

    def lead(self, until: float) -> None:
        """This node is the primary, until then on `lease_clock`, unless it is told so again."""
        self._until = until

    def follow(self) -> None:
        """This node is the primary no longer."""
        self._until = -FOR_GOOD

    @property
    def changing(self) -> bool:
        """The lease is being handed over, from this node or to it."""
        return self._changing

    @changing.setter
    def changing(self, value: bool) -> None:
        with self._changed:
            self._changing = value
            self._changed.notify_all()

    def wait_for_change(self) -> None:
        """Wait for the end of a handoff that is under way, but not for long."""
        if self._changing:
            with self._changed:
                self._changed.wait_for(lambda: not self._changing, CHANGE_S)

    def may_write(self) -> bool:
        """The same as `is_primary`, once a handoff that is under way has come to its end."""
        self.wait_for_change()
        return self.is_primary

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
