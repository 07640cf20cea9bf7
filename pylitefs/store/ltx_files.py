"""The LTX files of one database: which there are, where, and the newest ones in memory.

The rule: this list, not the directory, says which files exist; a file joins it only once it is durable,
so a half-written one is never shipped. Names are `MIN-MAX.ltx`, TXIDs in 16 hex digits.
"""

import os
import threading
from bisect import bisect_left
from collections import OrderedDict
from pathlib import Path

from pylitefs.ltx.header import HEADER_SIZE, Header, format_filename, parse_filename

_CACHE_BYTES = 4 << 20


class LtxFiles:
    """The `ltx/` directory of one database. Safe to use from several threads."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._prefix = f"{directory}/"
        self._lock = threading.Lock()
        self._ranges: list[tuple[int, int]] = []
        self._cache: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._cached = 0

    def load(self) -> None:
        """Read the directory; for use before the database is open."""
        names = os.listdir(self.directory) if self.directory.is_dir() else []
        with self._lock:
            self._ranges = sorted(span for name in names if (span := parse_filename(name)))

    def path(self, min_txid: int, max_txid: int) -> Path:
        return self.directory / format_filename(min_txid, max_txid)

    def path_text(self, min_txid: int, max_txid: int) -> str:
        """The same as text, for each commit: making a Path costs more than opening the file."""
        return self._prefix + format_filename(min_txid, max_txid)

    def ranges(self) -> list[tuple[int, int]]:
        """(min TXID, max TXID) of each file, ascending."""
        with self._lock:
            return list(self._ranges)

    def next(self, txid: int) -> tuple[int, int] | None:
        """The file that continues after `txid`, or None if it is gone or not written yet."""
        with self._lock:
            at = bisect_left(self._ranges, (txid + 1, 0))
            if at < len(self._ranges) and self._ranges[at][0] == txid + 1:
                return self._ranges[at]
            return None

    def add(self, min_txid: int, max_txid: int, content: bytes | None = None) -> None:
        """A file is durable under its final name; its content stays in memory while among the newest."""
        span = (min_txid, max_txid)
        with self._lock:
            at = bisect_left(self._ranges, span)
            if self._ranges[at : at + 1] != [span]:
                self._ranges.insert(at, span)
            self._cached -= len(self._cache.pop(span, b""))
            if content is not None and len(content) <= _CACHE_BYTES // 4:
                self._cache[span] = content
                self._cached += len(content)
                while self._cached > _CACHE_BYTES:
                    self._cached -= len(self._cache.popitem(last=False)[1])

    def read(self, min_txid: int, max_txid: int) -> bytes | None:
        """The whole file if it is in memory, else None (read it from `path`)."""
        with self._lock:
            return self._cache.get((min_txid, max_txid))

    def header(self, min_txid: int, max_txid: int) -> Header | None:
        """The file's header; None if the file is gone."""
        content = self.read(min_txid, max_txid)
        if content is None:
            try:
                with open(self.path(min_txid, max_txid), "rb") as file:
                    content = file.read(HEADER_SIZE)
            except FileNotFoundError:
                return None
        return Header.unpack(content[:HEADER_SIZE])

    def remove(self, min_txid: int, max_txid: int) -> None:
        """Forget a file, then delete it."""
        span = (min_txid, max_txid)
        with self._lock:
            if span in self._ranges:
                self._ranges.remove(span)
            self._cached -= len(self._cache.pop(span, b""))
        self.path(min_txid, max_txid).unlink(missing_ok=True)
