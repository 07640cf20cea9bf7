"""The primary's end of a stream, over a real store, with a list in place of a connection."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pylitefs.errors import BusyError
from pylitefs.ltx.header import HEADER_SIZE, Header
from pylitefs.ltx.position import Pos
from pylitefs.replication.frames import (
    Decoder,
    DropDb,
    End,
    Frame,
    Heartbeat,
    HighWaterMark,
    LtxBegin,
    LtxChunk,
    LtxEnd,
    Ready,
)
from pylitefs.replication.primary import PrimaryStream, StreamRequest
from pylitefs.store.database import Database
from pylitefs.store.store import Store
from pylitefs.trace import Event, Gate
from tests.replication.stores import Writer, opened

DEADLINE = 10.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "primary", primary=True) as store:
        yield store


class Listener:
    """A replica that only listens."""

    def __init__(self, stream: PrimaryStream) -> None:
        self.stream = stream
        self.frames: list[Frame] = []
        self._decoder = Decoder()
        self._arrived = asyncio.Condition()

    async def send(self, data: bytes) -> None:
        async with self._arrived:
            self.frames.extend(self._decoder.feed(data))
            self._arrived.notify_all()

    async def until(self, condition: Callable[[list[Frame]], bool]) -> list[Frame]:
        """Wait until the frames are as wanted; the frames."""
        async with asyncio.timeout(DEADLINE), self._arrived:
            await self._arrived.wait_for(lambda: condition(self.frames))
        return self.frames

    async def until_ready(self) -> list[Frame]:
        """What came before Ready."""
        frames = await self.until(lambda frames: Ready() in frames)
        return frames[: frames.index(Ready())]

    async def transactions(self, count: int) -> list[Header]:
        """The headers of the first `count` LTX files, once their last bytes came."""
        frames = await self.until(lambda frames: frames.count(LtxEnd()) >= count)
        return headers(frames)[:count]


def headers(frames: list[Frame]) -> list[Header]:
    """The header of every LTX file among the frames."""
    found: list[bytes] = []
    for frame in frames:
        if isinstance(frame, LtxBegin):
            found.append(b"")
        elif isinstance(frame, LtxChunk):
            found[-1] += frame.data
    return [Header.unpack(data[:HEADER_SIZE]) for data in found if len(data) >= HEADER_SIZE]


@asynccontextmanager
async def listening(
    store: Store, positions: dict[str, Pos] | None = None, databases: frozenset[str] | None = None
) -> AsyncIterator[Listener]:
    """A stream that runs, and is cancelled at the end unless it ended by itself."""
    stream = PrimaryStream(store, StreamRequest("00000000000000AA", positions or {}, databases))
    listener = Listener(stream)
    running = asyncio.ensure_future(stream.run(listener.send))
    try:
        yield listener
    finally:
        stream.end()
        try:
            async with asyncio.timeout(DEADLINE):
                await running
        except asyncio.CancelledError:
            pass
        assert list((store.data_dir / "tmp").glob("*")) == []


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())


def test_an_empty_replica_gets_a_snapshot_and_no_high_water_mark(store: Store) -> None:
    """TXIDs 1 to the newest in one file, then Ready and at once a Heartbeat."""
    writer = Writer(store)
    writer.commit({1: 1, 2: 2})
    writer.commit({1: 3})

    async def test() -> None:
        async with listening(store) as listener:
            before = await listener.until_ready()
            assert [(one.min_txid, one.max_txid, one.commit) for one in headers(before)] == [(1, 2, 2)]
            assert not any(isinstance(frame, HighWaterMark) for frame in before)
            assert isinstance(listener.frames[len(before) + 1], Heartbeat)
            assert listener.stream.positions == {"made.db": writer.pos}

    run(test)


def test_a_replica_that_is_behind_gets_the_files_each_with_a_high_water_mark(store: Store) -> None:
    """In order, and TXID 0 for want of a backup."""
    writer = Writer(store)
    positions = [writer.commit({1: value}) for value in range(1, 6)]

    async def test() -> None:
        async with listening(store, {"made.db": positions[1]}) as listener:
            before = await listener.until_ready()
            assert [(one.min_txid, one.max_txid) for one in headers(before)] == [(3, 3), (4, 4), (5, 5)]
            assert before.count(HighWaterMark(0, "made.db")) == 3

    run(test)


def test_long_ltx_files_are_streamed_from_disk(store: Store) -> None:
    """Longer than is read at once, and no longer in the store's memory."""
    writer = Writer(store)
    first = writer.commit({1: 1})
    writer.commit_pages({pgno: bytes([pgno % 251]) * 512 for pgno in range(1, 6000)})
    last = writer.commit({2: 9})
    store.get("made.db").state.ltx._cache.clear()  # type: ignore[union-attr]

    async def test() -> None:
        async with listening(store, {"made.db": first}) as listener:
            before = await listener.until_ready()
            assert [one.max_txid for one in headers(before)] == [2, 3]
            assert listener.stream.positions["made.db"] == last
            sent = b"".join(frame.data for frame in before if isinstance(frame, LtxChunk))
            paths = [store.get("made.db").ltx_path(txid, txid) for txid in (2, 3)]  # type: ignore[union-attr]
            assert sent == b"".join(path.read_bytes() for path in paths)

    run(test)


