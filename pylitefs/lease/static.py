"""The static lease: the config alone says who is the primary, for good.

The node with `candidate: true` is the primary; every other node names it by `hostname` and
`advertise-url` in its own config. There is no election, no expiry and no handoff.
Reference: https://fly.io/docs/litefs/config/
"""

import math
from dataclasses import dataclass
from urllib.parse import urlsplit

from pylitefs.lease.base import LeaseError, PrimaryInfo

__all__ = ["PrimaryInfo", "StaticHeld", "StaticLease"]


@dataclass(frozen=True, slots=True)
class StaticHeld:
    """The lease of the one candidate: it has no name, and no end."""

    id: str = ""
    until: float = math.inf
    renew_at: float = math.inf

    def renew(self) -> None:
        """It never ends."""

    def release(self) -> None:
        """Nobody else may have it."""


@dataclass(frozen=True, slots=True)
class StaticLease:
    """The lease of one node, from its config. `hostname` falls back to the host of `advertise_url`.

    On the primary `advertise_url` is how others reach this node; on a replica it is the primary's.
    """

    candidate: bool
    hostname: str
    advertise_url: str

    type = "static"
    index = 0

    @property
    def is_primary(self) -> bool:
        """Whether this node is the primary."""
        return self.candidate

    def primary(self) -> PrimaryInfo:
        """The primary, this node or another."""
        url = self.advertise_url.rstrip("/")
        return PrimaryInfo(self.hostname or urlsplit(url).hostname or "", url)

    def register(self) -> None:
        """There is no service."""

    def close(self) -> None:
        """There is no service."""

    def acquire(self) -> StaticHeld | None:
        """It is the candidate's."""
        return StaticHeld() if self.candidate else None

    def acquire_existing(self, lease_id: str) -> StaticHeld:
        """A static lease is handed to nobody."""
        del lease_id
        raise LeaseError("a static lease cannot be handed off: set lease.candidate")

    def cluster_id(self) -> str | None:
        """Each static primary makes its own."""
        return None

    def set_cluster_id(self, text: str) -> None:
        """It is kept in the data directory alone."""
