"""What a replica does with the LTX files of its stream: skip, queue, gather, take in, or give up.

    the stream --> Intake.receive --> skipped: a database that this node refuses
                                  --> held_up.py: its readers keep the one before from being applied
                                  --> gathering.py: a short one, with others that have come
                                  --> Store.receive_ltx: a long one, while it comes

The rule: an LTX file that is refused ends the connection, for the primary to be asked again. What is refused
again and again, although the primary was told our position, cannot be mended so: CannotGoOnError.
"""

import logging
from collections.abc import Callable, Iterator
from itertools import chain

from pylitefs.errors import (
    InvalidNameError,
    LtxError,
    PositionMismatchError,
    PylitefsError,
    RecoveryError,
    ReplicationError,
)
from pylitefs.ltx.header import format_txid
from pylitefs.replication.body import Body, told
from pylitefs.replication.frames import Frame, LtxChunk, LtxEnd
from pylitefs.replication.gathering import SHORT, Gathering
from pylitefs.replication.held_up import PATIENCE_S, HeldUp
from pylitefs.store.incoming import HeldUpError, Received
from pylitefs.store.names import check_name
from pylitefs.store.store import Store

MISMATCHES = 2
"""An LTX file that does not continue our position is fatal when it comes again after a reconnect."""
REFUSALS = 3
"""An LTX file that fails its checks is fatal when it failed as many times in a row: it is not the wire."""

log = logging.getLogger("pylitefs")

Trace = Callable[[str, int, str, bytes], None]
"""Called with database, TXID, kind of frame and its bytes, where someone listens."""


class CannotGoOnError(Exception):
    """Going on cannot help; the cause is what the person gets to read."""


class Intake:
    """For the stream's thread. `on_trouble(name, error)` is called in a held-up database's own thread."""

    def __init__(
        self, store: Store, on_trouble: Callable[[str, Exception | None], None], trace: Trace
    ) -> None:
        self.latencies: dict[str, float] = {}
        """Seconds from a transaction's timestamp to its end here, by database, of the newest one."""
        self._store = store
        self._trace = trace
        self._failure: tuple[str, int, int] | None = None
        self._skipped: set[str] = set()
        self._held_up = HeldUp(store, self._received, on_trouble)
        self._gathering = Gathering(self._take_in)

    @property
    def is_level(self) -> bool:
        """Whether all that came is applied."""
        return not self._held_up.any

    def asking_anew(self) -> None:
        """Before the primary is told our positions: it will send all that is beyond them again."""
        self._held_up.asking_anew()
        self._gathering.forget()

    def flush(self) -> None:
        """Nothing more has come by now, or something else than an LTX file: take in what is gathered."""
        self._gathering.flush()

    @property
    def progress(self) -> tuple[int, int]:
        """Short LTX files that wait for others here, and those that were handed on to be applied."""
        return len(self._gathering), self._gathering.handed_on

    def stop(self, timeout: float) -> bool:
        """Forget what is queued; False if a database is still held up after `timeout` seconds."""
        return self._held_up.stop(timeout)

    def receive(self, name: str, frames: Iterator[Frame]) -> None:
        """An LTX file of this database begins; the stream is read to the file's end."""
        if self._store.tracer.active:
            frames = told(name, frames, lambda txid, frame, data: self._trace(name, txid, frame, data))
        body = Body(frames)
        if why := self._why_skipped(name):
            body.drain()
            if name not in self._skipped:
                self._skipped.add(name)
                log.error("%s: its transactions are skipped, others followed", why)
            return
        if self._held_up.take(name, body):
            return
        first, whole = ([], False) if self._store.tracer.active else body.short(SHORT)
        if not whole:
            self._gathering.flush()
        rest: Iterator[Frame] = iter((LtxEnd(),)) if whole else frames
        body = Body(chain(map(LtxChunk, first), rest))
        if self._held_up.take(name, body):
            return  # What was gathered has been handed on meanwhile, and is held up.
        if whole:
            self._gathering.add(name, b"".join(first))
        else:
            self._receive_one(name, body)

    def _take_in(self, name: str, files: list[bytes]) -> None:
        """Short LTX files of one database that came together, or one: all at once, or else one by one."""
        try:
            received = self._store.receive_together(name, files, PATIENCE_S)
        except HeldUpError as held_up:
            self._held_up.begin(name, held_up.finish)
            return
        if received is not None:
            self._failure = None
            self._received(name, received)
            return
        for content in files:
            body = Body(iter((LtxChunk(content), LtxEnd())))
            if not self._held_up.take(name, body):
                self._receive_one(name, body)

    def _receive_one(self, name: str, body: Body) -> None:
        """An LTX file, while it comes: it is read to its end."""
        try:
            received = self._store.receive_ltx(name, iter(body), PATIENCE_S)
            body.drain()
        except HeldUpError as held_up:
            body.drain()
            self._held_up.begin(name, held_up.finish)
        except PositionMismatchError as error:
            self._failed(name, body, error, MISMATCHES)
        except LtxError as error:
            self._failed(name, body, error, REFUSALS)
        except RecoveryError as error:
            raise CannotGoOnError from error
        else:
            self._failure = None
            self._received(name, received)

    def _received(self, name: str, received: Received) -> None:
        status = self._store.status
        self.latencies[name] = max(status.primary_now_ms() - received.header.timestamp_ms, 0) / 1000
        if status.ready and not self._held_up.any:
            status.heard_ms = max(status.heard_ms or 0, received.header.timestamp_ms)

    def _why_skipped(self, name: str) -> str:
        """Why this node has no such database, whatever the primary sends; "" if it may have it."""
        if name in self._store.set_aside:
            return f"{name} is set aside on this node"
        try:
            check_name(name)
        except InvalidNameError as error:
            return f"the primary has a database that this node refuses: {error}"
        return ""

    def _failed(self, name: str, body: "Body", error: PylitefsError, limit: int) -> None:
        """An LTX file was refused: disconnect and ask again, but not for ever for the same one."""
        txid = body.txid()
        times = 1
        if self._failure is not None and self._failure[:2] == (name, txid):
            times += self._failure[2]
        self._failure = (name, txid, times)
        if times >= limit:
            raise CannotGoOnError from error
        raise ReplicationError(f"LTX file {format_txid(txid)} of {name} is refused: {error}") from error
