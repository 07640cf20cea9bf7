"""The primary's end of a stream when things vanish, break, leave, or are held."""

import asyncio
import errno
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.errors import BusyError
from pylitefs.replication import primary
from pylitefs.replication.followed import StreamRequest
from pylitefs.replication.frames import (
    End,
    Heartbeat,
    LtxBegin,
    LtxChunk,
    LtxEnd,
    Ready,
)
from pylitefs.replication.primary import PrimaryStream
from pylitefs.store.snapshot import SnapshotInfo
from pylitefs.store.store import Store
from pylitefs.store.turns import Patience
from pylitefs.trace import Event, Gate
from tests.replication.listening import DEADLINE, Listener, headers, listening, run
from tests.replication.stores import Writer, opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "primary", primary=True) as store:
        yield store


def test_a_reaped_file_makes_it_a_snapshot(store: Store) -> None:
    """Also when the file goes between the decision and the reading."""
    writer = Writer(store)
    positions = [writer.commit({1: value}) for value in range(1, 6)]
    database = store.get("made.db")
    assert database is not None
    database.state.node.ltx_cache.clear()
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
    database.state.node.ltx_cache.clear()
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


def test_a_snapshot_that_has_to_wait_too_long_keeps_no_other_database_back(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried again until it can be made, and the log says why it has to. Only then it is Ready."""
    for name in ("made.db", "other.db"):
        for value in (1, 2):
            Writer(store, name).commit({1: value})
    free = threading.Event()
    really = Store.snapshot

    def busy(self: Store, name: str, out: Path, patience: Patience | None = None) -> SnapshotInfo:
        if name == "other.db" or free.is_set():
            return really(self, name, out, patience)
        raise BusyError("pid 123 holds the lock")

    monkeypatch.setattr(Store, "snapshot", busy)
    monkeypatch.setattr(primary, "LATER_S", 0.05)
    caplog.set_level("INFO", "pylitefs")

    async def test() -> None:
        async with listening(store) as listener:
            async with asyncio.timeout(DEADLINE):
                while caplog.text.count("gets it later: pid 123 holds the lock") < 3:
                    await asyncio.sleep(0.01)
            assert LtxBegin("other.db") in listener.frames and Ready() not in listener.frames
            free.set()
            await listener.until(lambda frames: Ready() in frames)
            assert len([frame for frame in listener.frames if isinstance(frame, LtxBegin)]) == 2

    run(test)


def test_a_database_whose_ltx_files_cannot_be_synced_keeps_no_other_back(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """None of it goes out, and the stream goes on with the others."""
    for name in ("made.db", "other.db"):
        for value in (1, 2):
            Writer(store, name).commit({1: value})
    store.require("made.db").state.sync_failure = OSError(errno.EIO, "Input/output error")

    async def test() -> None:
        async with listening(store) as listener:
            async with asyncio.timeout(DEADLINE):
                while "made.db is not copied: its newest LTX files cannot be synced" not in caplog.text:
                    await asyncio.sleep(0.01)
            await listener.until(lambda frames: LtxBegin("other.db") in frames)
            assert LtxBegin("made.db") not in listener.frames and End() not in listener.frames

    run(test)


def test_a_snapshot_that_goes_wrong_in_the_middle_is_not_ended(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica must not take half a file for a whole one."""
    Writer(store).commit({1: 1})
    Writer(store).commit({1: 2})

    def breaks(self: Store, name: str, out: Path, patience: object = None) -> None:
        with out.open("wb") as file:
            file.write(self.require(name).ltx_path(1, 1).read_bytes()[:-20])
        raise OSError("disk gone")

    monkeypatch.setattr(Store, "snapshot", breaks)

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
    writer.commit({1: 1})
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