def test_a_commit_is_sent_at_once_also_of_a_database_that_is_new(store: Store) -> None:
    """The store wakes the stream; nothing is polled."""
    Writer(store, "old.db").commit({1: 1})

    async def test() -> None:
        async with listening(store) as listener:
            await listener.until_ready()
            old, new = Writer(store, "old.db"), Writer(store, "new.db")
            await asyncio.to_thread(old.commit, {1: 2})
            await listener.transactions(2)
            await asyncio.to_thread(new.commit, {1: 5})
            await asyncio.to_thread(new.commit, {1: 6})
            found = await listener.transactions(3)
            await listener.until(lambda _: listener.stream.positions.get("new.db") == new.pos)
            assert (found[1].min_txid, found[1].max_txid) == (2, 2)
            assert found[2].min_txid == 1

    run(test)


def test_only_the_databases_of_the_filter_are_sent(store: Store) -> None:
    """At first and later."""
    writers = {name: Writer(store, name) for name in ("a.db", "b.db")}
    for writer in writers.values():
        writer.commit({1: 1})

    async def test() -> None:
        async with listening(store, {"gone.db": Pos(1, 1 << 63)}, frozenset(["b.db"])) as listener:
            before = await listener.until_ready()
            await asyncio.to_thread(writers["a.db"].commit, {1: 2})
            await asyncio.to_thread(writers["b.db"].commit, {1: 2})
            await listener.transactions(2)
            begun = [frame.name for frame in listener.frames if isinstance(frame, LtxBegin)]
            assert begun == ["b.db", "b.db"]
            assert not any(isinstance(frame, DropDb) for frame in before)

    run(test)


def test_a_database_the_primary_lacks_is_named(store: Store) -> None:
    """DropDB, before anything else."""

    async def test() -> None:
        async with listening(store, {"gone.db": Pos(3, 1 << 63)}) as listener:
            assert await listener.until_ready() == [DropDb("gone.db")]

    run(test)


def test_a_reaped_file_makes_it_a_snapshot(store: Store) -> None:
    """Also when the file goes between the decision and the reading."""
    writer = Writer(store)
    positions = [writer.commit({1: value}) for value in range(1, 6)]
    database = store.get("made.db")
    assert database is not None
    database.state.ltx._cache.clear()
    next_of = database.ltx_next
    reaped = threading.Event()

    def reaps(txid: int) -> tuple[int, int] | None:
        found = next_of(txid)
        if found == (4, 4) and not reaped.is_set():
            reaped.set()
            database.state.ltx.remove(4, 4)
        return found

    database.ltx_next = reaps  # type: ignore[method-assign]

    async def test() -> None:
        async with listening(store, {"made.db": positions[1]}) as listener:
            before = await listener.until_ready()
            assert [(one.min_txid, one.max_txid) for one in headers(before)] == [(3, 3), (1, 5)]
            assert listener.stream.positions["made.db"] == writer.pos

    run(test)


