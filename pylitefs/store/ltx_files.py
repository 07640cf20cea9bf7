"""The LTX files of one database: which there are, where, and the newest ones in memory.

The rule: this list, not the directory, says which files exist; a file joins it only once it is written to
its end, so a half-written one is never shipped. (Nor is one past `DatabaseState.told`, which may be lost.)
Memory is bounded for the node, not for each database.
Names are `MIN-MAX.ltx`, TXIDs in 16 hex digits.
"""

import os
import threading
from bisect import bisect_left
from collections import OrderedDict
from pathlib import Path

from pylitefs.ltx.header import HEADER_SIZE, Header, format_filename, parse_filename

CACHE_BYTES = 16 << 20
"""Bytes of recent LTX files in memory, of all databases together."""


class LtxCache:
    """The newest short LTX files of a node's databases. Safe to use from several threads."""

    def __init__(self, most: int = CACHE_BYTES) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._files: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()
        self.size = 0
        """Bytes of all that is kept."""

    def add(self, directory: str, min_txid: int, max_txid: int, content: bytes | None) -> None:
        """Keep a file while it is among the newest, unless it is long; without a content forget it."""
        key = (directory, min_txid, max_txid)
        with self._lock:
            self.size -= len(self._files.pop(key, b""))
            if content is not None and len(content) <= self._most // 16:
                self._files[key] = content
                self.size += len(content)
                while self.size > self._most:
                    self.size -= len(self._files.popitem(last=False)[1])

    def get(self, directory: str, min_txid: int, max_txid: int) -> bytes | None:
        """The whole file, if it is here."""
        return self._files.get((directory, min_txid, max_txid))

    def clear(self) -> None:
        """Keep nothing: every file is to be read from its path."""
        with self._lock:
            self._files.clear()
            self.size = 0


class LtxFiles:
    """The `ltx/` directory of one database. Safe to use from several threads."""

    def __init__(self, directory: Path, cache: LtxCache | None = None) -> None:
        self.directory = directory
        self._prefix = f"{directory}/"
        self._lock = threading.Lock()
        self._ranges: list[tuple[int, int]] = []
        self._sizes: dict[tuple[int, int], int] = {}
        """Of the files that someone asked about: a file never changes."""
        self._cache = cache or LtxCache()

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
        """A file is whole under its final name; its content stays in memory while among the newest."""
        span = (min_txid, max_txid)
        with self._lock:
            at = bisect_left(self._ranges, span)
            if self._ranges[at : at + 1] != [span]:
                self._ranges.insert(at, span)
            self._sizes.pop(span, None)
        self._cache.add(self._prefix, min_txid, max_txid, content)

    def read(self, min_txid: int, max_txid: int) -> bytes | None:
        """The whole file if it is in memory, else None (read it from `path`)."""
        return self._cache.get(self._prefix, min_txid, max_txid)

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

    def size(self, min_txid: int, max_txid: int) -> int:
        """The file's bytes; 0 if it is gone."""
        span = (min_txid, max_txid)
        found = self._sizes.get(span)
        if found is None:
            try:
                found = os.stat(self.path_text(min_txid, max_txid)).st_size
            except FileNotFoundError:
                return 0
            with self._lock:
                if span in self._ranges:
                    self._sizes[span] = found
        return found

    def remove(self, min_txid: int, max_txid: int) -> None:
        """Forget a file, then delete it. OSError where the disk does not let it go: then it is listed again,
        for it counts at the next start, and whoever tries again is to find it."""
        span = (min_txid, max_txid)
        with self._lock:
            if listed := span in self._ranges:
                self._ranges.remove(span)
            self._sizes.pop(span, None)
        self._cache.add(self._prefix, min_txid, max_txid, None)
        try:
            self.path(min_txid, max_txid).unlink(missing_ok=True)
        except OSError:
            if listed:
                self.add(min_txid, max_txid)
            raise
