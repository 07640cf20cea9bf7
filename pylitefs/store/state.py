"""What a node knows of one database: where its files are, its position, its rolling checksum.

The rules: `advance` is the only place that moves a position, and others hear of it once the LTX file, and all
before it, are durable. `lock` guards everything here but what a group of syncs needs (group_sync.py). A
thread that waits for SQLite's locks must not hold it. And who makes a transaction of this node's asks last of
all whether the node still may (`check_commit`).
"""

import errno
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from pylitefs.ltx.header import Header
from pylitefs.ltx.position import Pos
from pylitefs.sqlite.wal import FRAME_HEADER_SIZE, WAL_HEADER_SIZE
from pylitefs.store.checksums import Changes, PageChecksums
from pylitefs.store.covered import Covered
from pylitefs.store.descriptors import Descriptors
from pylitefs.store.disk_state import DiskState, refusal
from pylitefs.store.ltx_files import LtxCache, LtxFiles
from pylitefs.store.names import FileKind
from pylitefs.store.pace import Pace
from pylitefs.store.status import Status
from pylitefs.store.terms import Terms
from pylitefs.store.turns import Turns
from pylitefs.trace import Tracer

Subscriber = Callable[[str, Pos, Header | None], None]
"""Called after a position moved: database, new position, the LTX header (None where there is no file)."""


@dataclass(frozen=True, slots=True)
class Captured:
    """A transaction whose LTX file is written, and whose position is not told yet."""

    header: Header
    pos: Pos
    sums: PageChecksums
    changes: Changes | dict[int, int]
    content: bytes | None
    """The LTX file, if it is short."""
    fd: int = -1
    """Of the LTX file, while it is not synced."""

    @property
    def salts(self) -> tuple[int, int]:
        """Of the WAL in which it lies."""
        return self.header.wal_salt1, self.header.wal_salt2

    @property
    def last_frame(self) -> int:
        """Its commit frame in that WAL; frames count from 1."""
        end = self.header.wal_offset + self.header.wal_size
        return (end - WAL_HEADER_SIZE) // (FRAME_HEADER_SIZE + self.header.page_size)

    def sum_of(self, pgno: int) -> int | None:
        """The checksum of a page that it changes."""
        changes = self.changes if isinstance(self.changes, dict) else dict(self.changes.items())
        return changes.get(pgno)


class Late(NamedTuple):
    """An LTX file that is written and not synced."""

    txid: int
    fd: int


class Halt(Protocol):
    """The primary's HALT lock, held by this node (halted.py)."""

    @property
    def is_live(self) -> bool:
        """Whether a transaction may be made with it."""

    def forward(self, header: Header, ltx: Path) -> None:
        """Send a transaction to the primary. OSError, and the lock is over, if it does not have it then."""

    def fail(self, why: str) -> None:
        """The primary has a transaction that this node cannot keep: the lock ends, the stream brings it."""

    def arrives(self, header: Header) -> None:
        """An LTX file comes over the stream; without the state's lock."""


class Publisher(Protocol):
    """Tells a transaction of WAL mode once SQLite's readers see it (publisher.py)."""

    def in_burst(self, state: "DatabaseState") -> bool:
        """Whether a commit that comes now is one of a burst, whose writers sync nothing."""

    def has_room(self, state: "DatabaseState") -> bool:
        """Whether one more LTX file of this database may be synced later."""

    def written(self, state: "DatabaseState") -> None:
        """`state.unsynced` has grown."""

    def captured(self, state: "DatabaseState") -> None:
        """`state.pending` is new; the state's lock is held."""

    def synced(self, state: "DatabaseState") -> None:
        """SQLite has had the WAL synced, and publishes its commit next."""

    def settle(self, state: "DatabaseState") -> None:
        """Tell what SQLite's readers see by now; without the state's lock."""


