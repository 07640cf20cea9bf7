"""From the bytes that came with an event to the dumps that are shown with it.

The rule: a dump says what it shows and what it leaves out, is never longer than `MOST_BYTES`, and the same
bytes under the same key are the same dump. Changed bytes are those that the key's last dump had otherwise;
in an LTX file, those of its pages that the transaction changed.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from pylitefs.lecture.anatomy import database as anatomy_database
from pylitefs.lecture.anatomy import frame as anatomy_frame
from pylitefs.lecture.anatomy import journal as anatomy_journal
from pylitefs.lecture.anatomy import ltx as anatomy_ltx
from pylitefs.lecture.anatomy import position as anatomy_position
from pylitefs.lecture.anatomy import wal as anatomy_wal
from pylitefs.lecture.anatomy import wal_index as anatomy_wal_index
from pylitefs.lecture.anatomy.fields import clip
from pylitefs.lecture.history.file_images import Image, differences
from pylitefs.lecture.history.raw_events import RawItem
from pylitefs.lecture.history.xor import LtxContent
from pylitefs.lecture.model import Dump, Json, Part
from pylitefs.ltx.header import Header
from pylitefs.ltx.position import Pos
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE, is_page_size
from pylitefs.sqlite.journal import is_journal_header_valid
from pylitefs.sqlite.wal import WAL_HEADER_SIZE, WalHeader, frame_offset

MOST_BYTES = 64 * 1024
_MOST_PAGE_DUMPS = 4
"""Of pages that came in one piece; more are one dump of the file."""


class Dumps:
    """Keeps the last dump for each key, and what the files are known to hold."""

    def __init__(self) -> None:
        self._last: dict[str, Dump] = {}
        self._images: dict[tuple[str, str, str], Image] = {}
        self._wal_headers: dict[tuple[str, str], WalHeader] = {}
        self._wal_done: dict[tuple[str, str], int] = {}
        """The last frame of the commit before."""
        self._ended: set[tuple[str, str]] = set()
        """Whose rollback journal has ended, though the file may be there."""
        self._page_sizes: dict[tuple[str, str], int] = {}
        self._pages: dict[tuple[str, str], dict[int, bytes]] = {}
        """The pages as the LTX files of this node left them."""

    def of_event(
        self, node: str, event: Json, items: Iterable[RawItem], ltx: LtxContent | None, frame: Json | None
    ) -> list[Dump]:
        """The dumps of one event, the most telling first."""
        one = _Telling(self, node, event, frame)
        if one.name == "recovery.begin":
            self._ended.discard(one.place)
        elif one.name == "journal.invalidate":
            self._ended.add(one.place)
        elif one.name in ("journal.open", "journal.write") and not one.payload.get("zeroed"):
            self._ended.discard(one.place)
        if one.name == "journal.open":
            self._forget_key(f"{node} {one.database}-journal")
            self._images.pop((node, one.database, "journal"), None)
        found: list[Dump] = []
        if one.name in ("pos.advance", "recovery.end"):
            found += one.position()
        for item in items:
            found += one.of_item(item, ltx)
        if one.name == "wal.commit":
            self._wal_done[node, one.database] = one.number("last")
        # What was written last tells the most: of the WAL's header and a frame, the frame.
        unique = {dump.key: dump for dump in found}
        return sorted(unique.values(), key=lambda dump: _ORDER.get(dump.format, 9))

    def forget(self, node: str) -> None:
        """The node is down: what it leaves may be changed before it comes again."""
        for key in [key for key in self._images if key[0] == node]:
            del self._images[key]
        for pair in [pair for pair in self._wal_done if pair[0] == node]:
            del self._wal_done[pair]

    def journal_header(self, node: str, database: str) -> str:
        """The journal's header as it was last seen: valid, zero, or of a journal that has ended: ended."""
        if (node, database) in self._ended:
            return "ended"
        image = self._images.get((node, database, "journal"))
        return "valid" if image is None or image.base or is_journal_header_valid(image.data) else "zero"

    def page_size(self, node: str, database: str) -> int:
        """As the database's, WAL's or LTX files' headers said; 0 before one did."""
        return self._page_sizes.get((node, database), 0)

    def _forget_key(self, key: str) -> None:
        self._last.pop(key, None)

    def keep(self, dump: Dump, changed: tuple[tuple[int, int], ...] | None = None) -> Dump:
        """The dump with its id and its changed bytes; the last one of its key if the bytes are the same."""
        last = self._last.get(dump.key)
        if last is not None and _shown(last) == _shown(dump):
            return last
        if changed is None:
            changed = () if last is None else differences(last.data, last.base, dump.data, dump.base)
        text = f"{dump.key}\0{dump.title}\0{dump.base}\0{changed}\0{dump.note}\0".encode()
        name = hashlib.blake2b(text + dump.data, digest_size=8).hexdigest()
        dump = replace(dump, id=name, changed=changed)
        self._last[dump.key] = dump
        return dump


