"""A replica that only listens: `PrimaryStream` with a list in place of a connection."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from pylitefs.ltx.header import HEADER_SIZE, Header
from pylitefs.ltx.position import Pos
from pylitefs.replication.followed import StreamRequest
from pylitefs.replication.frames import Decoder, Frame, LtxBegin, LtxChunk, LtxEnd, Ready
from pylitefs.replication.primary import PrimaryStream
from pylitefs.store.store import Store

DEADLINE = 10.0


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
