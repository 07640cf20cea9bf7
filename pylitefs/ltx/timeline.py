"""A database's states one after the other, and any page of any of them, out of the LTX files themselves.

The rule: nothing is restored. The newest file up to a TXID that has a page, has it as it was then. A list
in memory says which file that is; large files are not in it, they are asked (lookup.py). Where no file has
it, the database as it is now does, unless a later file changed the page: then it is gone, and the error says
so.
A file that cuts the database shorter ends what older files say of the pages behind its end.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

from pylitefs.errors import HistoryGoneError, RestoreError
from pylitefs.ltx.header import format_txid
from pylitefs.ltx.lookup import Library, PageFile
from pylitefs.ltx.node_pages import pages_now
from pylitefs.ltx.plan import HistoryFile, finest_chain, gap_text, state_before, why_not
from pylitefs.ltx.source import Source, open_source
from pylitefs.sqlite.locks import lock_pgno

ReadPage = Callable[[int], bytes]
_LISTED = 1024 * 1024
"""Bytes of an LTX file up to which its page numbers are held in memory."""


class Timeline:
    """The states that a chain of files leads through, oldest first."""

    def __init__(self, files: Sequence[HistoryFile], library: Library, base: ReadPage | None = None) -> None:
        """The chain begins with TXID 1, or `base` reads the database as it is after its last file.

        Raises LtxError for a file without a header or an index, OSError.
        """
        self.files: list[HistoryFile] = []
        self._library = library
        self._base = base
        self._pages: list[PageFile] = []
        self._where: dict[int, list[int]] = {}
        """The files in the chain that have a page, ascending."""
        self._large: list[int] = []
        self._cuts: list[int] = []
        """The files that leave the database with fewer pages than the one before."""
        self.gap = ""
        """What is said of files after a gap, which lead nowhere; "" if there are none."""
        self.extend(files)

    def extend(self, files: Sequence[HistoryFile]) -> None:
        """Further files, which go on from the last."""
        for file in files:
            opened = self._library.file(file.path)
            number = len(self.files)
            if file.size > _LISTED:
                self._large.append(number)
            else:
                for pgno in opened.pgnos():
                    self._where.setdefault(pgno, []).append(number)
            if number and opened.header.commit < self._pages[-1].header.commit:
                self._cuts.append(number)
            self.files.append(file)
            self._pages.append(opened)

    @property
    def reads(self) -> int:
        """How often something was read of the files, until now."""
        return self._library.reads

    @property
    def begins_at(self) -> int:
        """The TXID before the first file: 0, or the files before are gone."""
        return self.files[0].min_txid - 1

    @property
    def txids(self) -> list[int]:
        """The states: the TXID with which each file ends."""
        return [file.max_txid for file in self.files]

    def moment(self, txid: int) -> "Moment":
        """The state after a transaction. Raises RestoreError if none of the files ends with it."""
        ends = self.txids
        at = bisect_left(ends, txid)
        if at == len(ends) or ends[at] != txid:
            raise RestoreError(self.gap if at == len(ends) and self.gap else why_not(self.files, txid))
        return self.moment_at(at)

    def moment_at(self, number: int) -> "Moment":
        """The state after file `number` of the chain."""
        return Moment(self, number + 1, self._pages[number])

    def page(self, pgno: int, upto: int) -> bytes:
        """A page as it was after the first `upto` files."""
        found = self._newest(pgno, upto)
        if found is not None:
            return found
        txid = format_txid(self.files[upto - 1].max_txid)
        later = self._later(pgno, upto)
        if self.begins_at and later is not None:
            raise HistoryGoneError(
                f"page {pgno} as it was after {txid} is not in the history any more: {later.span} changed "
                "it, and the files before are gone"
            )
        if self._base is None or not self.begins_at:
            raise RestoreError(f"a hole: page {pgno} of the state after {txid} is in none of the files")
        return self._base(pgno)

    def changed_after(self, pgno: int, upto: int) -> bool:
        """Whether a file after the first `upto` ones changed a page, or cut it off."""
        return self._later(pgno, upto) is not None

    def _newest(self, pgno: int, upto: int) -> bytes | None:
        listed = self._where.get(pgno, [])
        at = bisect_left(listed, upto)
        best = listed[at - 1] if at else -1
        page = None
        for number in reversed(self._large):
            if best < number < upto and (page := self._pages[number].page(pgno)) is not None:
                best = number
                break
        if best < 0 or self._is_cut(pgno, best, upto):
            return None
        return page if page is not None else self._pages[best].page(pgno)

    def _is_cut(self, pgno: int, since: int, upto: int) -> bool:
        return any(since < cut < upto and self._pages[cut].header.commit < pgno for cut in self._cuts)

    def _later(self, pgno: int, upto: int) -> HistoryFile | None:
        """A file after that which changed the page, or cut it off."""
        numbers = [number for number in self._where.get(pgno, ()) if number >= upto]
        numbers += [one for one in self._large if one >= upto and self._pages[one].page(pgno) is not None]
        numbers += [one for one in self._cuts if self._pages[one].header.commit < pgno]
        return self.files[min(numbers)] if numbers else None


class Moment:
    """The database after a TXID."""

    def __init__(self, timeline: Timeline, upto: int, newest: PageFile) -> None:
        self._timeline = timeline
        self._upto = upto
        self.txid = newest.header.max_txid
        self.time_ms = newest.header.timestamp_ms
        self.page_size = newest.header.page_size
        self.page_count = newest.header.commit
        """0 after a drop."""

    @property
    def size(self) -> int:
        """Bytes of the database file."""
        return self.page_size * self.page_count

    def page(self, pgno: int) -> bytes:
        """A page of it. Raises HistoryGoneError, RestoreError for a hole, LtxError for a damaged file."""
        if not 0 < pgno <= self.page_count:
            raise RestoreError(
                f"page {pgno} is past the end of the state after {format_txid(self.txid)}, "
                f"which has {self.page_count}"
            )
        if pgno == lock_pgno(self.page_size):
            return bytes(self.page_size)
        page = self._timeline.page(pgno, self._upto)
        if len(page) != self.page_size:
            raise RestoreError(f"page {pgno} has {len(page)} bytes, and the database's have {self.page_size}")
        return page

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the database file; fewer only at its end."""
        parts: list[bytes] = []
        end = min(offset + size, self.size)
        while offset < end:
            number, skipped = divmod(offset, self.page_size)
            part = self.page(number + 1)[skipped : skipped + end - offset]
            parts.append(part)
            offset += len(part)
        return b"".join(parts)


