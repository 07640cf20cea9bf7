"""Signals whose handlers run at once, whichever thread the kernel gives them to.

    kernel --> some thread --> a byte in a pipe --> a thread of ours --SIGUSR1--> the main thread: handler

Python runs handlers in the main thread, when that thread next runs Python code. The kernel wakes the main
thread for a signal, but a thread that begins another one at that moment may take the signal first. Then the
main thread sleeps on, and the handler never runs. The rule: whoever ends by a signal installs its handlers
with `handled`, and then the main thread is woken until it has looked.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import FrameType

Handler = Callable[[int, FrameType | None], None]

WAKE_SIGNAL = signal.SIGUSR1
"""It says nothing: it ends a thread's wait."""
_AGAIN_S = 0.01


@contextlib.contextmanager
def handled(numbers: Iterable[int], handler: Handler) -> Iterator[None]:
    """Have these signals call `handler` in the main thread, which calls this. Afterwards all is as before."""
    numbers = frozenset(numbers)
    with _main_thread_woken(numbers):
        before = {number: signal.signal(number, handler) for number in numbers}
        try:
            yield
        finally:
            for number, one in before.items():
                # A handler that is not Python's (`faulthandler`) has no name here, and cannot be put back.
                signal.signal(number, signal.SIG_DFL if one is None else one)


@contextlib.contextmanager
def _main_thread_woken(numbers: frozenset[int]) -> Iterator[None]:
    looks = 0
    ended = False

    def look(number: int, frame: FrameType | None) -> None:
        nonlocal looks
        looks += 1  # Python calls the handlers of all signals that have come in one go.

    def wake() -> None:
        while came := os.read(reading, 256):
            before = looks
            while numbers.intersection(came) and looks == before and not ended:
                signal.pthread_kill(main, WAKE_SIGNAL)
                time.sleep(_AGAIN_S)

    main = threading.get_ident()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.signal(WAKE_SIGNAL, look)  # For good: one that comes late must find a handler.
    outer = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    thread = threading.Thread(target=wake, name="signals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended = True
        signal.set_wakeup_fd(outer)
        os.close(writing)
        thread.join()
        os.close(reading)
