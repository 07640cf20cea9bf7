"""A response written as things happen: it ends with its client, and one that takes nothing is cut off."""

import asyncio
import io
import threading
from collections.abc import Awaitable, Callable

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Scope

from pylitefs.errors import SqliteFormatError
from pylitefs.http import back_pressure, push
from pylitefs.http.push import PushResponse, RequestFile, Write, file_response

Produce = Callable[[Write], Awaitable[None]]


class Played:
    """A client: what it was sent, and when it leaves."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.gone = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()
        self.cut = False

    @property
    def scope(self) -> Scope:
        return {
            "type": "http",
            "method": "GET",
            "path": "/events",
            "client": ("10.0.0.1", 7),
            "headers": [],
            "pylitefs.cut": self.cut_off,
        }

    def cut_off(self) -> None:
        self.cut = True

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        await self.reads.wait()

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


def answered(response: PushResponse, meanwhile: Callable[[Played], Awaitable[None]] | None = None) -> Played:
    """The response given to a client, which does something meanwhile."""

    async def run() -> Played:
        client = Played()
        giving = asyncio.ensure_future(response(client.scope, client.receive, client.send))
        if meanwhile:
            await meanwhile(client)
        await asyncio.wait_for(giving, 10)
        return client

    return asyncio.run(run())


def test_the_head_goes_out_before_there_is_anything_to_say() -> None:
    async def produce(write: Write) -> None:
        await asyncio.Event().wait()

    async def meanwhile(client: Played) -> None:
        while not client.sent:
            await asyncio.sleep(0)
        client.gone.set()

    client = answered(PushResponse(produce, {"x": "1"}, "text/plain"), meanwhile)
    [head] = client.sent
    headers = dict(head["headers"])
    assert head["status"] == 200 and headers[b"x"] == b"1" and b"content-length" not in headers


def test_everything_is_sent_in_order_and_then_the_end() -> None:
    async def produce(write: Write) -> None:
        for data in (b"a", b"b"):
            await write(data)

    _, *body = answered(PushResponse(produce)).sent
    assert [(one["body"], one["more_body"]) for one in body] == [(b"a", True), (b"b", True), (b"", False)]


def test_the_writer_is_cancelled_when_its_client_leaves() -> None:
    ended: list[str] = []

    async def produce(write: Write) -> None:
        try:
            await write(b"first")
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async def meanwhile(client: Played) -> None:
        while not client.body:
            await asyncio.sleep(0)
        client.gone.set()

    assert answered(PushResponse(produce), meanwhile).body == b"first" and ended == ["cancelled"]


def test_a_client_that_does_not_read_is_cut_off_with_a_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(back_pressure, "STALL_S", 0.05)

    async def produce(write: Write) -> None:
        await write(b"never taken")
        raise AssertionError("it went on")

    async def meanwhile(client: Played) -> None:
        while not client.sent:
            await asyncio.sleep(0)
        client.reads.clear()

    client = answered(PushResponse(produce), meanwhile)
    assert client.cut and "GET /events: 10.0.0.1:7 has not read for" in caplog.text


def test_an_error_of_the_writer_is_the_server_s() -> None:
    async def produce(write: Write) -> None:
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        answered(PushResponse(produce))


def test_a_file_goes_out_a_block_at_a_time_and_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "BLOCK", 4)
    file = io.BytesIO(b"0123456789")
    client = answered(file_response(file, 10))
    assert [message.get("body") for message in client.sent[1:]] == [b"0123", b"4567", b"89", b""]
    assert dict(client.sent[0]["headers"])[b"content-length"] == b"10" and file.closed


def body_read(messages: list[Message], size: int) -> list[bytes]:
    """A request's body as a thread reads it, until its end."""

    async def run() -> list[bytes]:
        async def receive() -> Message:
            if messages:
                return messages.pop(0)
            await asyncio.Event().wait()
            raise AssertionError

        file = RequestFile(Request({"type": "http", "headers": []}, receive))

        def read() -> list[bytes]:
            assert threading.current_thread() is not threading.main_thread()
            return list(iter(lambda: file.read(size), b""))

        return await asyncio.to_thread(read)

    return asyncio.run(run())


def chunk(data: bytes, more: bool = True) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}


def test_a_body_is_read_in_blocks_by_a_thread_while_it_arrives() -> None:
    """Small chunks are put together; none is cut."""
    messages = [chunk(b"ab"), chunk(b"cd"), chunk(b"efgh"), chunk(b"i"), chunk(b"", False)]
    assert body_read(messages, 3) == [b"abcd", b"efgh", b"i"]


def test_a_body_that_ends_too_early_is_no_end() -> None:
    with pytest.raises(ClientDisconnect):
        body_read([chunk(b"ab"), {"type": "http.disconnect"}], 10)


def test_a_client_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "SILENCE_S", 0.05)
    with pytest.raises(SqliteFormatError, match="nothing was imported, send it again"):
        body_read([chunk(b"ab")], 10)
