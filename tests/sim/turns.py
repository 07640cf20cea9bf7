"""Code that waits, made to take turns: an event loop on the history's clock, and threads that run one at a
time.

    Loop.turn()        what is due in the loop, once
    Fiber.resume()     the thread goes on until it waits again, or ends

The rule: at each moment exactly one of them runs, and which one says the history.
"""

import asyncio
import selectors
import threading
from collections.abc import Callable
from typing import Any

from tests.sim.clock import Clock
from tests.sim.disk import Killed


class _Nothing(selectors.SelectSelector):
    """No socket ever has anything, and nobody waits for one."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return []


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time is the clock's; work for other threads is done at once."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(_Nothing())
        self._sim_clock = clock

    def time(self) -> float:
        return self._sim_clock.monotonic()

    def _write_to_self(self) -> None:
        """Nobody sleeps."""

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:  # type: ignore[override]
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def turn(self) -> None:
        self.call_soon(self.stop)
        self.run_forever()


class Fiber:
    """A thread that runs only while somebody waits for it."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._killed = False
        self.is_ready: Callable[[], bool] = lambda: True
        """Whether what it waits for has come."""
        self.done = False
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="fiber", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._go.acquire()
        try:
            if not self._killed:
                self._work()
        except Killed:
            pass
        except BaseException as error:
            self.error = error
        self.done = True
        self._back.release()

    def resume(self) -> None:
        if not self.done and (self._killed or self.is_ready()):
            self._go.release()
            self._back.acquire()

    def wait(self, is_ready: Callable[[], bool]) -> None:
        """In the thread itself: go on once this holds."""
        if is_ready():
            return
        self.is_ready = is_ready
        self._back.release()
        self._go.acquire()
        if self._killed:
            raise Killed

    def kill(self) -> None:
        """Its process is dead: it runs to its end, and nothing that it does counts."""
        self._killed = True
        while not self.done:
            self.resume()
        self._thread.join()
