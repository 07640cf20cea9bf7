"""Blocking work beside the event loop, in a daemon thread of its own.

`asyncio.to_thread` shares a small pool that the loop joins at its end. A snapshot that waits for
SQLite's locks, or a tracepoint held by a gate, may take as long as it likes: it must neither use that
pool up nor keep the node from stopping. For short disk reads `asyncio.to_thread` is right.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar

T = TypeVar("T")


class EndedError(Exception):
    """Raised out of a wait when what waits is to end."""


async def in_thread(work: Callable[[], T]) -> T:
    """What `work()` returns or raises. When cancelled, the thread goes on and its result is dropped."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = work()
        except BaseException as caught:
            error = caught
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:
            pass  # the loop is closed: nobody waits any more

    threading.Thread(target=run, name="beside-loop", daemon=True).start()
    return await future


async def unless_ended(
    work: Coroutine[None, None, T],
    ended: "asyncio.Future[None]",
    quiet: Callable[[], float],
    beat: Callable[[], Awaitable[None]],
) -> T:
    """The result of work in another thread. Meanwhile `beat` is called each time that `quiet()`, in seconds,
    is over. Raises EndedError once `ended` is done."""
    task = asyncio.ensure_future(work)
    either: tuple[asyncio.Future[T], asyncio.Future[None]] = (task, ended)
    try:
        while not task.done():
            if (left := quiet()) <= 0:
                await beat()
            else:
                await asyncio.wait(either, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise EndedError
        return task.result()
    finally:
        task.cancel()
