"""The primary's end of a stream: whatever a replica lacks goes out as frames, for as long as it listens.

    commit --fan_out--> wakes the stream --catchup.decide--> an LTX file, or a snapshot --> send

The rules: a replica is always sent the next thing that continues its position, one database after the
other; the event loop never waits for a disk, a lock or a gate, so Heartbeats go on while a snapshot is
made or a tracepoint is held; and the decision what is sent is `catchup`'s alone.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, BinaryIO, TypeVar

from pylitefs.errors import BusyError, PylitefsError
from pylitefs.ltx.header import TRAILER_SIZE, Header
from pylitefs.ltx.position import Pos
from pylitefs.replication import catchup, frames, kept
from pylitefs.replication.fan_out import FanOut, Frames
from pylitefs.replication.followed import CountFrame, Followed, Send, StreamRequest
from pylitefs.replication.handover import HandOver
from pylitefs.replication.kept import pos_after
from pylitefs.replication.snapshots import snapshot_of
from pylitefs.replication.stream_log import StreamLog
from pylitefs.replication.stream_trace import aside, decided
from pylitefs.replication.threads import EndedError, in_thread, unless_ended
from pylitefs.store.database import Database
from pylitefs.store.files import read_or_open
from pylitefs.store.status import now_ms
from pylitefs.store.store import Store

HEARTBEAT_S = 1.0
"""Seconds without traffic after which a Heartbeat is sent."""
PAUSE_S = 0.001
"""Seconds without a wake-up after one that found several transactions."""
LATER_S = 1.0
"""Seconds until a snapshot is tried again that could not be made for a client's locks."""
BLOCK = 128 * 1024
"""Bytes of an LTX file read at a time; a file that is no longer is sent in one piece."""

log = logging.getLogger("pylitefs")

T = TypeVar("T")


