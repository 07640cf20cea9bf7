"""How far a replica is behind, as the primary sees it: the figures, and one log line for each change."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.ltx.position import Pos
from pylitefs.replication import behind, stream_log
from pylitefs.replication.behind import Behind, BehindWatch, measure, most, of_stream, of_streams
from pylitefs.replication.followed import StreamRequest
from pylitefs.replication.primary import BLOCK, PrimaryStream
from pylitefs.replication.stream_log import StreamLog
from pylitefs.store.status import now_ms
from pylitefs.store.store import Store
from tests.replication.listening import DEADLINE, run
from tests.replication.stores import PAGE, Writer, opened

PEER = "00000000000000AA"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "primary", primary=True) as store:
        yield store


def big() -> dict[int, bytes]:
    """Pages of a transaction that is a block of its own: it does not wait to share a send."""
    return {pgno: os.urandom(PAGE) for pgno in range(1, BLOCK // PAGE + 2)}


class Slow:
    """A replica that takes nothing until it is told to."""

    def __init__(self, stream: PrimaryStream) -> None:
        self.stream = stream
        self.free = asyncio.Event()
        self.free.set()
        self._running = asyncio.ensure_future(stream.run(self._take))

    async def _take(self, _data: bytes) -> None:
        await self.free.wait()

    async def level(self) -> None:
        """Wait until everything was sent."""
        async with asyncio.timeout(DEADLINE):
            while self.stream.lacking() or self.stream.positions != self.stream._store.positions():
                await asyncio.sleep(0.001)

    async def end(self) -> None:
        self.free.set()
        self.stream.end()
        async with asyncio.timeout(DEADLINE):
            await self._running


def slow(store: Store, positions: dict[str, Pos] | None = None) -> Slow:
    return Slow(PrimaryStream(store, StreamRequest(PEER, positions or {})))


def test_what_a_position_lacks_is_counted_in_files_that_are_kept(store: Store) -> None:
    """Transactions, the bytes of their files, and the age of the oldest."""
    writer = Writer(store)
    positions = [writer.commit({1: value}) for value in range(4)]
    database = store.require("made.db")
    assert measure(database, positions[-1], now_ms()) is None
    made = database.ltx_header(3, 3)
    assert made is not None
    sizes = [database.ltx_path(txid, txid).stat().st_size for txid in (3, 4)]
    assert measure(database, positions[1], made.timestamp_ms + 2500) == Behind(2, sum(sizes), 2.5)
    assert measure(database, positions[1], made.timestamp_ms - 10) == Behind(2, sum(sizes), 0.0), (
        "clocks jump"
    )


def test_where_a_snapshot_is_needed_it_is_the_database_s_size(store: Store) -> None:
    """The next file is gone, or the replica is ahead, or has another history."""
    writer = Writer(store)
    positions = [writer.commit({1: value, 2: value}) for value in range(4)]
    database = store.require("made.db")
    database.state.ltx.remove(2, 2)
    now = database.timestamp_ms
    assert measure(database, positions[0], now) == Behind(3, 2 * PAGE, 0.0, snapshot=True)
    assert measure(database, Pos(9, 1 << 63), now) == Behind(0, 2 * PAGE, 0.0, snapshot=True)
    assert measure(database, Pos(4, 1 << 63), now) == Behind(0, 2 * PAGE, 0.0, snapshot=True)


def test_a_stream_lacks_what_its_connection_does_not_take(store: Store) -> None:
    """Of each database; and nothing any more once it was sent."""
    writers = [Writer(store, name) for name in ("a.db", "b.db")]
    for writer in writers:
        writer.commit({1: 1})

    async def test() -> None:
        replica = slow(store)
        await replica.level()
        assert of_stream(store, replica.stream) == {}
        replica.free.clear()
        for value in range(5):
            for writer in writers[: 1 + (value < 2)]:
                await asyncio.to_thread(writer.commit_pages, big())
        found = of_stream(store, replica.stream)
        assert {name: one.transactions for name, one in found.items()} == {"a.db": 5, "b.db": 2}
        assert found["a.db"].size > 5 * BLOCK and not found["a.db"].snapshot
        assert of_streams(store, [replica.stream])[PEER].keys() == found.keys()
        replica.free.set()
        await replica.level()
        assert of_streams(store, [replica.stream]) == {PEER: {}}
        await replica.end()

    run(test)


def test_a_replica_that_comes_back_is_behind_by_the_position_it_names(store: Store) -> None:
    """And needs the files from there on, not from where its last stream had come."""
    writer = Writer(store)
    positions = [writer.commit_pages(big()) for _ in range(6)]

    async def test() -> None:
        replica = slow(store, {"made.db": positions[1]})
        replica.free.clear()
        async with asyncio.timeout(DEADLINE):
            while not replica.stream.lacking():
                await asyncio.sleep(0.001)
        assert of_stream(store, replica.stream)["made.db"].transactions == 4
        assert replica.stream.followed.has_up_to("made.db") == 2
        await replica.end()

    run(test)


def test_the_better_of_two_streams_of_one_replica_counts(store: Store) -> None:
    """It connected anew; its old stream has not ended yet."""
    writer = Writer(store)
    first = writer.commit({1: 1})
    writer.commit({1: 2})

    async def test() -> None:
        old, new = (
            PrimaryStream(store, StreamRequest(PEER, {"made.db": pos})) for pos in (first, writer.pos)
        )
        for stream in (old, new):
            stream._pending["made.db"] = None
        assert most(of_stream(store, old))[0] == 1
        assert of_streams(store, [old, new]) == of_streams(store, [new, old]) == {PEER: {}}

    run(test)


def test_a_replica_that_is_far_behind_is_one_line_and_one_when_it_has_caught_up(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What is over at the next look is none, nor is what it does again within a minute."""
    monkeypatch.setattr(behind, "LOOK_S", 3600.0)
    monkeypatch.setattr(behind, "TXIDS", 3)
    monkeypatch.setattr(behind, "SECONDS", 3600.0)
    caplog.set_level("INFO", "pylitefs")
    writer = Writer(store)
    writer.commit({1: 1})

    def lines() -> list[str]:
        return [
            text
            for record in caplog.records
            if PEER in (text := record.getMessage()) and "stream" not in text
        ]

    async def fall_behind() -> None:
        for _ in range(6):
            await asyncio.to_thread(writer.commit_pages, big())

    async def test() -> None:
        told = StreamLog()
        watch = BehindWatch(store, told)
        replica = Slow(PrimaryStream(store, StreamRequest(PEER, {}), told=told))
        leave = watch.follow(replica.stream)
        await replica.level()
        caplog.clear()
        for round_ in range(3):
            replica.free.clear()
            await fall_behind()
            await watch.look()
            if round_ == 0:
                assert lines() == [], "it may be a moment"
            for _ in range(3):
                await watch.look()
            replica.free.set()
            await replica.level()
            for _ in range(2):
                await watch.look()
            if round_ == 0:
                assert len(lines()) == 2
        behind_line, level_line = lines()
        assert behind_line.startswith(f"replica {PEER} is behind: 6 transactions (")
        assert "of made.db wait to be sent" in behind_line
        assert level_line == f"replica {PEER} has caught up"
        monkeypatch.setattr(stream_log, "AGAIN_S", 0.0)
        replica.free.clear()
        await fall_behind()
        for _ in range(2):
            await watch.look()
        assert len(lines()) == 3
        leave()
        await replica.end()

    run(test)