def chain_of(source: Source, first: int | None) -> list[HistoryFile]:
    """The finest chain of a source's files, from the newest whole state that is not past `first` on; from the
    oldest one if `first` is None. Raises RestoreError if there is none to begin with."""
    start = state_before(source.files, first)
    if start is not None:
        return [start, *finest_chain(source.files, start.max_txid)]
    if source.database is None:
        raise RestoreError(
            f"{source.path} has no beginning: no snapshot or file from TXID 1"
            + (f" up to {format_txid(first)}" if first is not None else "")
        )
    chain = finest_chain(source.files, min(file.min_txid for file in source.files) - 1)
    for before, after in pairwise(chain):
        if after.min_txid > before.max_txid + 1:
            raise RestoreError(f"{source.path} has a gap before {after.span}")
    return chain


@contextmanager
def open_timeline(path: Path, first: int | None = None) -> Iterator[Timeline]:
    """The states of a source (source.py), those from `first` on at least.

    Raises RestoreError, LtxError; BusyError at its end if a page was read of the node's database and changed.
    """
    source = open_source(path)
    chain = chain_of(source, first)
    with ExitStack() as stack:
        library = stack.enter_context(Library())
        base: ReadPage | None = None
        if chain[0].min_txid > 1 and source.database is not None:
            base = stack.enter_context(pages_now(source, chain[-1].max_txid))
        timeline = Timeline(chain, library, base)
        beyond = [file for file in source.files if file.max_txid > chain[-1].max_txid]
        if beyond:
            following = min(beyond, key=lambda file: file.min_txid)
            timeline.gap = gap_text(chain[-1].max_txid, following)
        yield timeline
