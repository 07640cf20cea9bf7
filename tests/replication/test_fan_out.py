"""Many streams of one primary: one wake-up a commit, and frames that are made once."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pylitefs.ltx.position import Pos
from pylitefs.replication import frames
from pylitefs.replication.fan_out import KEPT_BYTES, FanOut, Frames
from pylitefs.replication.followed import StreamRequest
from pylitefs.replication.frames import LtxChunk, pack_ltx_body
from pylitefs.replication.primary import PrimaryStream
from pylitefs.store.store import Store
from tests.replication.listening import Listener, run
from tests.replication.stores import Writer, opened

STREAMS = 5


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "primary", primary=True) as store:
        yield store


def test_an_ltx_file_s_frames_are_made_once_for_all_streams(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And every replica gets the same bytes, those of the file."""
    made: list[bytes] = []

    def pack(data: bytes) -> bytes:
        made.append(data)
        return pack_ltx_body(data)

    monkeypatch.setattr(frames, "pack_ltx_body", pack)

    async def test() -> None:
        fan_out = FanOut(store)
        writer = Writer(store)
        for value in range(3):
            writer.commit({1: value})
        positions = {"made.db": writer.pos}
        requests = [StreamRequest(f"{number:016X}", positions) for number in range(STREAMS)]
        listeners = [Listener(PrimaryStream(store, one, fan_out=fan_out)) for one in requests]
        running = [asyncio.ensure_future(one.stream.run(one.send)) for one in listeners]
        for one in listeners:
            await one.until_ready()
        made.clear()
        for value in range(10, 14):
            writer.commit({1: value})
        database = store.require("made.db")
        files = [database.ltx_path(txid, txid).read_bytes() for txid in range(4, 8)]
        for one in listeners:
            await one.transactions(4)
            assert one.stream.positions == {"made.db": writer.pos}
            assert b"".join(got.data for got in one.frames if isinstance(got, LtxChunk)) == b"".join(files)
            one.stream.end()
        await asyncio.gather(*running)
        assert made == files
        assert fan_out.frames("made.db", Pos(6, 0)) is None

    run(test)


def test_a_commit_wakes_the_loop_once_however_many_streams_there_are(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        fan_out = FanOut(store)
        told: list[str] = []
        leave = [fan_out.follow(lambda name, header: told.append(name)) for _ in range(STREAMS)]
        loop = asyncio.get_running_loop()
        woken: list[object] = []
        really = loop.call_soon_threadsafe

        def soon(call: Callable[..., object], *arguments: object) -> None:
            woken.append(call)
            really(call, *arguments)

        monkeypatch.setattr(loop, "call_soon_threadsafe", soon)
        await asyncio.to_thread(Writer(store).commit, {1: 1})
        while len(told) < STREAMS:
            await asyncio.sleep(0)
        assert woken.count(fan_out._tell) == 1
        for one in leave:
            one()
        Writer(store, "other.db").commit({1: 1})
        await asyncio.sleep(0)
        assert told == ["made.db"] * STREAMS

    run(test)


def test_frames_are_for_who_is_where_they_continue_and_go_with_the_last_stream(store: Store) -> None:
    """A primary that was none for a while may have another history."""

    async def test() -> None:
        fan_out = FanOut(store)
        leave, other = (fan_out.follow(lambda name, header: None) for _ in range(2))
        frames = Frames(b"...", 0, Pos(8, 2))
        fan_out.keep("a.db", Pos(7, 1), frames)
        assert fan_out.frames("a.db", Pos(7, 1)) is frames
        assert fan_out.frames("a.db", Pos(7, 2)) is None and fan_out.frames("b.db", Pos(7, 1)) is None
        leave()
        assert fan_out.frames("a.db", Pos(7, 1)) is frames
        other()
        assert fan_out.frames("a.db", Pos(7, 1)) is None

    run(test)


def test_frames_of_an_earlier_time_as_the_primary_are_nobody_s(store: Store) -> None:
    """A stream of then may still come to its end: in between this node followed another history."""

    async def test() -> None:
        fan_out = FanOut(store)
        fan_out.follow(lambda name, header: None)
        fan_out.keep("a.db", Pos(7, 1), Frames(b"...", 0, Pos(8, 2)))
        store.terms.begin(store.node_id)
        assert fan_out.frames("a.db", Pos(7, 1)) is None

    run(test)


def test_what_is_kept_has_a_bound(store: Store) -> None:
    async def test() -> None:
        fan_out = FanOut(store)
        size = KEPT_BYTES // 10
        for txid in range(20):
            fan_out.keep("a.db", Pos(txid, 1), Frames(bytes(size), 0, Pos(txid + 1, 1)))
        there = [txid for txid in range(20) if fan_out.frames("a.db", Pos(txid, 1))]
        assert there == list(range(10, 20))

    run(test)
