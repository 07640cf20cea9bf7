"""Which commits the WAL holds, told from the writes as SQLite makes them.

The WAL (https://www.sqlite.org/fileformat2.html#walformat) is a 32-byte header and frames of 24 bytes
and a page. A frame belongs to the chain when its salts are the header's and its checksum continues
that of the frame before; a frame with a nonzero commit field ends a transaction. Writes arrive in
pieces, and in an order of SQLite's choosing:

    header | 24 bytes | page...page (split at 4 KiB file boundaries) | 24 bytes | page...page

After a cache spill, pages are written over frames of the same transaction and then only the 24-byte headers
again, since every later checksum changed; so *the last write of a commit can be a header alone*. Until then
the headers of its frames have zeros for salts and checksum. Some frames keep their zeros for good (seen with
SQLite 3.40): a savepoint is rolled back after a page was written over, and SQLite then writes the headers
again from that page's frame on, but not those before it. If the transaction is shorter now, none is written
again. SQLite's readers see these frames all the same, for they go by the WAL index. Its recovery would not.
What SQLite owes outlives a header: where a savepoint takes back all frames since the WAL began anew, its
header is written once more, and the frames after it still have zeros.

The rule: this module decides from bytes and does no I/O of its own (`read_at` is handed in); a commit is
reported exactly once, at the write that completes it.

    frames:   1 ... captured | captured+1 ... verified | ... (not looked at yet)
              in LTX files   | chain checked           |
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from pylitefs.errors import SqliteFormatError
from pylitefs.sqlite import ReadAt
from pylitefs.sqlite.wal import (
    FRAME_HEADER_SIZE,
    WAL_HEADER_SIZE,
    FrameHeader,
    WalHeader,
    frame_checksum,
    frame_offset,
)

_BATCH = 1 << 20
_KEEP = 8 << 20
"""A transaction's page data up to this many bytes is kept from verifying to capture, so it is read once."""


@dataclass
class WalCommit:
    """One committed transaction in the WAL: frames `first`..`last`, `page_count` pages after it."""

    first: int
    last: int
    page_count: int
    frames: dict[int, int]
    """The newest frame of each page, by page number."""
    data: dict[int, memoryview]
    """The page's bytes, for those kept in memory; the others are read again from their frame."""


@dataclass
class _Chain:
    """The frames past `captured` that verify: their cumulative checksums, page numbers, kept bytes."""

    checksums: list[tuple[int, int]] = field(default_factory=list)
    pgnos: list[int] = field(default_factory=list)
    data: dict[int, memoryview] = field(default_factory=dict)
    kept: int = 0

    def cut(self, length: int) -> None:
        """Forget all but the first `length` frames."""
        if length < len(self.pgnos):
            del self.checksums[length:], self.pgnos[length:]
            self.data = {index: page for index, page in self.data.items() if index < length}
            self.kept = sum(len(page) for page in self.data.values())


