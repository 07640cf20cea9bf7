"""The rolling checksum of a database: one 64-bit number a page, and their XOR.

The rule (invariant 2): after every transaction `value` equals the checksum of the bytes on disk, and a
transaction costs what its own pages cost: XOR takes an old page out and puts the new one in.

    value' = value ^ old(1) ^ new(1) ^ old(7) ^ new(7) ...      (bit 63 always set)
"""

from array import array
from collections.abc import Iterable, Mapping

import numpy as np

from pylitefs.ltx.checksum import CHECKSUM_FLAG


class PageChecksums:
    """The checksum of each page of one database, page 1 first; 0 for the lock page.

    `preview` says what a transaction would make of the whole without changing anything, so that an LTX
    file can be finished or refused before anything moves; `update` then makes it so.
    """

    def __init__(self, sums: Iterable[int] = ()) -> None:
        self._sums = array("Q", sums)
        self._xor = _xor(self._sums, 0)

    def copy(self) -> "PageChecksums":
        """The same checksums, to go on from separately."""
        return PageChecksums(self._sums)

    @property
    def page_count(self) -> int:
        return len(self._sums)

    @property
    def value(self) -> int:
        """The database's checksum; CHECKSUM_FLAG alone if it is empty."""
        return self._xor | CHECKSUM_FLAG

    def page(self, pgno: int) -> int:
        """The checksum of a page; 0 past the end and for the lock page."""
        return self._sums[pgno - 1] if pgno <= len(self._sums) else 0

    def holds(self, pages: Mapping[int, int]) -> bool:
        """Whether each of these pages (pgno to checksum) is as it says."""
        return all(self.page(pgno) == checksum for pgno, checksum in pages.items())

    def changes_nothing(self, pages: Mapping[int, int], commit: int) -> bool:
        """Whether these pages (pgno to checksum) and `commit` pages in all leave everything as it is."""
        return commit == len(self._sums) and self.holds(pages)

    def preview(self, pages: Mapping[int, int], commit: int) -> int:
        """The database's checksum after a transaction: its pages' new checksums, `commit` pages in all."""
        xor = self._xor
        for pgno, new in pages.items():
            xor ^= self.page(pgno) ^ new
        if commit < len(self._sums):
            xor ^= _xor(self._sums, commit)
        return xor | CHECKSUM_FLAG

    def update(self, pages: Mapping[int, int], commit: int) -> None:
        """Make it so: the same arguments as `preview`."""
        self._xor = self.preview(pages, commit)
        sums = self._sums
        if commit < len(sums):
            del sums[commit:]
        elif commit > len(sums):
            sums.frombytes(bytes(8 * (commit - len(sums))))
        for pgno, new in pages.items():
            sums[pgno - 1] = new


def _xor(sums: "array[int]", start: int) -> int:
    if len(sums) <= start:
        return 0
    return int(np.bitwise_xor.reduce(np.frombuffer(sums, dtype=np.uint64)[start:]))