def test_a_file_that_vanishes_while_it_is_opened_makes_it_a_snapshot(store: Store) -> None:
    """The header is still there, the file is not."""
    writer = Writer(store)
    first = writer.commit({1: 1})
    writer.commit({1: 2})
    database = store.get("made.db")
    assert database is not None
    database.state.ltx._cache.clear()
    path_of = database.ltx_path

    def vanishes(min_txid: int, max_txid: int) -> Path:
        database.state.ltx.remove(min_txid, max_txid)
        return path_of(min_txid, max_txid)

    database.ltx_path = vanishes  # type: ignore[method-assign]

    async def test() -> None:
        async with listening(store, {"made.db": first}) as listener:
            before = await listener.until_ready()
            assert [(one.min_txid, one.max_txid) for one in headers(before)] == [(1, 2)]

    run(test)


def test_a_burst_of_transactions_shares_its_sends(store: Store) -> None:
    """In order and complete; one send each would cost a busy primary more than the commits."""
    writer = Writer(store)
    writer.commit({1: 1})

    async def test() -> None:
        stream = PrimaryStream(store, StreamRequest("00000000000000AA", {}))
        listener, sends, go = Listener(stream), 0, asyncio.Event()

        async def slow(data: bytes) -> None:
            nonlocal sends
            sends += 1
            await listener.send(data)
            await go.wait()

        running = asyncio.ensure_future(stream.run(slow))
        await listener.until(lambda frames: LtxBegin("made.db") in frames)
        for value in range(50):
            await asyncio.to_thread(writer.commit, {1: value})
        go.set()
        found = await listener.transactions(51)
        assert [one.max_txid for one in found] == list(range(1, 52))
        assert sends < 20
        stream.end()
        await running

    run(test)


def test_heartbeats_come_while_nothing_happens(store: Store) -> None:
    """Every second, with the time up to which the replica has everything."""

    async def test() -> None:
        async with listening(store) as listener:
            began = time.time() * 1000
            frames = await listener.until(
                lambda frames: sum(isinstance(frame, Heartbeat) for frame in frames) >= 3
            )
            beats = [frame.timestamp_ms for frame in frames if isinstance(frame, Heartbeat)]
            assert 900 <= beats[2] - beats[1] <= 3000
            assert abs(beats[0] - began) < 1000

    run(test)


def test_a_clean_end_says_so(store: Store) -> None:
    """End is the last frame."""

    async def test() -> None:
        async with listening(store) as listener:
            await listener.until_ready()
            listener.stream.end()
            frames = await listener.until(lambda frames: End() in frames)
            assert frames[-1] == End()

    run(test)


def test_a_node_that_is_the_primary_no_longer_ends_its_streams(store: Store) -> None:
    """Noticed at the next Heartbeat at the latest."""

    async def test() -> None:
        async with listening(store) as listener:
            await listener.until_ready()
            store.status.is_primary = False
            await listener.until(lambda frames: End() in frames)

    run(test)


def test_a_held_tracepoint_holds_one_stream_and_its_heartbeats_go_on(store: Store) -> None:
    """The Heartbeats say since when the held replica is behind, and the other stream goes on."""
    writer = Writer(store)
    writer.commit({1: 1})
    held = threading.Event()
    gate = Gate(["stream.send"], database="made.db", timeout=DEADLINE)

    def hold_aa(event: Event) -> None:
        if event.payload.get("peer") == "00000000000000AA" and held.is_set():
            gate(event)

    async def test() -> None:
        async with listening(store) as listener:
            await listener.until_ready()
            other = Listener(PrimaryStream(store, StreamRequest("00000000000000BB", {})))
            running = asyncio.ensure_future(other.stream.run(other.send))
            await other.until_ready()
            held.set()
            await asyncio.to_thread(writer.commit, {1: 2})
            await other.transactions(2)
            assert await asyncio.to_thread(gate.wait_held, DEADLINE) is not None
            committed = time.time() * 1000
            count = len(listener.frames)
            frames = await listener.until(lambda frames: len(frames) >= count + 2)
            beats = [frame for frame in frames[count:] if isinstance(frame, Heartbeat)]
            assert len(beats) == 2
            assert all(beat.timestamp_ms <= committed for beat in beats)
            gate.close()
            await listener.transactions(2)
            other.stream.end()
            await running

    stop = store.tracer.listen(hold_aa)
    run(test)
    stop()


