"""The pipe of a snapshot: however its stream ends, no name of it stays in the data directory."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest

from pylitefs.ltx.decoder import Decoder
from pylitefs.replication.snapshots import SnapshotPipe, snapshot_of
from pylitefs.store.database import Database
from pylitefs.store.store import Store
from tests.replication.stores import Writer, opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "primary", primary=True) as store:
        Writer(store).commit({number: number for number in range(1, 200)})
        yield store


def made(store: Store) -> Database:
    database = store.get("made.db")
    assert database is not None
    return database


def left(store: Store) -> list[str]:
    return [path.name for path in (store.data_dir / "tmp").glob("*")]


async def stream(store: Store) -> None:
    async with SnapshotPipe(store, made(store).name, store.temp_path(".ltx")) as snapshot:
        await snapshot.head()
        while await snapshot.read():
            pass
        await snapshot.made()


async def gone(store: Store) -> None:
    """The thread that makes a snapshot may end a moment after its stream."""
    async with asyncio.timeout(10):
        while left(store):
            await asyncio.sleep(0.005)


def test_a_stream_cancelled_at_any_step_leaves_no_pipe(store: Store) -> None:
    """After 0, 1, 2, … turns of the event loop: while the pipe is opened, read, and closed."""

    async def cancel_after(turns: int) -> None:
        task = asyncio.ensure_future(stream(store))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await gone(store)

    for turns in range(12):
        asyncio.run(cancel_after(turns))
    assert left(store) == []


def test_where_there_are_no_pipes_it_is_made_whole_first(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows: the same bytes, and nothing of it stays, whenever its stream ends."""
    monkeypatch.delattr(os, "mkfifo")

    async def content() -> bytes:
        async with snapshot_of(store, made(store).name, store.temp_path(".ltx")) as snapshot:
            parts = [await snapshot.head()]
            while part := await snapshot.read():
                parts.append(part)
            assert (await snapshot.made()).size == sum(map(len, parts))
            return b"".join(parts)

    decoder = Decoder(BytesIO(asyncio.run(content())).read)
    assert len(list(decoder.pages())) == made(store).page_count

    async def cancel_after(turns: int) -> None:
        task = asyncio.ensure_future(content())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await gone(store)

    for turns in range(6):
        asyncio.run(cancel_after(turns))


def test_a_pipe_that_cannot_be_opened_leaves_no_name(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptor is left: the next step after the name is there fails."""

    def fails(path: object, flags: int) -> int:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fails)
        with pytest.raises(OSError, match="Too many"):
            asyncio.run(stream(store))
    assert left(store) == []


def test_a_start_drops_the_pipes_of_a_node_that_was_killed(tmp_path: Path) -> None:
    with opened(tmp_path / "primary", primary=True) as store:
        os.mkfifo(store.temp_path(".ltx"))
    with opened(tmp_path / "primary", primary=True) as store:
        assert left(store) == []
