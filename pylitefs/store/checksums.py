"""The rolling checksum of a database: one 64-bit number a page, and their XOR.

The rule: after every transaction `value` equals the checksum of the bytes on disk. A transaction costs only
what its own pages cost, for XOR takes an old page out and puts the new one in.

    value' = value ^ old(1) ^ new(1) ^ old(7) ^ new(7) ...      (bit 63 always set)
"""

import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from operator import xor
from typing import TYPE_CHECKING

from pylitefs.ltx.checksum import CHECKSUM_FLAG

if TYPE_CHECKING:
    from pylitefs.numeric import np

_MANY = 64
"""From so many pages on a loop is slow. Pages that are neighbours, as those of a whole database, are worked
on together as they lie; for others NumPy is loaded."""
_VERY_MANY = 1 << 17
"""From so many on it is quicker to load NumPy first than to do without."""
_WORD = 64
"""Bits of a checksum."""


class Changes:
    """The pages of one transaction with their new checksums, ascending: 12 bytes a page, however many."""

    def __init__(self) -> None:
        self.pgnos = array("I")
        self.sums = array("Q")

    def add(self, pgno: int, checksum: int) -> None:
        """A page that comes after those before."""
        self.pgnos.append(pgno)
        self.sums.append(checksum)

    def extend(self, pgnos: list[int], checksums: list[int]) -> None:
        """The same for many: as many checksums as pages."""
        assert len(pgnos) == len(checksums)
        self.pgnos.extend(pgnos)
        self.sums.extend(checksums)

    def __len__(self) -> int:
        return len(self.pgnos)

    def __iter__(self) -> Iterator[int]:
        return iter(self.pgnos)

    @property
    def row(self) -> slice | None:
        """Where these pages lie in a database, counted from 0, if they are many and neighbours."""
        count = len(self.pgnos)
        if count < _MANY or self.pgnos[-1] - self.pgnos[0] != count - 1:
            return None
        return slice(self.pgnos[0] - 1, self.pgnos[-1])

    def items(self) -> Iterable[tuple[int, int]]:
        """Page number and checksum of each."""
        return zip(self.pgnos, self.sums, strict=True)


Pages = Mapping[int, int] | Changes
"""Pages and their checksums."""


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

    def holds(self, pages: Pages) -> bool:
        """Whether each of these pages (pgno to checksum) is as it says."""
        if isinstance(pages, Changes) and (row := pages.row) is not None:
            return self._sums[row] == pages.sums
        if isinstance(pages, Changes) and len(pages) >= _MANY:
            from pylitefs.numeric import np

            return bool(np.array_equal(self._old(pages), np.frombuffer(pages.sums, dtype=np.uint64)))
        return all(self.page(pgno) == checksum for pgno, checksum in pages.items())

    def changes_nothing(self, pages: Pages, commit: int) -> bool:
        """Whether these pages (pgno to checksum) and `commit` pages in all leave everything as it is."""
        return commit == len(self._sums) and self.holds(pages)

    def preview(self, pages: Pages, commit: int) -> int:
        """The database's checksum after a transaction: its pages' new checksums, `commit` pages in all."""
        value = self._xor
        if isinstance(pages, Changes) and (row := pages.row) is not None:
            value ^= _xor(self._sums[row], 0) ^ _xor(pages.sums, 0)
        elif isinstance(pages, Changes) and len(pages) >= _MANY:
            from pylitefs.numeric import np

            value ^= int(np.bitwise_xor.reduce(self._old(pages))) ^ _xor(pages.sums, 0)
        else:
            for pgno, new in pages.items():
                value ^= self.page(pgno) ^ new
        if commit < len(self._sums):
            value ^= _xor(self._sums, commit)
        return value | CHECKSUM_FLAG

    def update(self, pages: Pages, commit: int) -> None:
        """Make it so: the same arguments as `preview`."""
        self._xor = self.preview(pages, commit)
        sums = self._sums
        if commit < len(sums):
            del sums[commit:]
        elif commit > len(sums):
            sums.frombytes(bytes(8 * (commit - len(sums))))
        if isinstance(pages, Changes) and (row := pages.row) is not None:
            sums[row] = pages.sums
        elif isinstance(pages, Changes) and len(pages) >= _MANY:
            from pylitefs.numeric import np

            at = np.frombuffer(pages.pgnos, dtype=np.uint32) - np.uint32(1)
            np.frombuffer(sums, dtype=np.uint64)[at] = np.frombuffer(pages.sums, dtype=np.uint64)
        else:
            for pgno, new in pages.items():
                sums[pgno - 1] = new

    def _old(self, pages: Changes) -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
        """The checksum of each of these pages as it is now; 0 past the end."""
        from pylitefs.numeric import np

        old = np.zeros(len(pages), dtype=np.uint64)
        at = np.frombuffer(pages.pgnos, dtype=np.uint32)
        inside = int(np.searchsorted(at, len(self._sums), side="right"))  # They ascend.
        if inside:
            old[:inside] = np.frombuffer(self._sums, dtype=np.uint64)[at[:inside] - np.uint32(1)]
        return old


class Ahead:
    """What several transactions make of a database's checksums, one after the other. Nothing is changed: the
    pages' new checksums gather in `pages`, for `update`."""

    def __init__(self, base: PageChecksums) -> None:
        self._base = base
        self._xor = base.value
        self.page_count = base.page_count
        self.pages: dict[int, int] = {}

    def add(self, pages: Pages, commit: int) -> int:
        """The database's checksum after one more, of `commit` pages in all. ValueError if it shrinks it."""
        if commit < self.page_count:
            raise ValueError(f"from {self.page_count} pages to {commit}")
        for pgno, new in pages.items():
            old = self.pages.get(pgno)
            self._xor ^= new ^ (self._base.page(pgno) if old is None else old)
            self.pages[pgno] = new
        self.page_count = commit
        return self._xor | CHECKSUM_FLAG


def _xor(sums: "array[int]", start: int) -> int:
    """Of all from `start` on. Many are one long number, of which one half is laid over the other again and
    again: a few long operations instead of one for each."""
    count = len(sums) - start
    if count < _MANY:
        return reduce(xor, sums[start:], 0)
    if count >= _VERY_MANY:
        from pylitefs.numeric import np

        return int(np.bitwise_xor.reduce(np.frombuffer(sums, dtype=np.uint64)[start:]))
    number = int.from_bytes(sums[start:].tobytes(), sys.byteorder)
    while count > 1:
        count = (count + 1) // 2
        upper = number >> (_WORD * count)
        number ^= upper ^ (upper << (_WORD * count))
    return number
