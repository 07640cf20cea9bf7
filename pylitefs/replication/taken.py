"""What a replica has taken of its stream: HTTP/2's own flow control tells it.

Who reads a stream gives its window back, byte for byte, as it takes them (WINDOW_UPDATE). So the protocol has
an acknowledgement, and real LiteFS's nodes, which know of no other, give and get it as well.

    primary:  sent(n, database, TXID)      the transaction ends n bytes into the stream
              given_back(bytes)            what of it is taken by now
    replica:  Giving.read(n)               give back what is applied: not each time, for each has its price

The rule: a replica of ours gives bytes back once what is in them is applied, or waits for readers there.
Format: https://www.rfc-editor.org/rfc/rfc9113#section-5.2
"""

from collections import deque
from collections.abc import Callable, Mapping

TRANSACTIONS = 8
"""A replica gives bytes back after so many transactions, or after that many bytes."""
BYTES = 256 * 1024


class Taken:
    """The primary's side of one stream."""

    def __init__(self) -> None:
        self._sent: deque[tuple[int, str, int]] = deque()
        self._bytes = 0

    def sent(self, end: int, name: str, txid: int) -> None:
        """A transaction's bytes end there, counted from the stream's first."""
        self._sent.append((end, name, txid))

    def given_back(self, size: int) -> Mapping[str, int]:
        """So many bytes were taken; of each database that moved, the newest TXID that is wholly in them."""
        self._bytes += size
        moved = {}
        while self._sent and self._sent[0][0] <= self._bytes:
            _, name, txid = self._sent.popleft()
            moved[name] = txid
        return moved


class Giving:
    """The replica's side: `give_back(bytes)` tells the primary."""

    def __init__(self, give_back: Callable[[int], None]) -> None:
        self._give_back = give_back
        self._read = self._done = self._given = 0
        self._count = self._handed_on = 0

    def read(self, size: int, waiting: int, handed_on: int) -> None:
        """So many bytes more were read and looked at. `waiting` transactions of them are not handed on to
        be applied yet; `handed_on` were, in all."""
        before = self._read
        self._read += size
        if not waiting:
            self._done = self._read
        elif handed_on != self._handed_on:
            self._done = before
        self._handed_on = handed_on
        due = self._done - self._given
        if due >= BYTES or (due > 0 and handed_on - self._count >= TRANSACTIONS):
            self._given, self._count = self._done, handed_on
            self._give_back(due)
