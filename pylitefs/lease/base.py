"""What every kind of lease has in common: who is the primary, and for how long it may believe so.

The rule: a node counts the time of its lease from *before* it asked, on a clock that nobody sets and that
goes on while the machine sleeps, and ends it a little early (`fence`). So it has stopped before the lease
service can give the lease to another, whenever the answer came and whatever stopped the node meanwhile.
"""

from dataclasses import dataclass
from typing import Protocol

from pylitefs.errors import PylitefsError

MARGIN = 0.05
"""This share of a lease's time is not used: two machines' clocks do not run alike."""


class LeaseError(PylitefsError):
    """The lease service could not be asked, or says something else than it should."""


class UnreachableError(LeaseError):
    """The lease service gives no answer."""


class LeaseExpiredError(LeaseError):
    """The lease service does not know the lease any more."""


@dataclass(frozen=True, slots=True)
class PrimaryInfo:
    """The primary, as other nodes reach it."""

    hostname: str
    """What `.primary` and `/info` show."""
    advertise_url: str
    """Base URL of its API, such as `http://10.0.0.1:20202`."""


def fence(asked: float, ttl: float) -> float:
    """Until when a lease counts that was asked for, or renewed, at `asked`."""
    return asked + ttl * (1 - MARGIN)


class Held(Protocol):
    """A lease that this node has."""

    @property
    def id(self) -> str:
        """What names it to whoever it is handed to."""

    @property
    def until(self) -> float:
        """Until when this node may believe that it has it, on `status.lease_clock`."""

    @property
    def renew_at(self) -> float:
        """When it is to be renewed."""

    def renew(self) -> None:
        """Have it for longer. LeaseExpiredError if it is gone, LeaseError if that is not known."""

    def release(self) -> None:
        """Give it back, so that another may have it at once. LeaseError."""


class Lease(Protocol):
    """Where a node asks for the lease, and who has it. Every call blocks; LeaseError without an answer."""

    @property
    def type(self) -> str: ...
    @property
    def hostname(self) -> str: ...
    @property
    def advertise_url(self) -> str: ...
    @property
    def index(self) -> int:
        """A number that has grown with each change of the lease, as of the last `primary`; 0: not known."""

    def primary(self) -> PrimaryInfo | None:
        """Who has the lease; None: nobody."""

    def register(self) -> None:
        """At the node's start: tell the service of it. LeaseError ends the start."""

    def close(self) -> None:
        """It is asked nothing more."""

    def acquire(self) -> Held | None:
        """Take the lease; None if somebody else has it."""

    def acquire_existing(self, lease_id: str) -> Held:
        """Take over the lease that its holder hands to this node."""

    def cluster_id(self) -> str | None:
        """The id of the cluster, as the lease service has it; None before the first primary."""

    def set_cluster_id(self, text: str) -> None:
        """Keep it there."""