def test_ending_does_not_wait_for_a_held_tracepoint(store: Store) -> None:
    """A node can always stop."""
    Writer(store).commit({1: 1})
    gate = Gate(["catchup.decide"])
    stop = store.tracer.listen(gate)

    async def test() -> None:
        async with listening(store) as listener:
            assert await asyncio.to_thread(gate.wait_held, DEADLINE) is not None
            listener.stream.end()
            assert await listener.until(lambda frames: End() in frames) == [End()]

    run(test)
    gate.close()
    stop()


def test_tracepoints_tell_a_streams_story(store: Store) -> None:
    """Connect, the decision with its reason, what was sent, the end."""
    Writer(store).commit({1: 1})
    events: list[Event] = []
    stop = store.tracer.listen(events.append)

    async def test() -> None:
        async with listening(store) as listener:
            await listener.until_ready()

    run(test)
    deadline = time.monotonic() + DEADLINE
    while events[-1].name != "stream.end" and time.monotonic() < deadline:
        time.sleep(0.01)
    stop()
    story = [(event.name, event.payload.get("frame") or event.payload.get("decision")) for event in events]
    assert story[:2] == [("stream.connect", None), ("catchup.decide", "snapshot")]
    assert ("stream.send", "ltx:snapshot") in story
    assert ("stream.send", "ready") in story
    assert ("stream.end", None) in story
    assert "no transaction of this database yet" in str(events[1].payload["reason"])


def test_a_snapshot_that_cannot_be_made_ends_the_stream_with_its_reason(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The replica connects again; the log says why it has to."""
    Writer(store).commit({1: 1})

    def busy(self: Database, out: Path, timeout: float | None = None) -> None:
        raise BusyError("pid 123 holds the lock")

    monkeypatch.setattr(Database, "snapshot", busy)
    caplog.set_level("INFO", "pylitefs")

    async def test() -> None:
        async with listening(store) as listener:
            async with asyncio.timeout(DEADLINE):
                while "ended: pid 123 holds the lock" not in caplog.text:
                    await asyncio.sleep(0.01)
            assert listener.frames == []

    run(test)


def test_a_snapshot_that_goes_wrong_in_the_middle_is_not_ended(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica must not take half a file for a whole one."""
    Writer(store).commit({1: 1})

    def breaks(self: Database, out: Path, timeout: float | None = None) -> None:
        with out.open("wb") as file:
            file.write(self.ltx_path(1, 1).read_bytes()[:-20])
        raise OSError("disk gone")

    monkeypatch.setattr(Database, "snapshot", breaks)

    async def test() -> None:
        async with listening(store) as listener:
            await listener.until(lambda frames: any(isinstance(frame, LtxChunk) for frame in frames))
            listener.stream.end()
        assert LtxEnd() not in listener.frames
        assert End() not in listener.frames

    run(test)


def test_a_replica_that_leaves_during_a_snapshot_leaves_nothing_behind(store: Store) -> None:
    """Neither a temporary file nor a thread that waits for a reader."""
    writer = Writer(store)
    writer.commit_pages({pgno: bytes([pgno % 251]) * 512 for pgno in range(1, 20000)})
    full = asyncio.Event()

    async def test() -> None:
        stream = PrimaryStream(store, StreamRequest("00000000000000AA", {}))

        async def never(_data: bytes) -> None:
            full.set()
            await asyncio.Event().wait()

        running = asyncio.ensure_future(stream.run(never))
        await full.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        async with asyncio.timeout(DEADLINE):
            while any(thread.name == "beside-loop" for thread in threading.enumerate()):
                await asyncio.sleep(0.01)
        assert list((store.data_dir / "tmp").glob("*")) == []

    run(test)


def test_a_dropped_database_is_told_of(store: Store) -> None:
    """A drop is a transaction with commit 0; who missed it gets a snapshot without pages."""
    writer = Writer(store)
    first = writer.commit({1: 1})
    drop = writer.drop()

    async def test() -> None:
        async with listening(store, {"made.db": first}) as listener:
            before = await listener.until_ready()
            assert [(one.min_txid, one.commit) for one in headers(before)] == [(2, 0)]
            assert listener.stream.positions["made.db"] == drop
        async with listening(store) as listener:
            before = await listener.until_ready()
            assert [(one.min_txid, one.max_txid, one.commit) for one in headers(before)] == [(1, 2, 0)]

    run(test)
