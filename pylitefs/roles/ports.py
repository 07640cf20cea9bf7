"""What the roles' thread needs of the rest of the node, in its own words, and what it can be asked.

The rule: it knows neither HTTP nor a socket; node.py hands in the real ones.
"""

import threading
from dataclasses import dataclass, field
from typing import Protocol

from pylitefs.lease.base import PrimaryInfo
from pylitefs.replication.followed import StreamRequest


class Stream(Protocol):
    """A replica's stream: `PrimaryStream`."""

    @property
    def request(self) -> StreamRequest: ...
    def hand_over(self, lease_id: str, timeout: float) -> bool: ...


class Streams(Protocol):
    """The streams that this node serves: `Api`."""

    def stream_of(self, node_id: str) -> Stream | None: ...
    def streams(self) -> tuple[Stream, ...]: ...
    def is_drained(self) -> bool: ...
    def demoted(self) -> None: ...
    def primary_changed(self) -> None: ...


class Follower(Protocol):
    """What follows a primary: `Replica`."""

    handed: str
    caught_up: bool

    @property
    def is_level(self) -> bool: ...
    def follow(self, primary: PrimaryInfo) -> str | None: ...
    def rest(self, reason: str) -> float: ...


class NoStreams:
    """Before the start."""

    def stream_of(self, node_id: str) -> Stream | None:
        return None

    def streams(self) -> tuple[Stream, ...]:
        return ()

    def is_drained(self) -> bool:
        return True

    def demoted(self) -> None: ...

    def primary_changed(self) -> None: ...


@dataclass(frozen=True)
class Handoff:
    """The lease is to go to a replica; `taken` once that is begun."""

    node_id: str
    taken: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Wake:
    """To `demote` the node, to `stop`, or to `look` at the clock."""

    what: str