class PrimaryStream:
    """One replica's stream. Made, run and ended in the server's event loop."""

    def __init__(
        self,
        store: Store,
        request: StreamRequest,
        count_frame: CountFrame = lambda database, kind: None,
        told: StreamLog | None = None,
        fan_out: FanOut | None = None,
    ) -> None:
        self.request = request
        self._told = told or StreamLog()
        self._fan_out = fan_out or FanOut(store)
        self.followed = Followed(request)
        self.positions = self.followed.positions
        self._store = store
        self._count_frame = count_frame
        self._lock = threading.Lock()
        self._pending: dict[str, Header | None] = {}
        self._wake = asyncio.Event()
        self._loop = loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = loop.create_future()
        self._woken = self._in_body = self._ready = self._sending = False
        self._last_sent = self._loop.time()
        self._waiting = bytearray()
        self._sent_files = self._sent_bytes = self._caught_up_ms = 0
        self._current = ""  # The database that is looked at, or sent, just now.
        self._later: set[str] = set()
        """Databases whose snapshots are tried again: their users were in the way."""
        self._handing: HandOver | None = None

    async def run(self, send: Send) -> None:
        """Stream until `end`, until the store is no primary's any more, or until cancelled."""
        self._send_bytes = send
        unsubscribe = self._fan_out.follow(self._notify)
        leave = self._store.retention.follow(self.followed)
        reason = "the replica disconnected"
        self._told.begins(self.request.node_id)
        try:
            await self._trace("stream.connect", peer=self.request.node_id)
            with self._store.pace.following(self.followed):
                await self._stream()
            reason = "this node stops, or is the primary no longer"
        except (PylitefsError, OSError) as error:
            reason = str(error)
        finally:
            unsubscribe()
            leave()
            if self._handing:
                self._handing.cancel()
            self._told.ended(self.request.node_id, reason)
            aside("stream.end", self._store.tracer, peer=self.request.node_id, reason=reason)

    def end(self) -> None:
        """Send End and finish; an LTX file that is being sent is cut off."""
        if not self._ended.done():
            self._ended.set_result(None)
        self._wake.set()

    def end_soon(self) -> None:
        """The same, in any thread."""
        with suppress(RuntimeError):  # The loop is closed.
            self._loop.call_soon_threadsafe(self.end)

    def hand_over(self, lease_id: str, timeout: float) -> bool:
        """In another thread: send what waits, then the lease, then End. False if the lease was not sent."""
        handing = self._handing = HandOver(lease_id)
        with suppress(RuntimeError):  # The loop is closed.
            self._loop.call_soon_threadsafe(self._wake.set)
        return handing.wait(timeout)

    def lacking(self) -> list[str]:
        """Databases of which something may wait to be sent; from any thread."""
        with self._lock:
            return list({*self._pending, *self._later, self._current} - {""})

    def is_level(self) -> bool:
        """Whether all that there is was sent, to the last byte; from any thread."""
        return self.followed.has(self._store.positions()) and not self._waiting and not self._sending

    async def _stream(self) -> None:
        try:
            await self._drop_dbs()
            while not self._over():
                if await self._catch_up_all() > 1:
                    await self._pause()
                elif self._handing and self.is_level() and self._handing.begin():
                    with self._handing:
                        await self._send(frames.Handoff(self._handing.lease_id).pack(), "handoff")
                    break
                else:
                    await self._idle()
        except EndedError:
            pass
        if not self._in_body:
            end, peer = frames.End().pack(), self.request.node_id
            aside("stream.send", self._store.tracer, end, frame="end", peer=peer)
            if not self._store.status.has_lease:
                self._waiting.clear()
            await self._send_bytes(bytes(self._waiting) + end)

    async def _drop_dbs(self) -> None:
        """Name the databases of the request that are not here; all that are here are to be looked at."""
        for name in self.request.positions:
            if self.request.wants(name) and self._store.get(name) is None:
                await self._send(frames.DropDb(name).pack(), "drop-db", name)
        self._caught_up_ms = now_ms() - 1
        with self._lock:
            self.followed.begins(positions := self._store.positions())
            for name in positions:
                if self.request.wants(name):
                    self._pending.setdefault(name, None)

    def _over(self) -> bool:
        return self._ended.done() or not self._store.status.has_lease

    # Waking up

    def _notify(self, name: str, header: Header | None) -> None:
        """Called after a position moved."""
        if not self.request.wants(name):
            return
        with self._lock:
            self._pending[name] = header
        if not self._woken:
            self._woken = True
            self._wake.set()

    def _try_again(self, name: str) -> None:
        """A database whose snapshot could not be made is to be looked at again."""
        self._later.discard(name)
        self._notify(name, None)

    async def _pause(self) -> None:
        """Transactions come faster than one wake-up each is worth: let several gather, and wake nobody."""
        self._woken = True
        await asyncio.sleep(PAUSE_S)

    async def _idle(self) -> None:
        """Wait for a transaction, sending Heartbeats meanwhile."""
        while not self._wake.is_set():
            try:
                async with asyncio.timeout_at(self._last_sent + HEARTBEAT_S):
                    await self._wake.wait()
            except TimeoutError:
                if self._over():
                    return
                if not self._later:
                    self._caught_up_ms = now_ms()
                await self._heartbeat()

    # Catching up

    async def _catch_up_all(self) -> int:
        """Send everything that waits, and Ready if it was not said yet; how many LTX files it took."""
        self._wake.clear()
        self._sent_files = 0
        while not self._over():
            started = now_ms()
            self._woken = False
            with self._lock:
                name, header = next(iter(self._pending.items()), ("", None))
                self._pending.pop(name, None)
                self._current = name
            if name:
                await self._catch_up(name, header)
            elif not self._later:
                self._caught_up_ms = started
            if self.followed.has_first and not self._ready:
                self._ready = True
                await self._send(frames.Ready().pack() + frames.Heartbeat(self._caught_up_ms).pack(), "ready")
            if not name:
                break
        await self._send_raw(b"")
        return self._sent_files

    async def _catch_up(self, name: str, header: Header | None) -> None:
        """Send what continues the replica's position, until nothing does or another database has its turn."""
        database = self._store.get(name)
        previous: catchup.Decision | None = None
        begun, goal = self.positions.get(name, Pos()), database.pos.txid if database else 0
        while database is not None and not self._over():
            replica = self.positions.get(name, Pos())
            if replica != begun and replica.txid >= goal and self._gives_way(name):
                return
            if await self._send_shared(name, replica):
                header = None
                continue
            decision, file = kept.decision(database, replica, header, born=self.followed.saw_birth(name))
            header = None
            if previous is None or type(decision) not in (type(previous), catchup.Nothing):
                why: dict[str, Any] = decided(self.request.node_id, decision, replica, database.pos, file)
                await self._trace("catchup.decide", name, database.pos.txid, **why)
            previous = decision
            if isinstance(decision, catchup.Nothing):
                self.followed.level(name)
                return
            if isinstance(decision, catchup.Snapshot):
                self._told.snapshot(self.request.node_id, name, decision.reason)
                if decision.kept is not None:
                    self._passed(name, await self._send_file(name, database, decision.kept) or replica)
                    continue
                try:
                    with self.followed.gets_snapshot(name, database.pos.txid):
                        self._passed(name, await self._send_snapshot(name, database))
                except BusyError as error:
                    log.warning("replica %s gets it later: %s", self.request.node_id, error)
                    self._later.add(name)
                    self._loop.call_later(LATER_S, self._try_again, name)
                    return
            elif file is not None:
                self._passed(name, await self._send_file(name, database, file) or replica)

    def _gives_way(self, name: str) -> bool:
        """Whether another database waits; this one, which may never be done, then comes after it."""
        with self._lock:
            if others := self._pending.keys() - {name}:
                self._pending[name] = self._pending.pop(name, None)
            return bool(others)

    async def _send_file(self, name: str, database: Database, file: catchup.NextFile) -> Pos | None:
        """Send one LTX file, and its mark unless it is a snapshot; None if it was reaped just now."""
        data: bytes | BinaryIO | None = database.read_ltx(file.min_txid, file.max_txid)
        if data is None:
            path = database.ltx_path(file.min_txid, file.max_txid)
            try:
                data = await self._beating(in_thread(lambda: read_or_open(path, BLOCK)))
            except FileNotFoundError:
                return None
        kind, after = "ltx", frames.HighWaterMark(database.state.high_water_mark, name).pack()
        if file.min_txid == 1:
            kind, after = "ltx:snapshot", b""
        if isinstance(data, bytes):
            parts = (frames.LtxBegin(name).pack(), frames.pack_ltx_body(data), frames.LtxEnd().pack(), after)
            packed = Frames(b"".join(parts), len(after), pos_after(file, data[-TRAILER_SIZE:]))
            if after:
                self._fan_out.keep(name, Pos(file.min_txid - 1, file.pre_apply_checksum), packed)
            await self._send(packed.data, kind, name, file.max_txid, wait=True, after=len(after))
            return packed.pos
        with data:
            first = await asyncio.to_thread(data.read, BLOCK)
            await self._begin_body(name, file.max_txid, kind, first)
            while block := await asyncio.to_thread(data.read, BLOCK):
                await self._send_body(block)
            await self._end_body(after)
            return pos_after(file, os.pread(data.fileno(), TRAILER_SIZE, data.tell() - TRAILER_SIZE))

    async def _send_shared(self, name: str, replica: Pos) -> bool:
        """Send what another stream has sent to a replica at this position; False if there is nothing. Where a
        lecture looks, each stream decides for itself."""
        packed = self._fan_out.frames(name, replica)
        if packed is None or self._store.tracer.active:
            return False
        await self._send(packed.data, "ltx", name, packed.pos.txid, wait=True, after=packed.after)
        self._passed(name, packed.pos)
        return True

    def _passed(self, name: str, pos: Pos) -> None:
        """All that makes up this position is sent, or goes out with the next bytes."""
        self.followed.sent(name, pos, self._sent_bytes + len(self._waiting))

    async def _send_snapshot(self, name: str, database: Database) -> Pos:
        path = self._store.temp_path(".ltx")
        async with snapshot_of(self._store, database.name, path, self._store.snapshot_timeout_s) as snapshot:
            head = await self._beating(snapshot.head())
            whole = False
            while self._store.tracer.active and len(head) < BLOCK and not whole:
                # To be shown as it goes out; nobody waits for the rest of a large one.
                block = await self._beating(snapshot.read())
                head, whole = head + block, not block
            await self._begin_body(name, Header.unpack(head).max_txid, "ltx:snapshot", head, whole)
            while block := await snapshot.read():
                await self._send_body(block)
            info = await snapshot.made()
            await self._end_body(b"")
        return info.pos

    async def _begin_body(self, name: str, txid: int, kind: str, first: bytes, whole: bool = False) -> None:
        """A long LTX file begins. Until `_end_body` no other frame can be sent."""
        begin = frames.LtxBegin(name).pack()
        if self._store.tracer.active:
            told = begin + frames.pack_ltx_body(first) + (frames.LtxEnd().pack() if whole else b"")
            await self._trace("stream.send", name, txid, told, frame=kind, peer=self.request.node_id)
        self._count(name, kind)
        await self._send_raw(begin)
        self._in_body = True
        await self._send_body(first)

    async def _send_body(self, data: bytes) -> None:
        if self._over():
            raise EndedError
        await self._send_raw(frames.pack_ltx_body(data))

    async def _end_body(self, after: bytes) -> None:
        self._in_body = False
        await self._send_raw(frames.LtxEnd().pack() + after)

    async def _send(
        self, data: bytes, kind: str, database: str = "", txid: int = 0, *, wait: bool = False, after: int = 0
    ) -> None:
        """A whole frame, and `after` bytes of what follows it; `kind` is its name in tracepoints and metrics.

        With `wait` it goes out with the next bytes, or once BLOCK bytes wait: small transactions share the
        cost of a send.
        """
        if self._store.tracer.active:
            told = data[: len(data) - after]
            await self._trace("stream.send", database, txid, told, frame=kind, peer=self.request.node_id)
        self._count(database, kind)
        if wait and len(self._waiting) + len(data) < BLOCK:
            self._waiting += data
        else:
            await self._send_raw(data)

    def _count(self, database: str, kind: str) -> None:
        self._count_frame(database, kind)
        self._sent_files += kind.startswith("ltx")

    async def _heartbeat(self) -> None:
        """No tracepoint: a lecture that holds this stream's tracepoints must not lose the connection."""
        self._count_frame("", "heartbeat")
        await self._send_raw(frames.Heartbeat(self._caught_up_ms).pack())

    async def _send_raw(self, data: bytes) -> None:
        """Send what waits, then `data`."""
        self._sending = True
        if self._waiting:
            data = bytes(self._waiting) + data
            self._waiting.clear()
        if data:
            if not self._store.status.has_lease:
                raise EndedError  # The last look: what was on its way here when the lease ended stays.
            self._sent_bytes += len(data)
            await self._send_bytes(data)
            self._last_sent = self._loop.time()
        self._sending = False

    async def _beating(self, work: Coroutine[None, None, T]) -> T:
        """The result of work in another thread. Meanwhile Heartbeats say since when the replica is behind."""
        return await unless_ended(
            work, self._ended, lambda: self._last_sent + HEARTBEAT_S - self._loop.time(), self._heartbeat
        )

    async def _trace(
        self, name: str, database: str = "", txid: int = 0, data: bytes = b"", **payload: object
    ) -> None:
        """Emit in another thread: a gate there is awaited, and every other stream goes on."""
        tracer = self._store.tracer
        if tracer.active:
            await self._send_raw(b"")
            await self._beating(in_thread(lambda: tracer.emit_bytes(data, name, database, txid, payload)))
