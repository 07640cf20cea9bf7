"""Blocking work beside the event loop: its result or its error, and nobody who stops waits for it."""

import asyncio
import threading

import pytest

from pylitefs.replication.threads import in_thread


def test_a_result_comes_back_from_another_thread() -> None:
    async def run() -> bool:
        here = threading.current_thread()
        return await in_thread(lambda: threading.current_thread() is not here)

    assert asyncio.run(run())


@pytest.mark.parametrize("error", [ValueError("ours"), SystemExit(3)])
def test_an_error_comes_back_too(error: BaseException) -> None:
    def fail() -> None:
        raise error

    async def run() -> None:
        with pytest.raises(type(error)) as caught:
            await in_thread(fail)
        assert caught.value is error

    asyncio.run(run())


def test_a_loop_ends_although_work_that_nobody_waits_for_goes_on() -> None:
    """A snapshot may wait for SQLite's locks as long as it likes: it keeps no node from stopping."""
    begun, release, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        release.wait(30)
        ended.set()
        return "too late"

    async def run() -> None:
        waiting = asyncio.ensure_future(in_thread(work))
        await asyncio.to_thread(begun.wait, 30)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(run())
    assert not ended.is_set(), "the loop has ended first"
    [thread] = [one for one in threading.enumerate() if one.name == "beside-loop"]
    assert thread.daemon
    release.set()
    thread.join(30)
    assert ended.is_set()


def test_many_wait_at_once_and_use_no_pool_up() -> None:
    """More than `asyncio.to_thread` has threads for."""
    everybody = threading.Barrier(50)

    async def run() -> int:
        return len(await asyncio.gather(*(in_thread(lambda: everybody.wait(30)) for _ in range(50))))

    assert asyncio.run(run()) == 50