def test_a_new_stream_of_a_replica_that_was_behind_tells_that_it_has_caught_up(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """A replica that stood still has often lost its connection by then."""
    caplog.set_level("INFO", "pylitefs")

    async def test() -> None:
        told = StreamLog()
        told.begins(PEER)
        told.behind(PEER, "9 transactions")
        watch = BehindWatch(store, told)
        leave = watch.follow(PrimaryStream(store, StreamRequest(PEER, {})))
        await watch.look()
        assert caplog.text.count("has caught up") == 1
        leave()

    run(test)


def test_an_old_transaction_is_behind_however_few_there_are(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The watch looks by itself, for as long as there is a stream."""
    monkeypatch.setattr(behind, "LOOK_S", 0.01)
    monkeypatch.setattr(behind, "SECONDS", 0.05)
    monkeypatch.setattr(behind, "NEAR", 1.0)
    caplog.set_level("INFO", "pylitefs")
    writer = Writer(store)
    writer.commit({1: 1})

    async def logged(text: str) -> None:
        async with asyncio.timeout(DEADLINE):
            while text not in caplog.text:
                await asyncio.sleep(0.005)

    async def test() -> None:
        told = StreamLog()
        watch = BehindWatch(store, told)
        replica = Slow(PrimaryStream(store, StreamRequest(PEER, {}), told=told))
        leave = watch.follow(replica.stream)
        await replica.level()
        replica.free.clear()
        for _ in range(2):
            await asyncio.to_thread(writer.commit_pages, big())
        await logged("is behind: ")
        replica.free.set()
        await logged("has caught up")
        leave()
        await asyncio.sleep(0)
        assert watch._looking is None
        await replica.end()

    run(test)
