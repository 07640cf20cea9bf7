"""The static lease: the config alone says who is the primary, for good.

The node with `candidate: true` is the primary; every other node names it by `hostname` and
`advertise-url` in its own config. There is no election, no expiry and no handoff.
Reference: https://fly.io/docs/litefs/config/
"""

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class PrimaryInfo:
    """The primary, as other nodes reach it."""

    hostname: str
    """What `.primary` and `/info` show."""
    advertise_url: str
    """Base URL of its API, such as `http://10.0.0.1:20202`."""


@dataclass(frozen=True, slots=True)
class StaticLease:
    """The lease of one node, from its config. `hostname` falls back to the host of `advertise_url`.

    On the primary `advertise_url` is how others reach this node; on a replica it is the primary's.
    """

    candidate: bool
    hostname: str
    advertise_url: str

    type = "static"

    @property
    def is_primary(self) -> bool:
        """Whether this node is the primary."""
        return self.candidate

    def primary(self) -> PrimaryInfo:
        """The primary, this node or another."""
        url = self.advertise_url.rstrip("/")
        return PrimaryInfo(self.hostname or urlsplit(url).hostname or "", url)
