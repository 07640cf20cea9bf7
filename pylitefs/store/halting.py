"""The HALT locks that this node, the primary, has given to replicas: one a database, for a while.

    acquire   a writer's lock of SQLite's is taken, so nobody writes here; the position is told
    take_in   a transaction of the holder's: stored, durable, applied, told to everybody
    release   or the lock's time is over, or this node's as the primary: SQLite's lock goes

The rules: nobody but the holder's transaction moves the position meanwhile, and it must continue it. A lock
does not end in the middle of a transaction. Who asks first comes first. Readers here notice nothing, but for
the moment of an apply. (LiteFS keeps them out, too.) The same id gets its lock again, and for its whole time:
so a holder renews it.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field

from pylitefs.errors import (
    ApplierError,
    BusyError,
    DatabaseNotFoundError,
    HaltError,
    LtxError,
    PositionMismatchError,
    ReadOnlyReplicaError,
    UntouchedError,
)
from pylitefs.ltx.header import HEADER_SIZE, Header
from pylitefs.ltx.position import Pos
from pylitefs.store.applying import HaltLock
from pylitefs.store.database import Database
from pylitefs.store.group_sync import sync_all
from pylitefs.store.incoming import Received, Stored, store_file, tell_applied
from pylitefs.store.status import lease_clock, watch_lease_time
from pylitefs.store.store import Store
from pylitefs.store.turns import Patience, Turns

log = logging.getLogger("pylitefs")

TTL_S = 30.0
ACQUIRE_S = 10.0
READERS_S = 8.0
"""A holder's transaction waits so long for the readers here. The holder waits for its answer for longer."""
AGAIN_S = 1.0
LOOK_S = 1.0


@dataclass(eq=False)
class Grant:
    """A HALT lock that a replica has. `expires` is wall-clock time, in nanoseconds since 1970."""

    name: str
    id: int
    node: str
    """The holder's node id, as it says; "" if it does not."""
    pos: Pos
    expires: int
    lock: HaltLock
    ends: float
    """The same on the lease's clock."""
    everything: ExitStack
    busy: threading.Lock = field(default_factory=threading.Lock)
    """Held while a transaction is taken in, and when the lock ends."""
    over: bool = False
    is_lost: bool = False
    """The applier has died, and SQLite's lock with it."""


