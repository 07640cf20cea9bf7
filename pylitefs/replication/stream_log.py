"""What the primary's log says of its replicas' streams.

The rule: one line for each change of a replica's state, not for each try. A replica that cannot keep what
it is sent (its disk is full) connects again and again: after the second stream that ended at once there is
one line that says so, then none until a stream of that replica lasts.
"""

import asyncio
import logging
import math
import time
from dataclasses import dataclass

SHORT_S = 3.0
"""A stream that ends within so many seconds was no more than a try."""
AGAIN_S = 60.0
"""A replica that falls behind and catches up again and again is told of once in so many seconds."""
MOST_PEERS = 1000
"""Replicas that are remembered: one that starts anew has another id."""

log = logging.getLogger("pylitefs")


@dataclass
class _Peer:
    lasting: asyncio.TimerHandle | None = None
    """Set while its newest stream is younger than SHORT_S."""
    tries: int = 0
    """Streams in a row that ended at once."""
    told_behind: float = -math.inf
    """When a line last said that it is behind."""
    is_behind: bool = False
    """And none since that it has caught up."""


class StreamLog:
    """The lines about all streams of one node. To be called in the server's event loop."""

    def __init__(self) -> None:
        self._peers: dict[str, _Peer] = {}

    def _tell(self, peer: str, text: str, *values: str) -> None:
        """An ordinary line; of a replica that only tries, at DEBUG."""
        found = self._peers.get(peer)
        log.log(logging.DEBUG if found is not None and found.tries > 1 else logging.INFO, text, *values)

    def begins(self, peer: str) -> None:
        if peer not in self._peers and len(self._peers) >= MOST_PEERS:
            del self._peers[next(iter(self._peers))]
        found = self._peers.setdefault(peer, _Peer())
        if found.lasting is not None:
            found.lasting.cancel()
        found.lasting = asyncio.get_running_loop().call_later(SHORT_S, self._lasts, peer, found)
        self._tell(peer, "stream to replica %s begins", peer)

    def snapshot(self, peer: str, database: str, reason: str) -> None:
        self._tell(peer, "replica %s gets a snapshot of %s: %s", peer, database, reason)

    def behind(self, peer: str, what: str) -> None:
        """A replica is far behind; `what` says by how much."""
        found = self._peers.get(peer, _Peer())
        now = time.monotonic()
        is_news = not found.is_behind and now - found.told_behind >= AGAIN_S
        if is_news:
            found.told_behind, found.is_behind = now, True
        log.log(
            logging.WARNING if is_news else logging.DEBUG,
            "replica %s is behind: %s; it, or the network, takes them more slowly than they are made",
            peer,
            what,
        )

    def is_behind(self, peer: str) -> bool:
        """Whether a line said so, and none since that it has caught up: on an earlier stream, perhaps."""
        return self._peers.get(peer, _Peer()).is_behind

    def caught_up(self, peer: str) -> None:
        """One that was far behind is not any more."""
        found = self._peers.get(peer, _Peer())
        log.log(logging.INFO if found.is_behind else logging.DEBUG, "replica %s has caught up", peer)
        found.is_behind = False

    def _lasts(self, peer: str, found: _Peer) -> None:
        """A stream has lasted for SHORT_S seconds."""
        found.lasting = None
        if found.tries > 1:
            log.info("stream to replica %s lasts now, after %d that ended at once", peer, found.tries)
        found.tries = 0

    def ended(self, peer: str, reason: str) -> None:
        self._tell(peer, "stream to replica %s ended: %s", peer, reason)
        found = self._peers.get(peer)
        if found is None or found.lasting is None:
            return
        found.lasting.cancel()
        found.lasting = None
        found.tries += 1
        if found.tries == 2:
            log.warning(
                "replica %s connects again and again, and leaves at once: its own log says why. "
                "Its streams are not told any more until one lasts",
                peer,
            )
