"""How far replicas are behind, as their primary sees it; and the log lines about it.

    LOOK_S --> which streams have something to send? --> in a thread: what of each database --> StreamLog

The rules: who has nothing to send costs nothing. Neither a commit nor a stream pays for a figure: it is
computed when somebody asks. A replica that is far behind is one line, and one when it has caught up; what
is over before the next look is none. "Far": more than TXIDS transactions, or an oldest one of SECONDS.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pylitefs.ltx.position import Pos
from pylitefs.replication.followed import Followed
from pylitefs.replication.stream_log import StreamLog
from pylitefs.replication.threads import in_thread
from pylitefs.store.database import Database
from pylitefs.store.status import now_ms
from pylitefs.store.store import Store

LOOK_S = 1.0
TXIDS = 1000
SECONDS = 10.0
NEAR = 0.1
"""A replica has caught up once it is behind by no more than this share of TXIDS and SECONDS."""


@dataclass(frozen=True, slots=True)
class Behind:
    """What a replica lacks of one database."""

    transactions: int
    size: int
    """Bytes of their LTX files; the database's, where it gets a snapshot."""
    seconds: float
    """Since the oldest of them was made, as far as its file is kept; else since the newest was."""
    snapshot: bool = False


class Stream(Protocol):
    """A stream to a replica: `PrimaryStream`."""

    @property
    def followed(self) -> Followed: ...
    def lacking(self) -> list[str]: ...


def measure(database: Database, replica: Pos, now: int) -> Behind | None:
    """What a replica at this position lacks; None: nothing. `now` is in milliseconds."""
    primary = database.pos
    if primary.txid == 0 or replica == primary:
        return None
    first = database.ltx_next(replica.txid) if replica.txid < primary.txid else None
    header = database.ltx_header(*first) if first is not None else None
    if header is None:
        size = database.page_count * database.page_size
        age = max(now - database.timestamp_ms, 0) / 1000
        return Behind(max(primary.txid - replica.txid, 0), size, age, snapshot=True)
    ltx = database.state.ltx
    size = sum(ltx.size(*span) for span in database.ltx_files() if span[0] > replica.txid)
    return Behind(primary.txid - replica.txid, size, max(now - header.timestamp_ms, 0) / 1000)


def of_stream(store: Store, stream: Stream) -> dict[str, Behind]:
    """What the replica lacks, by database; it may look at the disk."""
    now, found = now_ms(), {}
    for name in sorted(stream.lacking()):
        database = store.get(name)
        behind = (
            measure(database, stream.followed.positions.get(name, Pos()), now)
            if database is not None
            else None
        )
        if behind is not None:
            found[name] = behind
    return found


def of_streams(store: Store, streams: Iterable[Stream]) -> dict[str, dict[str, Behind]]:
    """The same by replica. One that connected anew while its old stream stands has the better of both."""
    found: dict[str, dict[str, Behind]] = {}
    for stream in streams:
        behind = of_stream(store, stream)
        known = found.get(peer := stream.followed.peer)
        if known is None or most(behind) < most(known):
            found[peer] = behind
    return found


def most(behind: Mapping[str, Behind]) -> tuple[int, float]:
    """Transactions of all databases, and the longest wait."""
    values = behind.values()
    return sum(one.transactions for one in values), max((one.seconds for one in values), default=0.0)


class BehindWatch:
    """Looks at a node's streams. To be called in the server's event loop."""

    def __init__(self, store: Store, told: StreamLog) -> None:
        self._store = store
        self._told = told
        self._streams: dict[Stream, int] = {}
        """Each stream, and in how many looks in a row it was far behind; once told, -1."""
        self._looking: asyncio.Task[None] | None = None

    def follow(self, stream: Stream) -> Callable[[], None]:
        """Look at a stream until what this gives is called."""
        self._streams[stream] = -1 if self._told.is_behind(stream.followed.peer) else 0
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(self._run())

        def leave() -> None:
            self._streams.pop(stream, None)
            if not self._streams and self._looking is not None:
                self._looking.cancel()
                self._looking = None

        return leave

    async def _run(self) -> None:
        while self._streams:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Compare each stream with the bounds, and tell what has changed."""
        late = [stream for stream in self._streams if stream.lacking()]
        found: dict[Stream, dict[str, Behind]] = {}
        if late:
            found = await in_thread(lambda: {stream: of_stream(self._store, stream) for stream in late})
        for stream, looks in list(self._streams.items()):
            self._streams[stream] = self._judge(stream.followed.peer, looks, found.get(stream, {}))

    def _judge(self, peer: str, looks: int, behind: Mapping[str, Behind]) -> int:
        transactions, seconds = most(behind)
        if looks < 0:
            if transactions > TXIDS * NEAR or seconds > SECONDS * NEAR:
                return looks
            self._told.caught_up(peer)
            return 0
        if transactions <= TXIDS and seconds <= SECONDS:
            return 0
        if looks == 0:
            return 1
        name = max(behind, key=lambda name: behind[name].transactions)
        size = sum(one.size for one in behind.values())
        more = f" and of {len(behind) - 1} more" if behind.keys() - {name} else ""
        self._told.behind(
            peer,
            f"{transactions} transactions ({size} bytes) of {name}{more} wait to be sent, the oldest is "
            f"{seconds:.0f} s old",
        )
        return -1
