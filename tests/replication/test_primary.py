"""The primary's end of a stream, over a real store: what is sent, and when."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.ltx.position import Pos
from pylitefs.replication import catchup, kept
from pylitefs.replication.followed import StreamRequest
from pylitefs.replication.frames import (
    DropDb,
    End,
    Heartbeat,
    HighWaterMark,
    LtxBegin,
    LtxChunk,
)
from pylitefs.replication.primary import PrimaryStream
from pylitefs.store.store import Store
from tests.replication.listening import Listener, headers, listening, run
from tests.replication.stores import Writer, opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "primary", primary=True) as store:
        yield store


def none_made(*_: object) -> None:
    raise OSError("a snapshot was to be made")


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


def test_the_one_file_that_holds_all_is_sent_as_it_is(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first transaction's own file, with its own time: a snapshot without a mark, and none is made."""
    Writer(store).commit({1: 1, 2: 2})
    monkeypatch.setattr(Store, "snapshot", none_made)

    async def test() -> None:
        counted: list[str] = []
        request = StreamRequest("00000000000000AA", {})
        stream = PrimaryStream(store, request, lambda _, kind: counted.append(kind))
        listener = Listener(stream)
        running = asyncio.ensure_future(stream.run(listener.send))
        before = await listener.until_ready()
        stream.end()
        await running
        sent = b"".join(frame.data for frame in before if isinstance(frame, LtxChunk))
        assert sent == store.require("made.db").ltx_path(1, 1).read_bytes()
        assert not any(isinstance(frame, HighWaterMark) for frame in before)
        assert counted[0] == "ltx:snapshot"

    run(test)


@pytest.mark.parametrize("count", [2, 40])
def test_a_database_made_while_a_replica_listens_comes_file_by_file(
    store: Store, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Also if the stream wakes only after many transactions: what the replica keeps does not hang on that."""
    monkeypatch.setattr(Store, "snapshot", none_made)

    async def test() -> None:
        async with listening(store) as listener:
            await listener.until_ready()
            writer = Writer(store)
            for value in range(count):  # in the stream's own thread, which so cannot wake in between
                writer.commit({1: value})
            found = await listener.transactions(count)
            assert [(one.min_txid, one.max_txid) for one in found] == [(n, n) for n in range(1, count + 1)]
            await listener.until(lambda frames: frames.count(HighWaterMark(0, "made.db")) == count - 1)

    run(test)


def test_a_long_history_is_one_snapshot(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a database that was made while the replica listened, too."""
    monkeypatch.setattr(kept, "CHEAP_FILES", 4)
    monkeypatch.setattr(catchup, "CHEAP_FILES", 4)

    async def test() -> None:
        async with listening(store) as listener:
            await listener.until_ready()
            writer = Writer(store)
            for value in range(5):
                writer.commit({1: value})
            found = await listener.transactions(1)
            assert [(one.min_txid, one.max_txid) for one in found] == [(1, 5)]

    run(test)


def test_the_high_water_mark_is_the_backup_s(store: Store) -> None:
    """What it has when the file is sent; a backup comes after the commit, so the mark is an older one."""
    writer = Writer(store)
    positions = [writer.commit({1: value}) for value in range(1, 4)]
    store.require("made.db").state.high_water_mark = 2

    async def test() -> None:
        async with listening(store, {"made.db": positions[1]}) as listener:
            before = await listener.until_ready()
            assert before.count(HighWaterMark(2, "made.db")) == 1

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


def test_a_database_that_is_written_without_a_pause_holds_up_no_other(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor Ready: that says that the replica has what there was when it connected. A hundred times the next
    transaction is there before the last one is sent."""
    busy = Writer(store, "busy.db")
    busy.commit({1: 1})
    Writer(store, "quiet.db").commit({1: 1})
    passed = PrimaryStream._passed

    def commit_again(stream: PrimaryStream, name: str, pos: Pos) -> None:
        passed(stream, name, pos)
        if name == "busy.db" and pos.txid < 100:
            busy.commit({1: pos.txid + 1})

    monkeypatch.setattr(PrimaryStream, "_passed", commit_again)

    async def test() -> None:
        async with listening(store) as listener:
            before = await listener.until_ready()
            assert len(headers(before)) < 5
            assert {frame.name for frame in before if isinstance(frame, LtxBegin)} == {"busy.db", "quiet.db"}
            await listener.until(lambda _: listener.stream.positions["busy.db"].txid == 100)

    run(test)
