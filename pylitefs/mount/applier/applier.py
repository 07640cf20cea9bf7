"""The node's side of the applier: start it, ask it, start it again when it died.

The applier changes a mounted database from outside, as SQLite does, in a process of its own (`process.py`).
This module is what the rest of the node sees of it. The rules: the process is started before the mount, so
that it holds nothing of `/dev/fuse`. If it dies in the middle of a transaction, the next one gets that
transaction at once.

    with applier.write_lock("a.db") as lock:     # nobody reads or writes
        lock.apply(path)
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from pylitefs.errors import ApplierError, PylitefsError
from pylitefs.limits import most_databases
from pylitefs.ltx.short import ShortTransaction
from pylitefs.mount.applier.child import CallChannel, Child, Died
from pylitefs.mount.applier.halted import HaltedDatabase
from pylitefs.mount.applier.messages import Message, apply_request, encode_pages
from pylitefs.mount.applier.write_lock import WriteLock, held_call
from pylitefs.store.applying import LOCK_S, KnownWal
from pylitefs.trace import Tracer

log = logging.getLogger("pylitefs")

SHORT_LIFE_S = 0.5
ROLLBACK_S = 5.0
"""SQLite waits so long for the locks it needs to roll a hot journal back."""
ATTEMPTS = 4
"""So often a call is made of a new applier before it is given up: each one died of it."""


class Applier:
    """Changes and locks mounted databases on the node's behalf. Every call blocks; any thread may call.

    Errors: ApplierError (the process or the mount failed), BusyError (the locks could not be had in time; the
    text says who holds them), LtxError and its kinds.
    """

    def __init__(self, *, tracer: Tracer, holders: Callable[[str], str] | None = None) -> None:
        """`holders` tells who has a database locked, where the kernel's list of locks does not."""
        self._tracer = tracer
        self._holders = holders
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._mount_dir: str | None = None
        self._stopping = False
        self._applying: dict[str, int] = {}
        self._followed: dict[str, None] = {}
        """The databases that a replica follows, those that changed last at the end."""

    # Life.

    def start(self) -> None:
        """Start the process. To be called before the mount is made."""
        with self._lock:
            self._stopping = False
            self._start_child()

    @property
    def observes_locks(self) -> bool:
        return self._holders is not None

    def attach(self, mount_dir: Path) -> None:
        """Tell it the mount's directory, once the mount is there. ApplierError if it cannot be opened."""
        with self._lock:
            self._mount_dir = str(mount_dir)
            child = self._child
        if child is None:
            raise ApplierError("the applier is not started: call start() before the mount is made")
        with suppress(Died):  # Its successor is told by whoever starts it.
            child.attach(str(mount_dir))

    def stop(self) -> None:
        """End the process, and every call under way with ApplierError. What is being written is finished."""
        with self._lock:
            self._stopping = True
            child, self._child = self._child, None
        if child is not None:
            child.end()

    @property
    def pid(self) -> int:
        """The process, 0 if there is none."""
        child = self._child
        return child.process.pid if child is not None else 0

    def is_applier_thread(self, tid: int) -> bool:
        """Whether a thread (as FUSE names its caller) is the applier's: each one told its id at its start."""
        child = self._child
        return child is not None and tid in child.tids

    def _start_child(self) -> Child:
        child = self._child = Child(self._holders)
        threading.Thread(target=self._watch, args=(child,), name="applier-watch", daemon=True).start()
        return child

    def _watch(self, child: Child) -> None:
        started = time.monotonic()
        child.process.wait()
        if time.monotonic() - started < SHORT_LIFE_S:
            time.sleep(SHORT_LIFE_S)  # One that cannot run at all is not started again without a rest.
        with suppress(ApplierError, Died):
            self._replace(child)

    def _replace(self, child: Child) -> None:
        """The process is gone: start another, unless someone did, or the node is stopping."""
        with self._lock:
            if self._stopping or self._child is not child:
                return
            child.end()
            under_way = [name for name, count in self._applying.items() if count]
            what = f"while it applied to {', '.join(under_way)}, " if under_way else ""
            half = ": a reader could have seen half a transaction" if under_way else ""
            log.error(
                "the applier process %d ended (exit code %s) %sand is started again%s",
                child.process.pid,
                child.process.returncode,
                what,
                half,
            )
            new = self._start_child()
            with suppress(Died):  # At its start: the next call, and `_watch`, find it dead.
                self._take_up(new)
        if self._tracer.active:
            self._tracer.emit("fault.applier", pid=child.process.pid, applying=", ".join(under_way))

    def _take_up(self, child: Child) -> None:
        """What the one before it knew and held."""
        if self._mount_dir is None:
            return
        child.attach(self._mount_dir)
        for name in list(self._followed)[-most_databases() :]:
            channel = child.take()
            with suppress(PylitefsError):
                channel.call({"op": "hold", "db": name})
            child.give_back(channel)

    # Calls.

    def _take(self) -> tuple[Child, CallChannel]:
        """A channel of the living process; a dead one is replaced."""
        for _ in range(ATTEMPTS):
            with self._lock:  # One that was just started takes up its locks first.
                child = self._child
            if child is None:
                raise ApplierError(f"the applier is {'stopped' if self._stopping else 'not started'}")
            try:
                return child, child.take()
            except Died:
                self._replace(child)
        raise ApplierError("the applier process ends as soon as it is started; the log says why")

    def _call(
        self, message: Message, packet: bytes | None = None, meanwhile: Callable[[], None] | None = None
    ) -> tuple[Child, CallChannel, Message]:
        """Make a call, of the next process where one died of it. The channel is the caller's to return."""
        for _ in range(ATTEMPTS):
            child, channel = self._take()
            try:
                return child, channel, channel.call(message, packet, meanwhile)
            except Died:
                child.discard(channel)
                self._replace(child)
            except BaseException:
                child.give_back(channel)
                raise
        raise ApplierError(
            f"the applier process ended {ATTEMPTS} times while it was to {message['op']} {message.get('db')}"
        )

    def _ask(
        self, message: Message, packet: bytes | None = None, meanwhile: Callable[[], None] | None = None
    ) -> Message:
        child, channel, answer = self._call(message, packet, meanwhile)
        child.give_back(channel)
        return answer

    @contextmanager
    def _holding(self, message: Message) -> Iterator[tuple[Child, CallChannel, Message]]:
        """Make a call that locks something, and unlock at the end."""
        database = str(message["db"])
        child, channel, answer = self._call(message)
        try:
            yield child, channel, answer
        except BaseException:
            child.discard(channel)  # This unlocks, too, and does not hide the error.
            raise
        try:
            held_call(channel, {"op": "unlock", "db": database}, database)
        except BaseException:
            child.discard(channel)
            raise
        child.give_back(channel)

    def apply(
        self,
        database: str,
        ltx_path: Path,
        *,
        more: Sequence[Path] = (),
        remove_wal: bool = False,
        verified: bool = False,
        timeout: float | None = None,
        at_hand: ShortTransaction | None = None,
        meanwhile: Callable[[], None] | None = None,
        known: KnownWal | None = None,
    ) -> None:
        """Write one LTX file to a database that this node follows, or several that continue each other.

        Pages that are `at_hand` go along, and no file is read. `meanwhile` is called while
        they are written; once more, if the process dies then.

        Waits for SQLite's readers as long as they read: a replica may not break a read transaction. The wait
        ends with the last of them, or with the node; after a second a log line names them. With a `timeout`
        it is BusyError after so many seconds, with nothing written.

        Commit 0 drops the database. A WAL with content (of a node that was the primary) is copied into the
        database first, as far as it is `known` to count, or with `remove_wal` dropped.
        A file too large for memory is read to its end before anything is locked, and then again, unless it is
        whole: `verified`.
        """
        held = self._tracer.active
        by_file = at_hand is None or held or known is not None
        packet = None if at_hand is None or by_file else encode_pages(database, at_hand, timeout)
        request: Message = {"op": "apply", "db": database}
        if packet is None:
            how = {"remove_wal": remove_wal, "verified": verified, "may_be_held": held}
            request = apply_request(database, (ltx_path, *more), timeout, known, **how)
        with self._lock:
            self._applying[database] = self._applying.get(database, 0) + 1
            self._followed.pop(database, None)
            self._followed[database] = None
        try:
            answer = self._ask(request, packet, meanwhile)
        finally:
            with self._lock:
                self._applying[database] -= 1
        self.trace_apply(database, answer)

    def trace_apply(self, database: str, answer: Message) -> None:
        """Emit `page.apply` from the applier's answer."""
        if self._tracer.active:
            txid = answer["txid"]
            assert isinstance(txid, int)
            self._tracer.emit(
                "page.apply",
                database,
                txid,
                pages=answer["pages"],
                commit=answer["commit"],
                page_size=answer["page_size"],
                waited_ms=answer["waited_ms"],
            )

    def hold(self, database: str) -> None:
        """On a replica, before any client comes: keep SHARED and DMS of a database in WAL mode."""
        with self._lock:
            self._followed[database] = None
        self._ask({"op": "hold", "db": database})

    def appeared(self, database: str) -> None:
        """A replica's database was made in the data directory: the kernel is to know its name, and in WAL
        mode SHARED and DMS are held. Without that it is like one that was not used for long."""
        with self._lock:
            self._followed[database] = None
        try:
            self._ask({"op": "hold", "db": database, "appeared": True})
        except (PylitefsError, OSError) as error:
            log.warning("%s: the applier cannot open what has just come: %s", database, error)

    def release(self, database: str | None = None) -> None:
        """This node follows the database (or any) no more: close what is kept open. To be called when it
        becomes the primary, and when a client takes the HALT lock here."""
        with self._lock:
            for name in [database] if database is not None else list(self._followed):
                self._followed.pop(name, None)
        self._ask({"op": "release", "db": database})

    @contextmanager
    def write_lock(self, database: str, timeout: float = LOCK_S) -> Iterator[WriteLock]:
        """Lock everyone out of a database, made if it is missing; for an import on the primary."""
        request: Message = {"op": "write_lock", "db": database, "timeout": timeout}
        with self._holding(request) as (child, channel, answer):
            index = bytes.fromhex(str(answer["index"]))
            may_adopt, trace = not self.observes_locks, self.trace_apply
            yield WriteLock(child, channel, database, index, may_adopt=may_adopt, trace=trace)

    def shows(self, database: str, generation: int, salts: tuple[int, int], frame: int) -> bool | None:
        """Whether SQLite's readers see a frame of the WAL with these salts; see index_eyes.py."""
        answer = self._ask(
            {"op": "shows", "db": database, "generation": generation, "salts": salts, "frame": frame}
        )
        if answer.get("unclear"):
            raise ApplierError(f"the WAL index of {database} is being made anew")
        shown = answer["shown"]
        assert shown is None or isinstance(shown, bool)
        return shown

    @contextmanager
    def watch_writers(self, database: str) -> Iterator[Callable[[], bool]]:
        """A function that tells whether someone has the database locked for writing it (in a rollback mode).

        It takes no lock, so it is in nobody's way, and touches no file of the mount, so it may be called
        while the mount's own callbacks wait for the caller.
        """
        with self._holding({"op": "watch_writers", "db": database}) as (_, channel, _):

            def is_written() -> bool:
                answer = held_call(channel, {"op": "is_written", "db": database}, database)
                return bool(answer["written"])

            yield is_written

    @contextmanager
    def read_lock(self, database: str, wal: bool = False, timeout: float = LOCK_S) -> Iterator[None]:
        """A reader's locks: in a rollback mode SHARED; in WAL mode commits go on, and neither checkpoint nor
        restart of the WAL happens. The mode is looked up; `wal` is what the caller believes."""
        with self._holding({"op": "read_lock", "db": database, "wal": wal, "timeout": timeout}):
            yield

    @contextmanager
    def writer_lock(self, database: str, timeout: float = LOCK_S) -> Iterator[None]:
        """A writer's lock: nobody is in the middle of a write transaction, and readers notice nothing."""
        with self._holding({"op": "writer_lock", "db": database, "timeout": timeout}):
            yield

    @contextmanager
    def halt_lock(self, database: str, timeout: float) -> Iterator[HaltedDatabase]:
        """A writer's lock that is kept while a replica's transactions are applied: see halting.py."""
        with self._holding({"op": "halt_lock", "db": database, "timeout": timeout}) as (_, channel, _):
            yield HaltedDatabase(database, self.trace_apply, partial(held_call, channel))

    def rollback_hot_journal(self, database: str, timeout: float = ROLLBACK_S) -> None:
        """Have SQLite itself open and read the database, which rolls a hot journal back."""
        self._ask({"op": "rollback_journal", "db": database, "timeout": timeout})

    def unlink(self, database: str) -> None:
        """Remove a database file that is in no transaction, through the mount."""
        self._ask({"op": "unlink", "db": database})

    def wal_index(self, database: str) -> bytes:
        """The first 136 bytes of the `-shm` as clients see them now, both index headers and the checkpoint
        info; b"" if there is none. (The data file lags behind what clients have mapped.)"""
        return bytes.fromhex(str(self._ask({"op": "index", "db": database})["index"]))
