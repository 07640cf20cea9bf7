"""Transactions that came together are applied together.

An apply costs its locks and its hand-overs, however small the transaction is. So a replica that is behind
takes what has come in one go:

    stream thread: a short LTX file came whole    --> add()
                   nothing more has come by now,
                   or something else comes first  --> flush(): all of them are handed on

The rule: nothing waits here for what has not come yet. A transaction that comes alone is handed on at once.
"""

from collections.abc import Callable

from pylitefs.store.incoming import MOST_TOGETHER

SHORT = 64 * 1024
"""Bytes of an LTX file that may be gathered; a longer one is received while it comes."""
MOST_BYTES = 1 << 20


class Gathering:
    """LTX files of one database, in the order in which they came. `hand_on(name, files)` takes them in."""

    def __init__(self, hand_on: Callable[[str, list[bytes]], None]) -> None:
        self._hand_on = hand_on
        self._name = ""
        self._files: list[bytes] = []
        self._size = 0

    def add(self, name: str, content: bytes) -> None:
        """One more; those of another database are handed on first, and all of them once they are many."""
        if name != self._name:
            self.flush()
        self._name = name
        self._files.append(content)
        self._size += len(content)
        if len(self._files) >= MOST_TOGETHER or self._size >= MOST_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand on what is here."""
        if self._files:
            name, files = self._name, self._files
            self.forget()
            self._hand_on(name, files)

    def forget(self) -> None:
        """The connection is gone: what is here is asked for again."""
        self._name, self._files, self._size = "", [], 0
