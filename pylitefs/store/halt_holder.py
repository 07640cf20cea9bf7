"""The HALT locks of this node, a replica: how they are taken, kept, and given back.

    take        ask the primary; be level with it; from then on clients may write here
    renew       before its time is over; LiteFS's primaries do not, so there it ends
    end         given back, lost, or refused: no write is a transaction any more; then tidy up

The rules: a lock is over here, by this node's clock, before it is over on the primary. One a database: who
wants it here as well waits for his turn. And after its end a replica is as before: no WAL with content, no
journal, the applier a client of its WAL.
"""

import errno
import logging
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import cached_property

from pylitefs.errors import BusyError, HaltError, PylitefsError, RemoteError
from pylitefs.store import replica_wal
from pylitefs.store.apply_again import apply_again
from pylitefs.store.database import Database
from pylitefs.store.files import file_size
from pylitefs.store.halted import HeldHalt, PrimaryCalls, UnreachableError, UnsureError
from pylitefs.store.names import FileKind
from pylitefs.store.status import lease_clock, watch_lease_time
from pylitefs.store.store import Store
from pylitefs.store.turns import Patience, Turns

log = logging.getLogger("pylitefs")

ACQUIRE_S = 10.0
MARGIN, MOST_MARGIN_S = 0.1, 0.5
"""The lock is over here before its time: by a tenth of it, and half a second at most."""
LOOK_S, MOST_LOOK_S = 0.001, 0.05
"""Who waits looks that often at first, and less and less often."""
AGAIN_S = 0.1
TIDY_S = 0.25
MOST_FRAMES = 200
"""A WAL may have so many, where each transaction takes the lock by itself."""


class _Interruptible(Patience):
    """The patience of a client that may be interrupted."""

    def __init__(self, seconds: float, interrupted: Callable[[], bool]) -> None:
        super().__init__("the HALT lock", seconds)
        self._interrupted = interrupted

    def blocked(self, database: str, why: str) -> None:
        if self._interrupted():
            raise InterruptedError(errno.EINTR, "interrupted")
        super().blocked(database, why)