@dataclass
class NodeFacts:
    """What every database needs to know of its node."""

    node_id: int
    compress: bool
    tracer: Tracer
    status: Status
    publish: Subscriber
    refuse: Callable[[str, str, str, str], None]
    """refuse(database, what, why, remedy): one log line and a `fault.refused` tracepoint."""
    disk: DiskState
    terms: Terms = field(default_factory=Terms)
    """When this node was the primary."""
    ending: threading.Event = field(default_factory=threading.Event)
    """The store is being closed: who waits for something else gives up."""
    publisher: Publisher | None = None
    """None where nobody reads but through the store: what is captured is told at once."""
    pace: Pace = field(default_factory=Pace)
    descriptors: Descriptors = field(default_factory=Descriptors)
    ltx_cache: LtxCache = field(default_factory=LtxCache)


@dataclass(eq=False)
class DatabaseState:
    """One database's state. `pos` is (0, 0) before the first transaction."""

    name: str
    directory: Path
    node: NodeFacts
    lock: threading.RLock = field(default_factory=threading.RLock)
    apply_lock: Turns = field(init=False)
    """Held from before the applier writes until the position has moved: outside it, bytes and position agree.
    Taken before SQLite's locks, which come before `lock`."""
    pos: Pos = field(default_factory=Pos)
    page_size: int = 0
    """0 until the first transaction."""
    timestamp_ms: int = 0
    """When the newest transaction that was told was made; 0 if there is none."""
    sums: PageChecksums = field(default_factory=PageChecksums)
    """Of the database at `pos`."""
    pending: Captured | None = None
    """The newest transaction, while SQLite's readers may not see it yet; never more than one."""
    unsynced: deque[Late] = field(default_factory=deque)
    """LTX files that are written and not synced, in the order of their TXIDs."""
    outruns: bool = False
    """A replica falls behind in a burst: the next write waits for it a little (pace.py)."""
    sync_lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while LTX files of `unsynced` are synced. Taken after `lock`, if that is taken."""
    sync_failure: OSError | None = None
    """Why a sync of them failed: from then on no transaction is taken."""
    reaped: bool = False
    """What LTX files held that are gone may be in the WAL alone: the database file was not synced since."""
    covered: Covered = field(default_factory=Covered)
    """On a replica: which pages the LTX files that are kept bring back."""
    index_generation: int = 0
    """Counts the `-shm` files that this database has had."""
    applying: int = 0
    """The TXID of the LTX file that the applier writes; 0 where it writes none."""
    high_water_mark: int = 0
    """The backup holds all up to this TXID, as far as is known; 0 without a backup."""
    follows: bool = False
    """This node was the primary and is none any more: what a client writes here is no transaction."""
    settling: bool = False
    """Except what it had written by then (role_change.py)."""
    halt: "Halt | None" = None
    """The HALT lock that this node, a replica, has of its primary: clients may write (halted.py)."""
    halted_by: str | None = None
    """On the primary: the id of the node that has the HALT lock, "" if it does not say (halting.py)."""
    unwinding: bool = False
    """It ended in the middle of a client's transaction, which may be taken back: until its journal ends."""
    counts: dict[str, int] = field(default_factory=dict)
    """Writes by kind of file and commits, for the metrics."""

    def __post_init__(self) -> None:
        self.apply_lock = Turns(self.name)
        self.ltx = LtxFiles(self.directory / "ltx", self.node.ltx_cache)
        self._untold: deque[tuple[Header, Pos]] = deque()
        self._told: Pos | None = None
        self._tell_lock = threading.Lock()
        self._paths = {kind: self.directory / kind.value for kind in FileKind}
        self._fds: dict[FileKind, int] = {}
        self.used = False
        """For `Descriptors`: whether one was used lately."""

    def path(self, kind: FileKind) -> Path:
        """Where a file of this database lies in the data directory."""
        return self._paths[kind]

    def count(self, what: str, by: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + by

    def fd(self, kind: FileKind) -> int:
        """A descriptor of the node's own on a data file, for as long as the lock is held, no longer: an idle
        database has none. FileNotFoundError if there is no file."""
        fd = self._fds.get(kind)
        if fd is None:
            fd = self._fds[kind] = self.node.descriptors.open(self, self._paths[kind])
        self.used = True
        return fd

    def forget_fd(self, kind: FileKind) -> None:
        """The file under the name was removed or replaced."""
        fd = self._fds.pop(kind, None)
        if fd is not None:
            os.close(fd)
        if not self._fds:
            self.node.descriptors.forget(self)

    def close(self) -> None:
        """Close its descriptors; the next use opens them again."""
        for kind in list(self._fds):
            self.forget_fd(kind)

    def read_at(self, kind: FileKind) -> Callable[[int, int], bytes]:
        """`read_at(offset, size)` on a data file, as the formats of `pylitefs.sqlite` want it."""
        fd = self.fd(kind)
        return lambda offset, size: os.pread(fd, size, offset)

    @property
    def told(self) -> Pos:
        """The position that others may hear of: `pos`, unless LTX files up to there are not synced yet."""
        pos = self.pos  # Before the other: `advance` writes them the other way round.
        return self._told or pos

    @property
    def unsettled(self) -> bool:
        """Whether a position is about to be told: `pending` or `unsynced`, or just synced."""
        return self.pending is not None or self.waits_for_sync

    @property
    def waits_for_sync(self) -> bool:
        """Whether LTX files are not synced, or are and others are just being told."""
        return bool(self.unsynced) or self._told is not None

    def synced(self, count: int) -> None:
        """The first `count` of `unsynced` are durable, and what they held up is told; `sync_lock` is held."""
        with self._tell_lock:
            for _ in range(count):
                self.unsynced.popleft()
            while self._untold and not self._is_late(self._untold[0][1]):
                header, pos = self._untold.popleft()
                self._told = pos if self._untold else None
                self._tell(header, pos)

    def _is_late(self, pos: Pos) -> bool:
        return bool(self.unsynced) and self.unsynced[0].txid <= pos.txid

    def may_write(self) -> bool:
        """Whether a client's write counts here; while the lease changes hands, once that has come to its end.

        A transaction that began before it is let through to its own end.
        """
        status = self.node.status
        if (not self.follows and status.has_lease) or self.unwinding or self.is_halted:
            return True
        status.wait_for_change()
        return not self.follows and status.has_lease

    @property
    def is_halted(self) -> bool:
        """Whether this node, a replica, may write this database now."""
        return self.halt is not None and self.halt.is_live

    @property
    def is_shut(self) -> bool:
        """Whether what a client writes is no transaction, since this node was the primary."""
        return self.follows and not self.unwinding and not self.is_halted

    def check_commit(self) -> None:
        """Raise OSError where this node may make no transaction any more. The lock is held."""
        if self.is_halted:
            return
        if (self.follows or not self.node.status.has_lease) and not self.settling:
            why = "this node is the primary no longer"
            remedy = "write on the new primary; .primary names it"
            if self.halt is not None or self.unwinding:
                why, remedy = "this node's HALT lock is over", "take it again and repeat the transaction"
            self.node.refuse(self.name, "a commit", why, remedy)
            raise refusal(errno.EROFS, why)

    def advance(self, header: Header, pos: Pos) -> None:
        """Move the position. The LTX file of `header` is written and listed; the lock is held. Others hear of
        it once it is durable."""
        with self._tell_lock:
            late = bool(self._untold) or self._is_late(pos)
            if late:
                self._untold.append((header, pos))
                self._told = self.told
            self.pos = pos
        self.page_size = header.page_size
        tracer = self.node.tracer
        if tracer.active:
            tracer.emit("pos.advance", self.name, pos.txid, checksum=pos.checksum, pages=header.commit)
        if not late:
            self._tell(header, pos)

    def _tell(self, header: Header, pos: Pos) -> None:
        """Let others hear of it: its LTX file is durable."""
        self.timestamp_ms = header.timestamp_ms
        self.count("commit")
        if self.node.disk.code:
            self.node.disk.works()
        self.node.publish(self.name, pos, header)


@contextmanager
def settling(state: DatabaseState) -> Iterator[None]:
    """What is captured meanwhile was written while this node was the primary. The lock is held."""
    before, state.settling = state.settling, True
    try:
        yield
    finally:
        state.settling = before
