"""What ends a program that has nodes to take down: Ctrl-C, SIGTERM, a closed terminal.

The rule: all three end it alike, once, and nothing disturbs the clean-up after that.
"""

import contextlib
import signal
from collections.abc import Iterator

from pylitefs.signals import handled

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def ignore_signals() -> None:
    """From now on: the clean-up is under way, and a second Ctrl-C must not leave half of it behind."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Raise KeyboardInterrupt in the block at the first of these signals, and ignore all further ones."""

    def interrupt(number: int, frame: object) -> None:
        del number, frame
        ignore_signals()
        raise KeyboardInterrupt

    with handled(SIGNALS, interrupt):
        yield