class HaltHolder:
    """Those of one node. All calls may come from any thread."""

    def __init__(
        self, store: Store, calls: Callable[[], PrimaryCalls], *, acquire_timeout: float = ACQUIRE_S
    ) -> None:
        """`calls` makes what asks the primary, when that is wanted first."""
        self._make_calls = calls
        self._store = store
        self._timeout = acquire_timeout
        self._changed = threading.Condition()
        self._held: dict[str, HeldHalt] = {}
        self._turns: dict[str, Turns] = {}
        self._watching = False
        self._told: set[str] = set()
        """Databases with connections that cannot write with the lock: once is enough."""
        watch_lease_time(self._look)

    @cached_property
    def calls(self) -> PrimaryCalls:
        return self._make_calls()

    def held(self) -> dict[str, HeldHalt]:
        """Those that this node has now, by database."""
        with self._changed:
            return dict(self._held)

    # Taking it

    def take(
        self,
        database: Database,
        interrupted: Callable[[], bool] = lambda: False,
        seconds: float | None = None,
        *,
        quick: bool = False,
    ) -> HeldHalt | None:
        """Have the primary's lock, level with it; None on the primary, which needs none. `quick`: for one
        transaction, of which nothing is told, and after which no WAL is emptied.

        Raises HaltError, BusyError (not within the time), InterruptedError.
        """
        name = database.name
        patience = _Interruptible(self._timeout if seconds is None else seconds, interrupted)
        with self._changed:
            turns = self._turns.setdefault(name, Turns(name))
        with ExitStack() as undo:
            undo.enter_context(turns.held_for(patience))
            held = self._ask(database, patience)
            if held is None:
                return None
            held.quick = quick
            with self._changed:
                self._held[name] = held
            try:
                self._be_level(held, patience)
                self._store.applier.release(name)
                held.everything = undo.pop_all()  # Before it may end: its end lets the next one in.
                self._begin(held)
            except BaseException as error:
                self._give_up(held, str(error))
                self._let_next_in(held)
                raise
        self._trace("halt.acquire", held)
        may_tell = not quick and name not in self._told
        if may_tell and replica_wal.tell_of_readers(database.state, database.files):
            self._told.add(name)
        log.log(
            logging.DEBUG if quick else logging.INFO,
            "%s: this node has the HALT lock, at position %s",
            name,
            held.granted.pos,
        )
        return held

    def _ask(self, database: Database, patience: Patience) -> HeldHalt | None:
        status, name = self._store.status, database.name
        lock_id = secrets.randbits(63) or 1
        unsure: HeldHalt | None = None
        while True:
            if status.is_primary:
                return None
            if (url := status.primary_url) is None:
                why = "no primary is known"
            else:
                held = HeldHalt(self.calls, self.end, database, lock_id, url)
                self._trace("halt.request", held)
                try:
                    self._renew(held, patience.left + 1.0)
                    return held
                except UnsureError as error:
                    why = str(error)
                    unsure = unsure if isinstance(error, UnreachableError) else held
                except RemoteError as error:
                    if "lease expired" not in str(error):
                        raise HaltError(f"the primary refuses the HALT lock of {name}: {error}") from None
                    why = str(error)
            try:
                patience.blocked(name, why)
            except (BusyError, InterruptedError):
                if unsure is not None:  # The primary may have given it, and its answer was lost.
                    self._start(self._tell_primary, unsure)
                raise
            time.sleep(AGAIN_S)

    def _renew(self, held: HeldHalt, timeout: float) -> None:
        granted = self.calls.acquire(held.url, held.name, held.id, timeout)
        now = lease_clock()
        if granted.expires != held.granted.expires:
            life = max(0.0, granted.expires / 1e9 - self._store.status.primary_now_ms() / 1e3)
            held.deadline = now + life - min(MARGIN * life, MOST_MARGIN_S)
            held.renew_at = now + life / 3
        else:
            held.renew_at = held.deadline  # LiteFS does not renew.
        held.granted = granted

    def _be_level(self, held: HeldHalt, patience: Patience) -> None:
        """Wait until this node is where the primary is. It stays there: nobody writes."""
        state, wanted, pause = held.database.state, held.granted.pos, LOOK_S
        while (at := state.told) != wanted or state.applying:
            if at.txid > wanted.txid or (at.txid == wanted.txid and at != wanted):
                raise HaltError(f"{held.name} is at {at} here, and at {wanted} on the primary: try again")
            patience.blocked(held.name, f"this node is at {at}, and the primary at {wanted}")
            time.sleep(pause)
            pause = min(pause * 1.2, MOST_LOOK_S)

    def _begin(self, held: HeldHalt) -> None:
        """From now on clients may write."""
        state = held.database.state
        with state.lock:
            if held.over or self._store.status.primary_url != held.url:
                raise HaltError(f"the primary of {held.name} is gone: {held.over or 'disconnected'}")
            state.unwinding = False
            state.halt = held
        with self._changed:
            if self._watching:
                self._changed.notify_all()
            else:
                self._watching = True
                threading.Thread(target=self._run, name="halt-renewal", daemon=True).start()

    def _give_up(self, held: HeldHalt, why: str) -> None:
        """It was had, and is of no use."""
        held.over = held.over or why
        with self._changed:
            self._held.pop(held.name, None)
        self._tell_primary(held)

    # Its end

    def give_back(self, held: HeldHalt) -> None:
        """Who took it needs it no longer. Returns once the primary knows, if it can be told."""
        if self._end(held, "given back"):
            self._tell_primary(held)
            self._start(self._finish, held)

    def end(self, held: HeldHalt, why: str) -> None:
        """It is of no use any more. At once for who writes; what else there is to do is done in a thread."""
        if self._end(held, why):
            self._start(self._finish, held, tell=True)

    def end_all(self, why: str) -> None:
        """The primary is gone, or this node's role changes, or the node ends."""
        for held in self.held().values():
            self.end(held, why)

    def stop(self) -> None:
        """The node ends: give back what is held."""
        for held in self.held().values():
            self.give_back(held)

    def _end(self, held: HeldHalt, why: str) -> bool:
        state = held.database.state
        with state.lock:
            if held.over:
                return False
            held.over = why
            if state.halt is held:
                state.halt = None
                # Who is in the middle of a transaction may take it back, and cannot commit it.
                state.unwinding = held.database.rollback_watch.journal_live
        level = (logging.DEBUG if held.quick else logging.INFO) if why == "given back" else logging.WARNING
        log.log(level, "%s: this node's HALT lock is over: %s", held.name, why)
        self._trace("halt.release", held, why=why)
        return True

    def _start(self, what: Callable[..., None], *arguments: object, **more: object) -> None:
        """In a thread: it may wait for who reads, and who reads may wait for the caller."""
        name = f"halt-{what.__name__.strip('_')}"
        threading.Thread(target=what, args=arguments, kwargs=more, name=name, daemon=True).start()

    def _finish(self, held: HeldHalt, *, tell: bool = False) -> None:
        try:
            if tell:
                self._tell_primary(held)
            with suppress(PylitefsError, OSError):
                self._tidy(held.database, quick=held.quick)
        finally:
            with self._changed:
                if self._held.get(held.name) is held:
                    del self._held[held.name]
            self._let_next_in(held)

    def _let_next_in(self, held: HeldHalt) -> None:
        with self._changed:
            everything, held.everything = held.everything, ExitStack()
        everything.close()

    def _tell_primary(self, held: HeldHalt) -> None:
        for _ in range(3):
            try:
                self.calls.release(held.url, held.name, held.id)
                return
            except (PylitefsError, OSError) as error:
                log.debug("%s: the HALT lock is not given back: %s", held.name, error)
                if self._store.status.primary_url != held.url:
                    return  # It expires there.
                time.sleep(AGAIN_S)

    def _tidy(self, database: Database, *, quick: bool) -> None:
        """What a client has left: a WAL, which a replica has not, or a journal."""
        state, applier = database.state, self._store.applier
        applier.release(database.name)  # It knows sizes that are no longer so.
        if self._store.status.is_primary:
            return
        if file_size(state.path(FileKind.JOURNAL)):
            self._start(self._roll_back, database)
        if database.wal_watch.tracker.captured > (MOST_FRAMES if quick else 0):
            with suppress(BusyError):
                # It shows what its client did not come to show. Busy: then the next transaction does it.
                apply_again(self._store, database, "the end of a HALT lock", TIDY_S)
        if not self._store.status.is_primary:
            applier.hold(database.name)
        if self._store.status.is_primary:
            applier.release(database.name)  # It became so just now.

    def _roll_back(self, database: Database) -> None:
        """Have SQLite roll back what a client was in the middle of, once that lets go of it."""
        pause, state = 0.1, database.state
        while (
            state.halt is None
            and not state.node.status.is_primary
            and file_size(state.path(FileKind.JOURNAL))
        ):
            with suppress(PylitefsError, OSError):
                self._store.applier.rollback_hot_journal(database.name)
            time.sleep(pause)
            pause = min(pause * 1.5, 2.0)

    # Its time

    def _look(self) -> None:
        """Time has passed at once."""
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        """Renew what is held, as long as something is."""
        while True:
            with self._changed:
                if not self._held:
                    self._watching = False
                    return
                due = min(min(one.renew_at, one.deadline) for one in self._held.values())
                if (left := due - lease_clock()) > 0:
                    self._changed.wait(min(left, 1.0))  # A clock that goes on while the machine sleeps.
                    continue
            for held in self.held().values():
                self._look_after(held)

    def _look_after(self, held: HeldHalt) -> None:
        now = lease_clock()
        if not held.over and now >= held.deadline:
            self.end(held, "its time is over, and it was not renewed")
        elif not held.over and now >= held.renew_at:
            try:
                self._renew(held, max(0.5, held.deadline - now))
            except (PylitefsError, OSError) as error:
                log.warning("%s: the HALT lock is not renewed: %s", held.name, error)
                held.renew_at = min(held.deadline, now + 1.0)
            if held.over:  # The two requests may have crossed: what came late is a new lock to the primary.
                self._start(self._tell_primary, held)
        elif held.over:
            with self._changed:
                self._changed.wait(0.05)

    def _trace(self, what: str, held: HeldHalt, **more: object) -> None:
        tracer = self._store.tracer
        if tracer.active:
            tracer.emit(what, held.name, held.granted.pos.txid, id=held.id, primary=held.url, **more)