def _shown(dump: Dump) -> tuple[str, int, bytes, str]:
    """What makes a dump another one than the last of its key."""
    return dump.title, dump.base, dump.data, dump.note


_ORDER = {"position": 0, "frame": 0, "ltx": 1, "wal": 1, "journal": 1, "database": 2, "wal-index": 3}


_SIDE_FILES = {
    "journal": ("Rollback journal", "-journal"),
    "wal": ("WAL", "-wal"),
    "wal-index": ("WAL index", "-shm"),
}


class _Telling:
    """One event's bytes on their way to dumps."""

    def __init__(self, dumps: Dumps, node: str, event: Json, frame: Json | None) -> None:
        self.dumps = dumps
        self.node = node
        self.name = str(event.get("name", ""))
        self.database = str(event.get("database", ""))
        self.txid = event.get("txid") if isinstance(event.get("txid"), int) else 0
        payload = event.get("payload")
        self.payload: Json = payload if isinstance(payload, dict) else {}
        self.frame = frame
        self.place = (node, self.database)

    def number(self, key: str) -> int:
        value = self.payload.get(key)
        return value if isinstance(value, int) else 0

    def of_item(self, item: RawItem, ltx: LtxContent | None) -> list[Dump]:
        match item.file:
            case "journal":
                return self._journal(item)
            case "wal":
                return self._wal(item)
            case "shm":
                return self._wal_index(item)
            case "database":
                return self._database(item)
            case "ltx":
                return self._ltx(item, ltx)
            case "frame":
                return self._frame(item)
        return []

    def position(self) -> list[Dump]:
        """`DB-pos`, as the mount shows it."""
        checksum = self.payload.get("checksum")
        if isinstance(checksum, str):
            try:
                checksum = int(checksum, 16)
            except ValueError:
                return []
        if not isinstance(checksum, int) or not isinstance(self.txid, int):
            return []
        data = f"{Pos(self.txid, checksum)}\n".encode()
        key = f"{self.node} {self.database}-pos"
        title = f"Position of {self.database} on {self.node}"
        return [self.dumps.keep(Dump("", key, title, "position", data, anatomy_position.anatomy(data)))]

    # By kind of file

    def _journal(self, item: RawItem) -> list[Dump]:
        image = self._image(item)
        if image.base:
            meaning = "A long journal's records; its header is not at hand."
            parts: tuple[Part, ...] = (Part(image.base, len(image.data), "records", "", meaning, "content"),)
        else:
            parts = anatomy_journal.anatomy(image.data, self._page_size())
        return self._shown(item, "journal", parts)

    def _wal(self, item: RawItem) -> list[Dump]:
        dumps = self.dumps
        if item.offset == 0:
            header = anatomy_wal.header_of(item.data)
            if header is not None:
                if dumps._wal_headers.get(self.place) != header:
                    dumps._wal_done.pop(self.place, None)
                dumps._wal_headers[self.place] = header
                dumps._page_sizes[self.place] = header.page_size
            old = dumps._images.get((*self.place, "wal"))
            if len(item.data) <= WAL_HEADER_SIZE and old is not None and old.base > WAL_HEADER_SIZE:
                return []  # It came along with a frame further on.
        image = self._image(item)
        known = dumps._wal_headers.get(self.place)
        parts = anatomy_wal.anatomy(image.data, image.base, known)
        first = image.base
        if known is not None:
            frame = self.number("first") or dumps._wal_done.get(self.place, 0) + 1
            first = frame_offset(frame, known.page_size) if frame > 1 else 0
        return self._shown(item, "wal", parts, first)

    def _wal_index(self, item: RawItem) -> list[Dump]:
        image = self._image(item)
        parts = anatomy_wal_index.anatomy(image.data) if image.base == 0 else ()
        return self._shown(item, "wal-index", parts)

    def _database(self, item: RawItem) -> list[Dump]:
        if item.offset == 0 and (size := anatomy_database.page_size_of(item.data)):
            self.dumps._page_sizes[self.place] = size
        size = self._page_size() or self.number("page_size")
        base = f"{self.node} {self.database}"
        if item.offset == 0 and len(item.data) <= DATABASE_HEADER_SIZE:
            title = f"Database header of {self.database} on {self.node}"
            return [self._part_of_database(item.data, 0, f"{base} header", title, size)]
        if not is_page_size(size) or item.offset % size or len(item.data) > _MOST_PAGE_DUMPS * size:
            data = item.data[:MOST_BYTES]
            return [self._part_of_database(data, item.offset, base, f"{self.database} on {self.node}", size)]
        found: list[Dump] = []
        for at in range(0, len(item.data), size):
            pgno = (item.offset + at) // size + 1
            title = f"Page {pgno} of {self.database} on {self.node}"
            data, key = item.data[at : at + size], f"{base} page {pgno}"
            found.append(self._part_of_database(data, item.offset + at, key, title, size))
        return found

    def _part_of_database(self, data: bytes, offset: int, key: str, title: str, page_size: int) -> Dump:
        parts = anatomy_database.anatomy(data, offset, page_size)
        changed = None
        if self.name == "page.write" and key not in self.dumps._last and page_size:
            # Seen for the first time: it was what the last transaction with it left.
            before = self.dumps._pages.get(self.place, {}).get(offset // page_size + 1)
            changed = differences(before, offset, data, offset) if before is not None else ()
        return self.dumps.keep(Dump("", key, title, "database", data, parts, offset), changed)

    def _ltx(self, item: RawItem, content: LtxContent | None) -> list[Dump]:
        parts = anatomy_ltx.anatomy(item.data)
        name = item.name or f"{self.txid:016x}-{self.txid:016x}.ltx"
        key = f"{self.node} {self.database} {name}"
        changed = None
        note = _left_out(item, len(item.data[:MOST_BYTES]))
        if key not in self.dumps._last and content is not None and not content.header.is_compressed:
            changed = self._changed_in_pages(content, parts)
            if changed:
                note = f"Marked: the bytes of its pages that this transaction changed. {note}".rstrip()
        if content is not None and self.name in ("ltx.commit", "ltx.store"):
            self._note_pages(content)
        data = item.data[:MOST_BYTES]
        parts = clip(parts, 0, len(data))
        title = f"LTX file {name} of {self.database} on {self.node}"
        return [self.dumps.keep(Dump("", key, title, "ltx", data, parts, note=note), changed)]

    def _changed_in_pages(self, content: LtxContent, parts: tuple[Part, ...]) -> tuple[tuple[int, int], ...]:
        """Where in the LTX file the bytes lie that differ from the page as this node had it."""
        before = self.dumps._pages.get(self.place, {})
        places = {part.name: part.offset for part in parts if part.kind == "content"}
        found: list[tuple[int, int]] = []
        for pgno, page in content.pages.items():
            old, offset = before.get(pgno), places.get(f"page {pgno}", -1)
            if old is not None and offset >= 0:
                found += differences(old, offset, page, offset)
        return tuple(pair for pair in found if pair[0] < MOST_BYTES)

    def _note_pages(self, content: LtxContent) -> None:
        header: Header = content.header
        self.dumps._page_sizes[self.place] = header.page_size
        pages = {} if header.is_snapshot else dict(self.dumps._pages.get(self.place, {}))
        pages.update(content.pages)
        self.dumps._pages[self.place] = {
            pgno: page
            for pgno, page in pages.items()
            if pgno <= header.commit and len(page) == header.page_size
        }

    def _frame(self, item: RawItem) -> list[Dump]:
        ends = self.frame or {}
        sender, receiver = ends.get("from") or "?", ends.get("to") or "?"
        key = f"{sender}>{receiver} frame"
        data = item.data[:MOST_BYTES]
        parts = clip(anatomy_frame.anatomy(item.data), 0, len(data))
        kind = str(ends.get("kind") or "").partition(":")[0] or "stream"
        title = f"Frame from {sender} to {receiver}: {ends.get('id') or kind}"
        last = self.dumps._last.get(key)
        # Another frame differs in everything; the same one, on its way, should not.
        changed: tuple[tuple[int, int], ...] = ()
        if last is not None and last.title == title:
            changed = differences(last.data, 0, data, 0)
        note = _left_out(item, len(data))
        if changed:
            note = f"Marked: what was changed on the way. {note}".rstrip()
        return [self.dumps.keep(Dump("", key, title, "frame", data, parts, note=note), changed)]

    # Images

    def _image(self, item: RawItem) -> Image:
        image = self.dumps._images.setdefault((*self.place, item.file), Image())
        image.put(item.offset, item.data)
        if not item.cut:
            image.cut(item.size)
        return image

    def _page_size(self) -> int:
        return self.dumps.page_size(*self.place)

    def _shown(self, item: RawItem, format: str, parts: tuple[Part, ...], first: int = 0) -> list[Dump]:
        """The dump of a file as it is known, from offset `first` on, or around what was written."""
        image = self.dumps._images[(*self.place, item.file)]
        start, end = max(first, image.base), image.end
        if item.offset < start and item.offset + len(item.data) > image.base:
            start = max(image.base, item.offset)
        if end - start > MOST_BYTES:
            end = min(max(item.offset + len(item.data), start), end)
            start = max(start, end - MOST_BYTES)
        data = image.data[start - image.base : end - image.base]
        if not data:
            return []
        what, suffix = _SIDE_FILES[format]
        note = f"The {start:,} bytes before are not shown." if start else ""
        key, title = f"{self.node} {self.database}{suffix}", f"{what} of {self.database} on {self.node}"
        dump = Dump("", key, title, format, data, clip(parts, start, end), start, note=note)
        return [self.dumps.keep(dump)]


def _left_out(item: RawItem, shown: int) -> str:
    return f"Shown are the first {shown:,} of {item.size:,} bytes." if item.size > shown else ""
