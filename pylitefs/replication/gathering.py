"""Transactions that came together are applied together.

An apply costs its locks and its hand-overs, however small the transaction is. So a replica that is behind
takes what has come in one go:

    stream thread: a short LTX file came whole    --> add()
                   nothing more has come by now,
                   or something else comes first  --> flush(): all of them are handed on

The rule: nothing waits here for what has not come yet. A transaction that comes alone is handed on at once.
"""

from collections.abc import Callable

from pylitefs.store.together import MOST_TOGETHER

SHORT = 64 * 1024
"""Bytes of an LTX file that may be gathered; a longer one is received while it comes."""
MOST_BYTES = 1 << 20


class Gathering:
    """LTX files by database, each one's in the order in which they came. `hand_on(name, files)` gets them."""

    def __init__(self, hand_on: Callable[[str, list[bytes]], None]) -> None:
        self._hand_on = hand_on
        self._files: dict[str, list[bytes]] = {}
        self._count = self._size = 0
        self.handed_on = 0
        """Files that were handed on, in all."""

    def __len__(self) -> int:
        return self._count

    def add(self, name: str, content: bytes) -> None:
        """One more; all are handed on once they are many."""
        self._files.setdefault(name, []).append(content)
        self._count += 1
        self._size += len(content)
        if self._count >= MOST_TOGETHER or self._size >= MOST_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand on what is here."""
        files = self._files
        self.handed_on += self._count
        self.forget()
        for name, contents in files.items():
            self._hand_on(name, contents)

    def forget(self) -> None:
        """The connection is gone: what is here is asked for again."""
        self._files = {}
        self._count = self._size = 0
