"""Where a replica is, as its stream knows it, and which LTX files it still needs.

The rule: a replica says where it is when it connects, and from then on it has what was sent to it. A
connection takes no more than its buffers hold (http/back_pressure.py), so of a replica that reads slowly the
rest waits here, unsent. What lies in buffers on the way counts as sent, the kernels' too. A replica that
loses it asks for it when it connects again. What it has taken is told by its window (taken.py): a burst of
writes goes by that, and nothing else does.
"""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from pylitefs.ltx.position import Pos
from pylitefs.replication.taken import Taken
from pylitefs.store.store import Store

Send = Callable[[bytes], Awaitable[None]]
"""Writes bytes to the replica; waits while the connection takes no more."""
CountFrame = Callable[[str, str], None]
"""Called with database and frame type (`ltx`, `ltx:snapshot`, ...) for each frame sent."""


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """What a replica asked for: where it is, and which databases it wants (None: all of them)."""

    node_id: str
    positions: Mapping[str, Pos]
    databases: frozenset[str] | None = None
    url: str = ""
    """Where the replica's own API is, if it may become primary and says so."""

    def wants(self, name: str) -> bool:
        return self.databases is None or name in self.databases


class Followed:
    """One connected replica: the store's `Follower`. Changed by its stream, asked in any thread."""

    def __init__(self, request: StreamRequest) -> None:
        self._request = request
        self.peer = request.node_id
        self.positions: dict[str, Pos] = dict(request.positions)
        """Where the replica will be once it has what was sent."""
        self._taken = Taken()
        self._older: frozenset[str] = frozenset()
        self._first: dict[str, int] = {}
        """What was there when it connected and was not sent yet: databases, with their TXIDs of then."""
        self._whole: dict[str, int] = {}
        self._before: Mapping[str, Pos] = dict(request.positions)
        self._since: tuple[float, Mapping[str, Pos]] = (time.monotonic(), self._before)
        """The positions of a moment; those before it are `_before`."""

    def begins(self, positions: Mapping[str, Pos]) -> None:
        """The stream begins, with the primary here: what comes before these positions it has not seen."""
        self._older = frozenset(positions)
        wanted = ((name, pos) for name, pos in positions.items() if self._request.wants(name))
        self._first = {name: pos.txid for name, pos in wanted if self.positions.get(name, Pos()) != pos}

    def sent(self, name: str, pos: Pos, end: int) -> None:
        """What makes up this position of a database ends `end` bytes into the stream."""
        self.positions[name] = pos
        self._taken.sent(end, name, pos.txid)
        if pos.txid >= self._first.get(name, 0):
            self.level(name)

    def level(self, name: str) -> None:
        """There is nothing of a database that it lacks."""
        self._first.pop(name, None)

    @property
    def has_first(self) -> bool:
        """Whether it was sent all that there was when it connected."""
        return not self._first

    def given_back(self, size: int, store: Store) -> None:
        """The replica has taken so many bytes of its stream."""
        for name, txid in self._taken.given_back(size).items():
            if database := store.get(name):
                store.pace.taken(self, name, txid, database.pos.txid)

    def has(self, positions: Mapping[str, Pos]) -> bool:
        """Whether the replica is at these positions, once it has what was sent."""
        wanted = ((name, pos) for name, pos in positions.items() if self._request.wants(name))
        return all(self.positions.get(name) == pos for name, pos in wanted)

    def saw_birth(self, name: str) -> bool:
        return name not in self._older

    @contextmanager
    def gets_snapshot(self, name: str, txid: int) -> Iterator[None]:
        """A snapshot is made, and then goes out, that has this TXID or a later one."""
        self._whole[name] = txid
        try:
            yield
        finally:
            self._whole.pop(name, None)

    def has_up_to(self, name: str) -> int | None:
        """The replica needs the LTX files after this TXID; None: none, or it waits for a snapshot."""
        if not self._request.wants(name):
            return None
        return self._whole.get(name) or self._txid(name, self.positions)

    def had_up_to(self, name: str, seconds: float) -> int | None:
        """The same so many seconds ago, or longer: what was sent since may be on its way, or lost there."""
        now = time.monotonic()
        if now - self._since[0] >= seconds:
            self._before, self._since = self._since[1], (now, dict(self.positions))
        return self._txid(name, self._before) if self._request.wants(name) else None

    def _txid(self, name: str, positions: Mapping[str, Pos]) -> int | None:
        txid = positions.get(name, Pos()).txid
        return txid if txid or self.saw_birth(name) else None
