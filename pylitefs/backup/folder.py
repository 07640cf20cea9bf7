"""The backup folder on disk: `PATH/DB/MIN-MAX.ltx`, and nothing else.

The rules are LiteFS's: a file is written as `*.tmp`, synced, read again to its end, renamed, and its
directory synced; it must continue the last one in TXID and checksum. A database's position is the last
file's, by name, once every byte of that file has been verified. Ours on top of that: one node at a time (a
lock on the folder, which leaves no file), a chain without gaps, and a folder that vanishes is not made again
beneath a mount point.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pylitefs.errors import BackupError, InvalidNameError, LtxError
from pylitefs.ltx.decoder import open_ltx
from pylitefs.ltx.header import Header, Trailer, format_filename, parse_filename
from pylitefs.ltx.position import Pos
from pylitefs.store.files import sync_directory
from pylitefs.store.names import check_database_name
from pylitefs.store.privacy import make_directory, private

Span = tuple[int, int]
TEMPORARY = ".tmp"


@dataclass
class _Known:
    """What was read of one database, and by what one sees that it is still so."""

    directory_mark: tuple[int, int] = (0, 0)
    spans: list[Span] = field(default_factory=list)
    file_mark: tuple[int, ...] = ()
    pos: Pos = field(default_factory=Pos)
    is_durable: bool = False
    """Whether its names are durable: who wrote here before may have been killed before they were synced."""


class BackupFolder:
    """One backup folder. For one thread. Raises BackupError, or the disk's OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        self._known: dict[str, _Known] = {}

    @property
    def url(self) -> str:
        return self.path.absolute().as_uri()

    # -- the folder as a whole ---------------------------------------------------------------------------

    def make(self) -> None:
        """Make the folder, with those above it; for the start of a node alone."""
        make_directory(self.path)

    def take(self) -> None:
        """Have it for this node alone, until `leave`; what a killed node left half written goes."""
        try:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise self._gone() from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.leave()
            raise BackupError(
                f"{self.path} is in use by another node: give each cluster a backup.path of its own"
            ) from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF):
                self.leave()
                raise  # Those say that the filesystem has no locks on directories.
        self._known.clear()
        for name in self.names():
            for leftover in (self.path / name).glob(f"*.ltx{TEMPORARY}"):
                leftover.unlink(missing_ok=True)

    def leave(self) -> None:
        """Let another node have it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def check_there(self) -> None:
        """Raise BackupError if another folder, or none, has the path now."""
        try:
            now, ours = os.stat(self.path), os.fstat(self._fd)
        except FileNotFoundError:
            raise self._gone() from None
        if (now.st_dev, now.st_ino) != (ours.st_dev, ours.st_ino):
            raise BackupError(f"the backup folder {self.path} is another one than before: it is taken anew")

    def _gone(self) -> BackupError:
        return BackupError(
            f"the backup folder {self.path} is gone: bring it back, or mount its disk; a restart of this "
            "node makes it anew"
        )

    def names(self) -> list[str]:
        """The databases that have a folder here. A `lost+found`, too, but nothing is in it."""
        found = []
        for entry in os.scandir(self.path):
            with contextlib.suppress(InvalidNameError):
                if entry.is_dir():
                    found.append(check_database_name(entry.name))
        return sorted(found)

    # -- one database ------------------------------------------------------------------------------------

    def position(self, name: str) -> Pos:
        """How far the backup has this database, durably; Pos() if it has nothing. BackupError for a broken
        chain."""
        known = self._look(name)
        if not known.spans:
            known.pos = Pos()
            return known.pos
        path = self._path(name, known.spans[-1])
        mark = _file_mark(path)
        if mark != known.file_mark:
            known.pos = _verified(path)
            known.file_mark = mark
        if not known.is_durable:
            sync_directory(path.parent)
            sync_directory(self.path)
            known.is_durable = True
        return known.pos

    def paths(self, name: str) -> list[Path]:
        """Its LTX files, oldest first."""
        return [self._path(name, span) for span in self._look(name).spans]

    def pre_apply_at(self, name: str, txid: int) -> int | None:
        """The pre-apply checksum of the file that begins at this TXID; None if none does."""
        for span in self._look(name).spans:
            if span[0] == txid:
                with open_ltx(self._path(name, span)) as decoder:
                    return decoder.header.pre_apply_checksum
        return None

    def write(
        self,
        name: str,
        span: Span,
        after: Pos,
        produce: Callable[[Callable[[bytes], object]], Trailer],
        may_write: Callable[[], bool],
    ) -> tuple[Pos, int]:
        """Add an LTX file that `produce(write)` makes, after this position; the new position, and its bytes.

        BackupError if the backup has moved meanwhile, or if `may_write` says no at the end.
        """
        self.check_there()
        path = self._path(name, span)
        if not path.parent.is_dir():
            make_directory(path.parent)
            sync_directory(self.path)
        temporary = path.with_name(path.name + TEMPORARY)
        try:
            with open(temporary, "wb", opener=private) as file:
                self._own_change(name)
                trailer = produce(file.write)
                file.flush()
                os.fsync(file.fileno())
                size = file.tell()
            _verify_written(temporary, span, after, trailer)
            self.check_there()
            if self.position(name) != after:
                raise BackupError(
                    f"{path.parent} is at {self.position(name)} and was at {after} a moment ago: another "
                    "node writes into it; give each cluster a backup.path of its own"
                )
            if not may_write():
                raise BackupError(f"{path.name} is not added: this node is the primary no longer")
            was_durable, self._known[name].is_durable = self._known[name].is_durable, False
            os.rename(temporary, path)
        except BaseException as error:
            temporary.unlink(missing_ok=True)
            if isinstance(error, OSError) and not error.filename:
                error.filename = str(temporary)  # A write has only a descriptor.
            raise
        sync_directory(path.parent)
        if not was_durable:
            sync_directory(self.path)
        self._known[name].is_durable = True
        pos = Pos(span[1], trailer.post_apply_checksum)
        self._added(name, span, pos)
        return pos, size

    def look_again(self) -> None:
        """Believe nothing that was read of any directory: the next look reads it anew."""
        for known in self._known.values():
            known.directory_mark = (0, 0)

    def _own_change(self, name: str) -> None:
        """A directory changed by our own doing: its names need not be read again for that."""
        known = self._known.setdefault(name, _Known())
        if known.directory_mark != (0, 0) or not known.spans:
            known.directory_mark = _mark(self.path / name)

    def _added(self, name: str, span: Span, pos: Pos) -> None:
        known = self._known[name]
        known.spans.append(span)
        known.pos, known.file_mark = pos, _file_mark(self._path(name, span))
        known.directory_mark = _mark(self.path / name)

    def _path(self, name: str, span: Span) -> Path:
        return self.path / name / format_filename(*span)

    def _look(self, name: str) -> _Known:
        """The names of its files: read again only if the directory changed."""
        known = self._known.setdefault(name, _Known())
        try:
            mark = _mark(self.path / name)
        except FileNotFoundError:
            self._known[name] = known = _Known()
            return known
        if mark != known.directory_mark:
            found = [span for file in os.listdir(self.path / name) if (span := parse_filename(file))]
            known.spans = sorted(found)
            _check_chain(self.path / name, known.spans)
            known.directory_mark = mark
        return known


def _mark(directory: Path) -> tuple[int, int]:
    facts = os.stat(directory)
    return facts.st_ino, facts.st_mtime_ns


def _file_mark(path: Path) -> tuple[int, ...]:
    facts = os.stat(path)
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _check_chain(directory: Path, spans: list[Span]) -> None:
    """Raise BackupError for a gap: from there on nothing can be restored."""
    before = 0
    for first, last in spans:
        if first != before + 1:
            raise BackupError(
                f"{directory} has no LTX file from TXID {before + 1:016x} on, and after that "
                f"{format_filename(first, last)}: bring back what is missing, or move this folder away, and "
                "the backup begins anew"
            )
        before = last


def _verified(path: Path) -> Pos:
    """Where the file leads, once each of its bytes is known to be whole."""
    try:
        header, trailer = _read(path)
    except LtxError as error:
        raise BackupError(
            f"{error}: the newest file of the backup is damaged; move it away, and the backup goes on after "
            "the one before it"
        ) from error
    return Pos(header.max_txid, trailer.post_apply_checksum)


def _verify_written(path: Path, span: Span, after: Pos, trailer: Trailer) -> None:
    header, found = _read(path)
    if (header.min_txid, header.max_txid) != span or found != trailer:
        raise BackupError(f"{path} does not read as it was written: check the backup's disk")
    if header.pre_apply_checksum != after.checksum or header.min_txid != after.txid + 1:
        raise BackupError(f"{path.name} does not continue {after}")


def _read(path: Path) -> tuple[Header, Trailer]:
    with open_ltx(path) as decoder:
        for _ in decoder.batches():
            pass
        return decoder.header, decoder.trailer
