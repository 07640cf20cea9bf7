"""A file that one thread writes from its beginning on, while another reads it.

    writer: grew(bytes) ... end()          reader: ready(bytes it has had) ... give_up()

The rule: neither waits for one that has ended. The writer is never held up by a slow reader, for it may hold
locks; it hears of one that has given up at its next step.
"""

import threading

from pylitefs.errors import PylitefsError


class GivenUpError(PylitefsError):
    """Nobody reads any more."""


class Growing:
    """How much of the file is final, counted in bytes from its beginning."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._size = 0
        self._ended = self._given_up = False
        self._error: BaseException | None = None

    def grew(self, size: int) -> None:
        """So many bytes are final. Raises GivenUpError."""
        with self._changed:
            if self._given_up:
                raise GivenUpError("what is copied is not read any more")
            self._size = size
            self._changed.notify_all()

    def end(self, error: BaseException | None = None) -> None:
        """There will be no more: all is there, or that came in between."""
        with self._changed:
            self._ended, self._error = True, self._error or error
            self._changed.notify_all()

    def ready(self, had: int) -> int:
        """Wait for more bytes than `had`: how many there are; `had` again at the end. Raises the writer's
        error."""
        with self._changed:
            self._changed.wait_for(lambda: self._size > had or self._ended)
            if self._error is not None:
                raise self._error
            return max(had, self._size)

    def give_up(self) -> None:
        """The reader ends."""
        with self._changed:
            self._given_up = True
