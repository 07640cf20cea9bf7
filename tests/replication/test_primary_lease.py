"""A stream and its node's lease: nothing is shipped without it, and it goes over the stream itself."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.replication.frames import End, Frame, Handoff, LtxBegin, LtxEnd
from pylitefs.replication.threads import in_thread
from pylitefs.store.status import lease_clock
from pylitefs.store.store import Store
from tests.replication.listening import listening, run
from tests.replication.stores import Writer, opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "primary", primary=True) as made:
        yield made


def test_nothing_is_shipped_once_the_lease_is_over(store: Store) -> None:
    """The clock alone ends it: nobody tells the stream. What was committed just before goes nowhere, End
    comes."""

    async def test() -> None:
        async with listening(store) as listener:
            writer = Writer(store)
            writer.commit({1: 1})
            await listener.transactions(1)
            store.status.lead(lease_clock() - 0.001)
            writer.commit({1: 2})
            frames = await listener.until(lambda frames: End() in frames)
            assert frames.count(LtxEnd()) == 1

    run(test)


def test_bytes_that_were_on_their_way_are_not_sent_either(store: Store) -> None:
    """The last look comes after everything that may take long."""

    async def test() -> None:
        async with listening(store) as listener:
            await listener.until_ready()
            real = listener.stream._send

            async def late(*arguments: object, **more: object) -> None:
                store.status.follow()  # As after a pause of the whole process.
                await real(*arguments, **more)  # type: ignore[arg-type]

            listener.stream._send = late  # type: ignore[method-assign]
            Writer(store).commit({1: 1})
            frames = await listener.until(lambda frames: End() in frames)
            assert not any(isinstance(frame, LtxBegin) for frame in frames)

    run(test)


def test_a_lease_is_handed_over_after_all_that_waits(store: Store) -> None:
    """Then End; the caller knows that it is on its way."""

    async def test() -> None:
        async with listening(store) as listener:
            await listener.until_ready()
            Writer(store).commit({1: 1})
            assert await in_thread(lambda: listener.stream.hand_over("lease", 10.0))
            frames = await listener.until(lambda frames: End() in frames)
            last: list[Frame] = frames[-2:]
            assert last == [Handoff("lease"), End()] and frames.count(LtxEnd()) == 1

    run(test)


def test_a_stream_is_level_once_the_last_byte_is_sent(store: Store) -> None:
    """A transaction that the stream has not heard of yet counts, and so do bytes that wait for the
    connection."""

    async def test() -> None:
        async with listening(store) as listener:
            await listener.until_ready()
            gone = asyncio.Event()
            real = listener.stream._send_bytes

            async def slow(data: bytes) -> None:
                await gone.wait()
                await real(data)

            listener.stream._send_bytes = slow
            assert listener.stream.is_level()
            Writer(store).commit({1: 1})
            assert not listener.stream.is_level(), "it was not told yet"
            while listener.stream.lacking() or not listener.stream.followed.has(store.positions()):
                assert not listener.stream.is_level()
                await asyncio.sleep(0.001)
            assert not listener.stream.is_level(), "its bytes wait"
            gone.set()
            await listener.transactions(1)
            async with asyncio.timeout(10):
                while not listener.stream.is_level():
                    await asyncio.sleep(0.001)

    run(test)