class WalTracker:
    """Follows one WAL file through its writes. `header` is None while there is no valid one."""

    def __init__(self) -> None:
        self.reset(0)

    def reset(self, page_count: int) -> None:
        """The WAL is gone or empty; the database file has `page_count` pages."""
        self._head = bytearray(WAL_HEADER_SIZE)
        self._start(None, page_count)

    def _start(self, header: WalHeader | None, page_count: int) -> None:
        self.header = header
        self.frame_size = FRAME_HEADER_SIZE + header.page_size if header else 0
        self.captured = 0
        self.pgnos = array("I")
        self.pages: dict[int, int] = {}
        """Page number to its newest captured frame: what lies over the database file."""
        self._boundaries: list[tuple[int, int]] = [(0, page_count)]
        self._base = (header.checksum1, header.checksum2) if header else (0, 0)
        self._chain = _Chain()
        self._headers: dict[int, bytearray] = {}
        self._commit_frames: set[int] = set()
        self._complete = 0
        self._bases = {0: self._base}
        self._end = 0
        """Where the newest write ended: a page that does not begin there is written over an older one."""
        self._begun = 0
        """The frame whose header was the newest to be written, until its page is."""
        self._unsummed: set[int] = set()
        """Frames past `captured` with zeros for salts and checksum."""
        self._resum = 0
        """The first frame written over, from which the commit is to write headers again; 0 if none was."""
        self.unsummed = False
        """Whether captured frames have zeros for salts and checksum, so that SQLite's recovery ends there."""

    @property
    def is_between(self) -> bool:
        """Whether nothing was written after the last commit, or the last WAL: then nobody is half-way."""
        return not self._headers and (self.captured > 0 or self.header is None)

    @property
    def last_commit(self) -> tuple[int, int]:
        """(first, last) frame of the newest captured transaction; (1, 0) if there is none."""
        if len(self._boundaries) < 2:
            return 1, 0
        return self._boundaries[-2][0] + 1, self._boundaries[-1][0]

    def frame_offset(self, frame: int) -> int:
        """Byte offset of a frame's 24-byte header; frames count from 1."""
        return WAL_HEADER_SIZE + (frame - 1) * self.frame_size

    def frame_at(self, offset: int) -> int:
        """The frame that holds the byte at `offset`, which must be past the header."""
        return (offset - WAL_HEADER_SIZE) // self.frame_size + 1

    def header_after(self, offset: int, data: "bytes | memoryview") -> WalHeader | None:
        """The valid header the WAL would have after this write into its first 32 bytes, else None."""
        head = bytearray(self._head)
        piece = bytes(data[: WAL_HEADER_SIZE - offset])
        head[offset : offset + len(piece)] = piece
        self._head = head
        try:
            return WalHeader.parse(head)
        except SqliteFormatError:
            return None

    def restart(self, header: WalHeader | None, page_count: int) -> None:
        """A new header was written: frames count from 1 again."""
        resum = self._resum
        self._start(header, page_count)
        self._resum = resum  # In the same transaction SQLite owes it still; in another, salts come next.

    def note(self, offset: int, data: "bytes | memoryview") -> None:
        """Bytes were written past the header. What lies in captured frames is what was there before."""
        if self.header is None:
            return
        end = offset + len(data)
        size = self.frame_size
        goes_on, self._end = offset == self._end, end
        offset = max(offset, self.frame_offset(self.captured + 1))
        for frame in range(self.frame_at(offset), self.frame_at(end - 1) + 1):
            start = WAL_HEADER_SIZE + (frame - 1) * size
            self._chain.cut(frame - 1 - self.captured)
            if offset < start + FRAME_HEADER_SIZE:
                self._note_header(frame, start, end - len(data), data)
            elif not goes_on:
                self._resum = min(frame, self._resum or frame)
            if end >= start + size:
                self._complete = max(self._complete, frame)
                self._begun = 0

    def _note_header(self, frame: int, start: int, offset: int, data: "bytes | memoryview") -> None:
        header = self._headers.setdefault(frame, bytearray(FRAME_HEADER_SIZE))
        low = max(start, offset)
        piece = bytes(data[low - offset : start + FRAME_HEADER_SIZE - offset])
        header[low - start : low - start + len(piece)] = piece
        if header[4:8] != b"\0\0\0\0":
            self._commit_frames.add(frame)
        else:
            self._commit_frames.discard(frame)
        if low + len(piece) == start + FRAME_HEADER_SIZE:
            self._begun = frame
            if any(header[8:]):
                self._unsummed.discard(frame)
                self._resum = 0  # SQLite writes salts and checksums only where it owes none.
            else:
                self._unsummed.add(frame)

    def _is_last_write_done(self, frame: int) -> bool:
        """Whether SQLite has written what there is to write for the commit that ends in this frame."""
        if frame > self._complete:
            return False
        return frame not in self._unsummed or (frame < self._resum and frame != self._begun)

    def commits(self, read_at: ReadAt) -> Iterator[WalCommit]:
        """The transactions that are complete now; the caller captures each and then calls `capture`."""
        while self._commit_frames:
            found = self._verify_to_commit(read_at)
            if found is None:
                return
            yield found
            if found.last > self.captured:
                return

    def _verify_to_commit(self, read_at: ReadAt) -> WalCommit | None:
        """Check the chain onwards to the next commit frame; None if it is not whole yet."""
        chain, header = self._chain, self.header
        last = max(filter(self._is_last_write_done, self._commit_frames), default=0)
        if header is None or self.captured + len(chain.pgnos) >= last:
            return None
        size = self.frame_size
        while (at := self.captured + len(chain.pgnos) + 1) <= last:
            count = min(last - at + 1, max(1, _BATCH // size))
            view = memoryview(read_at(self.frame_offset(at), count * size))
            for index in range(len(view) // size):
                raw = view[index * size : (index + 1) * size]
                frame = FrameHeader.parse(raw[:FRAME_HEADER_SIZE])
                if not self._verify(at + index, frame, raw, header):
                    return None
                if frame.commit:
                    if at + index in self._unsummed:
                        chain.checksums[-1] = self._stored_checksum(self._resum - 1, read_at, header)
                    return self._found(at + index, frame.commit)
            if len(view) < count * size:
                return None
        return None

    @staticmethod
    def _stored_checksum(frame: int, read_at: ReadAt, header: WalHeader) -> tuple[int, int]:
        """The checksum in a frame of the file, be it left by a rollback: SQLite goes on from there."""
        if frame == 0:
            return header.checksum1, header.checksum2
        stored = FrameHeader.parse(read_at(frame_offset(frame, header.page_size), FRAME_HEADER_SIZE))
        return stored.checksum1, stored.checksum2

    def _verify(self, number: int, frame: FrameHeader, raw: memoryview, header: WalHeader) -> bool:
        chain = self._chain
        page = raw[FRAME_HEADER_SIZE:]
        if number in self._unsummed:
            s1, s2 = 0, 0
        elif (frame.salt1, frame.salt2) == (header.salt1, header.salt2):
            s1, s2 = chain.checksums[-1] if chain.checksums else self._base
            s1, s2 = frame_checksum(raw, page, s1, s2, header.big_endian)
            if self.unsummed and not chain.checksums and (s1, s2) != (frame.checksum1, frame.checksum2):
                # Its header was written again: SQLite goes on from the last commit's, which holds zeros.
                s1, s2 = frame_checksum(raw, page, 0, 0, header.big_endian)
        else:
            return False
        if (s1, s2) != (frame.checksum1, frame.checksum2) or frame.pgno == 0:
            return False
        if chain.kept + len(page) <= _KEEP:
            chain.data[len(chain.pgnos)] = page
            chain.kept += len(page)
        chain.checksums.append((s1, s2))
        chain.pgnos.append(frame.pgno)
        return True

    def _found(self, last: int, page_count: int) -> WalCommit:
        chain, first = self._chain, self.captured + 1
        frames: dict[int, int] = {}
        data: dict[int, memoryview] = {}
        for index, pgno in enumerate(chain.pgnos[: last - self.captured]):
            frames[pgno] = first + index
            data.pop(pgno, None)
            if index in chain.data:
                data[pgno] = chain.data[index]
        return WalCommit(first, last, page_count, frames, data)

    def capture(self, commit: WalCommit) -> None:
        """The transaction is in an LTX file (or was found to be none): its frames are done with."""
        chain, count = self._chain, commit.last - self.captured
        self._base = self._bases[commit.last] = chain.checksums[count - 1]
        self.pgnos.extend(chain.pgnos[:count])
        self.pages.update(commit.frames)
        self._boundaries.append((commit.last, commit.page_count))
        self.captured = commit.last
        self._chain = _Chain()
        self._headers = {frame: head for frame, head in self._headers.items() if frame > self.captured}
        self._commit_frames = {frame for frame in self._commit_frames if frame > self.captured}
        self._resum = 0
        self.unsummed = self.unsummed or any(frame <= self.captured for frame in self._unsummed)
        self._unsummed = {frame for frame in self._unsummed if frame > self.captured}

    def extend_last(self, commit: WalCommit) -> None:
        """A commit frame came once more (`psow=0` pads to a sector): it belongs to the newest transaction."""
        self.capture(commit)
        newest = self._boundaries.pop()
        self._boundaries[-1] = newest

    def boundary_before(self, frame: int) -> tuple[int, int]:
        """The last frame of the newest captured transaction that ends before `frame`, and the page count
        after it; (0, the database file's page count) if there is none."""
        return next(one for one in reversed(self._boundaries) if one[0] < frame)

    def lose(self, kept: int) -> None:
        """Frames past `kept`, the last of a transaction, are being overwritten: they were never published."""
        while self._boundaries[-1][0] > kept:
            self._boundaries.pop()
        del self.pgnos[kept:]
        self.pages = {pgno: index + 1 for index, pgno in enumerate(self.pgnos)}
        self.captured = kept
        self._chain, self._headers, self._commit_frames, self._complete = _Chain(), {}, set(), kept
        self._unsummed, self._resum, self._begun = set(), 0, 0
        self._base = self._bases[kept]