class Halts:
    """Those of one node. All calls may come from any thread."""

    def __init__(self, store: Store, *, ttl: float = TTL_S, acquire_timeout: float = ACQUIRE_S) -> None:
        self._store = store
        self._ttl = ttl
        self.acquire_timeout = acquire_timeout
        self._changed = threading.Condition()
        self._held: dict[str, Grant] = {}
        self._turns: dict[str, Turns] = {}
        self._watching = False
        watch_lease_time(self._look)

    def held(self) -> dict[str, Grant]:
        """Those that replicas have now, by database."""
        with self._changed:
            return dict(self._held)

    # A replica asks

    def acquire(self, name: str, lock_id: int, patience: Patience, node: str = "") -> Grant:
        """Give a replica the lock, or, with the same id, its whole time anew. BusyError, ReadOnlyReplicaError
        (this is not the primary), InvalidNameError."""
        self._check_primary(name)
        database = self._store.create(name)
        if (grant := self._renew(name, lock_id)) is not None:
            return grant
        if not lock_id:
            raise HaltError("halt lock id required")
        with self._changed:
            turns = self._turns.setdefault(name, Turns(name))
        with ExitStack() as undo:
            undo.enter_context(turns.held_for(patience))
            lock = undo.enter_context(self._store.applier.halt_lock(name, patience.left))
            pos = self._stand_still(database)
            grant = Grant(name, lock_id, node, pos, 0, lock, 0.0, everything=undo.pop_all())
            self._extend(grant)
            with self._changed:
                self._held[name] = grant
                database.state.halted_by = node
                self._watch()
        # Whatever ended it before it was here has found nothing to end.
        if not patience.left or not self._store.status.is_primary:
            self._end(grant, "nobody wants it, or it is not this node's to give any more")
            self._check_primary(name)
            patience.blocked(name, "its writers")
        log.debug("%s: node %s has the HALT lock, at position %s", name, node or "without an id", pos)
        if self._store.tracer.active:
            self._trace("halt.acquire", grant)
            self._extend(grant)  # It counts from the answer, and who listens may have held it up.
        return grant

    def _renew(self, name: str, lock_id: int) -> Grant | None:
        with self._changed:
            grant = self._held.get(name)
            if grant is None or grant.id != lock_id or grant.over:
                return None
            self._extend(grant)
            return grant

    def _extend(self, grant: Grant) -> None:
        grant.expires = time.time_ns() + round(self._ttl * 1e9)
        grant.ends = lease_clock() + self._ttl

    def _check_primary(self, name: str) -> None:
        if not self._store.status.is_primary:
            raise ReadOnlyReplicaError(f"the HALT lock of {name} is the primary's to give, and this is none")

    def _stand_still(self, database: Database) -> Pos:
        """Nobody can write: what was written before is told. The position."""
        database.settle()
        state = database.state
        index = self._store.applier.wal_index(database.name) if state.pending is not None else b""
        with state.lock:
            if state.pending is not None:
                database.wal_watch.end_pending_by(index)  # Its writer is gone.
            if database.rollback_watch.unjournaled and not database.rollback_watch.journal_live:
                database.rollback_watch.capture()
            sync_all(state)
            return state.told

    def check_holder(self, name: str, lock_id: int) -> Grant:
        """The lock with this id. HaltError if it is somebody else's, or nobody's; ReadOnlyReplicaError."""
        self._check_primary(name)
        grant = self.held().get(name)
        if grant is None or grant.id != lock_id:
            raise HaltError(f"the HALT lock of {name} is not held by id {lock_id}: take it again")
        return grant

    def take_in(self, name: str, lock_id: int, chunks: Iterable[bytes]) -> Pos:
        """A transaction of the holder's becomes this node's newest; the position after it.

        HaltError if somebody else, or nobody, has the lock. LtxError and its kinds, PositionMismatchError,
        BusyError (readers here): then nothing has changed.
        """
        database = self._store.get(name)
        if database is None:
            raise DatabaseNotFoundError(f'database not found: "{name}"')
        grant = self.check_holder(name, lock_id)
        with grant.busy:
            if grant.over:
                raise HaltError(f"the HALT lock of {name} that id {lock_id} had is over: take it again")
            stored = self._take_in(database, grant, chunks)
        if grant.is_lost:
            self._end(grant, "the applier process ended, and its locks with it")
        pos = Pos(stored.header.max_txid, stored.trailer.post_apply_checksum)
        tracer = self._store.tracer
        if tracer.active:
            tracer.emit("halt.tx", name, pos.txid, peer=grant.node, size=stored.size, checksum=pos.checksum)
        return pos

    def _take_in(self, database: Database, grant: Grant, chunks: Iterable[bytes]) -> Stored:
        state = database.state
        with state.apply_lock.held_for(Patience("a replica's transaction", READERS_S)):
            with state.lock:
                if state.unsettled:
                    raise HaltError(
                        f"somebody has written {database.name} here meanwhile: take the lock again"
                    )
                # SQLite's lock may be lost, with the applier: from here on nobody commits the same TXID here.
                state.applying = state.pos.txid + 1
            try:
                stored = store_file(database, _continuing(state.told, chunks), fresh=False)
                if isinstance(stored, Received):
                    raise LtxError(f"{stored.header.filename} carries this node's own id")
                self._apply(database, grant, stored)
            finally:
                state.applying = 0
            tell_applied(database, stored)
        return stored

    def _apply(self, database: Database, grant: Grant, stored: Stored) -> None:
        state = database.state
        try:
            with state.lock:
                state.check_commit()
            known = database.wal_watch.known
            grant.lock.apply(stored.path, timeout=READERS_S, verified=True, known=known)
        except (BusyError, UntouchedError, OSError):
            state.ltx.remove(stored.header.min_txid, stored.header.max_txid)
            raise
        except ApplierError as error:
            log.error("%s: %s; a replica's transaction is durable, and is finished", database.name, error)
            grant.is_lost = True
            self._finish(database, stored)

    def _finish(self, database: Database, stored: Stored) -> None:
        """The applier died over it: its successor writes it whole. If the node ends first, its start does."""
        while True:
            try:
                known = database.wal_watch.known
                self._store.applier.apply(database.name, stored.path, verified=True, known=known)
                break
            except (ApplierError, OSError):
                time.sleep(AGAIN_S)
        self._store.applier.release(database.name)

    # The end

    def release(self, name: str, lock_id: int) -> bool:
        """The holder gives the lock back; False if it has none."""
        grant = self.held().get(name)
        if grant is None or grant.id != lock_id:
            return False
        return self._end(grant, "given back")

    def end_all(self, why: str) -> None:
        """This node is to be the primary no longer."""
        for grant in self.held().values():
            self._end(grant, why)

    def _end(self, grant: Grant, why: str, *, unless: Callable[[], bool] = lambda: False) -> bool:
        with grant.busy:
            with self._changed:
                if grant.over or unless():
                    return False
                grant.over = True
                self._held.pop(grant.name, None)
                if (database := self._store.get(grant.name)) is not None:
                    database.state.halted_by = None
                self._changed.notify_all()
            with contextlib.suppress(ApplierError, OSError):  # Whose process has gone: so have the locks.
                grant.everything.close()
        level = logging.DEBUG if why == "given back" else logging.WARNING
        log.log(level, "%s: the HALT lock of node %s is over: %s", grant.name, grant.node or "?", why)
        self._trace("halt.release", grant, why=why)
        return True

    def _watch(self) -> None:
        """`_changed` is held."""
        if self._watching:
            self._changed.notify_all()
            return
        self._watching = True
        threading.Thread(target=self._run, name="halt-expiry", daemon=True).start()

    def _look(self) -> None:
        """Time has passed at once."""
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        """End what has expired, as long as there is a lock."""
        while True:
            with self._changed:
                if not self._held:
                    self._watching = False
                    return
                first = min(self._held.values(), key=lambda one: one.ends)
                left = first.ends - lease_clock()
                if left > 0:
                    self._changed.wait(min(left, LOOK_S))  # That clock goes on while the machine sleeps.
                    continue
            now = lease_clock()
            why = f"it expired after {self._ttl:g} s"
            self._end(first, why, unless=lambda grant=first, now=now: grant.ends > now)  # type: ignore[misc]

    def _trace(self, what: str, grant: Grant, **more: object) -> None:
        tracer = self._store.tracer
        if tracer.active:
            tracer.emit(what, grant.name, grant.pos.txid, peer=grant.node, id=grant.id, **more)


def _continuing(pos: Pos, chunks: Iterable[bytes]) -> Iterable[bytes]:
    """The same bytes, once their head says that they continue this position. The texts are LiteFS's."""
    feed = iter(chunks)
    head = b""
    while len(head) < HEADER_SIZE:
        chunk = next(feed, b"")
        if not chunk:
            raise LtxError(f"read ltx header: n={len(head)} {'unexpected ' if head else ''}EOF")
        head += chunk
    header = Header.unpack(head[:HEADER_SIZE])
    if header.min_txid != pos.txid + 1:
        raise PositionMismatchError(
            f"non-sequential header minimum txid {header.min_txid:016x}, expecting {pos.txid + 1:016x}"
        )
    if pos.txid and header.pre_apply_checksum != pos.checksum:
        raise PositionMismatchError(
            f"pre-apply checksum mismatch: {header.pre_apply_checksum:016x}, expecting {pos.checksum:016x}"
        )
    yield head
    yield from feed
