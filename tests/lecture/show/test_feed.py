"""Lines on their way to many readers: packed once, in order, and nobody waits for anybody."""

import asyncio
import gzip
import io
import json
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import wraps
from typing import Any

import pytest

from pylitefs.lecture.show import feed as module
from pylitefs.lecture.show.feed import GZIP_HEAD, Feed, packed


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(**fixtures: object) -> None:
        asyncio.run(test(**fixtures))

    return run


def unpacked(pieces: bytes) -> bytes:
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(pieces)


def read(pieces: bytes) -> list[str]:
    """The messages in whole pieces, without what says that the server is still there."""
    return [one for one in unpacked(pieces).decode().split("\n\n") if one and not one.startswith(":")]


def data(messages: list[str]) -> list[str]:
    return [line[6:] for one in messages for line in one.splitlines() if line.startswith("data: ")]


async def some(reader: AsyncIterator[bytes], count: int) -> list[str]:
    """The next messages, at least so many."""
    found: list[str] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            found += read(await anext(reader))
    return found


def test_pieces_make_one_gzip_stream() -> None:
    """In any order that a reader may have them, and whole after each of them: a browser shows it at once."""
    pieces = [packed(f"data: {number}{'x' * 1000}\n\n") for number in range(3)]
    unpack = zlib.decompressobj(wbits=31)
    unpack.decompress(GZIP_HEAD)
    for number in (0, 2, 1):
        assert unpack.decompress(pieces[number]).startswith(f"data: {number}".encode())
    with pytest.raises(EOFError):
        gzip.GzipFile(fileobj=io.BytesIO(GZIP_HEAD + pieces[0])).read()  # It has no end yet, and no error.


@in_a_loop
async def test_lines_are_gathered() -> None:
    """A step's lines are one message, which is read whole or not at all; it has an id to go on from."""
    feed = Feed()
    reader = feed.read("")
    reset, *_ = await some(reader, 1)
    assert reset == f"event: reset\ndata: {json.dumps(feed.run)}"
    feed.take(["1", "2"])
    feed.take(["3"])
    (message,) = await some(reader, 1)
    assert message == f"id: {feed.run}-1\ndata: 1\ndata: 2\ndata: 3"


@in_a_loop
async def test_who_comes_again_goes_on_where_it_was() -> None:
    """With the id of another run, of none, or of one that never was, at the beginning."""
    feed = Feed()
    for line in ("1", "2"):
        feed.take([line])
        feed.flush()
    assert data(await some(feed.read(f"{feed.run}-1"), 1)) == ["2"]
    for other in ("", "nonsense", f"{feed.run}-3", f"{feed.run}-x", "0123abcd-1", f"{feed.run}-{'9' * 5000}"):
        assert data(await some(feed.read(other), 2))[1:] == ["1", "2"]


@in_a_loop
async def test_a_new_run_drops_what_was() -> None:
    """A reader that has fallen behind does not read all of it first."""
    feed = Feed()
    reader = feed.read("")
    feed.take(["old"])
    await some(reader, 2)
    for number in range(50):
        feed.take([f"older {number}"])
        feed.flush()
    feed.begin()
    feed.take(["new"])
    feed.flush()
    assert data(await some(reader, 2)) == [json.dumps(feed.run), "new"]


@in_a_loop
async def test_what_holds_now_is_told_once_and_to_who_comes_later() -> None:
    """Only the newest of it, after the lines."""
    feed = Feed()
    early = feed.read("")
    await some(early, 1)
    feed.tell_now("votes", 1)
    feed.tell_now("votes", 2)
    assert data(await some(early, 1)) == ["2"]
    feed.take(["line"])
    assert data(await some(early, 1)) == ["line"]
    assert data(await some(feed.read(""), 3))[1:] == ["line", "2"]


@in_a_loop
async def test_a_reader_that_does_not_read_has_no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a place in the one list: what is handed to it at once is bounded, and others have theirs."""
    monkeypatch.setattr(module, "MOST_PIECES", 100)
    monkeypatch.setattr(module, "MOST_TEXT", 100)
    feed = Feed()
    slow, quick = feed.read(""), feed.read("")
    await anext(slow)
    lines = [f"{number} {'x' * 90}" for number in range(100)]
    feed.take(lines)
    feed.flush()
    assert data(await some(quick, 101))[1:] == lines
    assert len(unpacked(await anext(slow))) < 400
    feed.close()
    assert [one async for one in quick] == []


@in_a_loop
async def test_a_reader_is_told_that_the_server_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a telephone's network ends a connection on which nothing happens."""
    monkeypatch.setattr(module, "KEEP_ALIVE_S", 0.01)
    feed = Feed()
    reader = feed.read(f"{feed.run}-0")
    assert unpacked(await anext(reader)) == b": still there\n\n"
