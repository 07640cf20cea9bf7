"""LTX files onto a database file that nobody uses: `pylitefs ltx apply`.

The rule: the database is as it was, or it is at the last file's position; there is nothing between.
Every file is verified and every position compared before the first byte is written, the pages go into
a copy, the copy's checksum is compared, and one rename puts it in place.
A mounted database is changed by the applier instead, under SQLite's own locks.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pylitefs.errors import LtxChecksumError, LtxError, PositionMismatchError, SqliteFormatError
from pylitefs.ltx.checksum import EMPTY_CHECKSUM
from pylitefs.ltx.compaction import check_continues
from pylitefs.ltx.database import (
    checksum_pages,
    database_checksum,
    lock_database,
    open_database,
    read_wal,
    refuse_hot_journal,
)
from pylitefs.ltx.decoder import open_ltx
from pylitefs.ltx.header import Header, Trailer
from pylitefs.ltx.order import last_pgno
from pylitefs.ltx.position import Pos

COPY_SIZE = 1024 * 1024
OnPage = Callable[[int, bytes], None]


@dataclass(frozen=True, slots=True)
class VerifiedLtx:
    """An LTX file that has been read once, to its end."""

    path: Path
    header: Header
    trailer: Trailer
    page_count: int
    """Pages in the file."""

    @property
    def is_whole(self) -> bool:
        """Whether it holds every page of the database, as it must where the page size changes."""
        return self.page_count == last_pgno(self.header)


def verify_path(
    path: str | os.PathLike[str], on_page: OnPage | None = None, *, any_format: bool = False
) -> VerifiedLtx:
    """Read an LTX file to its end; LtxError with its path if it is not whole."""
    count = 0
    with open_ltx(path, any_format=any_format) as decoder:
        for pgno, page in decoder.pages():
            count += 1
            if on_page is not None:
                on_page(pgno, page)
        return VerifiedLtx(Path(path), decoder.header, decoder.trailer, count)


def apply_files(db_path: str | os.PathLike[str], paths: Sequence[str | os.PathLike[str]]) -> Pos:
    """Verify LTX files, apply them in the order given, and return the database's new position.

    A snapshot replaces whatever the database held; any other first file must continue the database's
    checksum (its TXID is not in the file). After a drop the database is a file without bytes.
    Raises LtxError, LtxChecksumError, PositionMismatchError, SqliteFormatError (a hot journal, a WAL with
    transactions), BusyError, OSError; the database is then untouched.
    """
    return apply_verified(db_path, [verify_path(path) for path in paths])


def apply_verified(
    db_path: str | os.PathLike[str], files: Sequence[VerifiedLtx], *, on_page: OnPage | None = None
) -> Pos:
    """`apply_files` of files verified before; `on_page` sees each page that is written."""
    path = Path(os.path.realpath(db_path))
    if not files:
        raise LtxError("no LTX files given to apply")
    with contextlib.ExitStack() as stack:
        exists = path.exists()
        if exists:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            stack.callback(os.close, fd)
            lock_database(fd, path, exclusive=True)
        _check_side_files(path)
        _check_chain(path if exists else None, files)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            _build(temporary, path if exists else None, files, on_page)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_directory(path.parent)
    last = files[-1]
    return Pos(last.header.max_txid, last.trailer.post_apply_checksum)


def _check_side_files(path: Path) -> None:
    refuse_hot_journal(path)
    if read_wal(path) is not None:
        raise SqliteFormatError(
            f"{path}-wal holds transactions that would come over the applied pages. "
            f'Move them into the database first: sqlite3 {path} "PRAGMA wal_checkpoint(TRUNCATE)"'
        )


def _check_chain(path: Path | None, files: Sequence[VerifiedLtx]) -> None:
    """Raise PositionMismatchError unless each file continues the one before, the first the database."""
    first = files[0].header
    page_size = 0
    if not first.is_snapshot:
        checksum = EMPTY_CHECKSUM
        if path is not None:
            with open_database(path, locked=True) as database:
                page_size, checksum = database.page_size, checksum_pages(database.pages())
        if checksum != first.pre_apply_checksum:
            raise PositionMismatchError(
                f"{files[0].path} continues a database of checksum {first.pre_apply_checksum:016x}, "
                f"and this one has {checksum:016x}: apply the files before it first, or begin with a snapshot"
            )
    pos = first.pre_apply_pos
    for file in files:
        check_continues(file.header, pos)
        if page_size not in (0, file.header.page_size) and not file.is_whole:
            raise LtxError(
                f"{file.path} changes the page size from {page_size} to {file.header.page_size} "
                f"without holding every page"
            )
        page_size = file.header.page_size if file.header.commit else 0
        pos = Pos(file.header.max_txid, file.trailer.post_apply_checksum)


def _build(
    temporary: Path, original: Path | None, files: Sequence[VerifiedLtx], on_page: OnPage | None
) -> None:
    """Make the database as it will be, durable, under a temporary name; it is not yet in place."""
    with open(temporary, "x+b") as out:
        if original is not None:
            _take_owner(original, out.fileno())
            if not files[0].header.is_snapshot:
                with open(original, "rb") as source:
                    shutil.copyfileobj(source, out, COPY_SIZE)
        for file in files:
            with open_ltx(file.path) as decoder:
                if decoder.header.is_snapshot:
                    out.truncate(0)
                page_size = decoder.header.page_size
                for pgno, page in decoder.pages():
                    out.seek((pgno - 1) * page_size)
                    out.write(page)
                    if on_page is not None:
                        on_page(pgno, page)
                out.truncate(decoder.header.commit * page_size)
                _check_unchanged(file, decoder.trailer)
        out.flush()
        os.fsync(out.fileno())
        out.seek(0)
        last = files[-1]
        checksum = database_checksum(out, last.header.page_size)
        if checksum != last.trailer.post_apply_checksum:
            raise LtxChecksumError(
                f"with {last.path} applied the database has checksum {checksum:016x}, and its post-apply "
                f"checksum is {last.trailer.post_apply_checksum:016x}: the database was left as it was"
            )


def _check_unchanged(file: VerifiedLtx, trailer: Trailer) -> None:
    if trailer != file.trailer:
        raise LtxError(f"{file.path} changed between being verified and being applied; run again")


def _take_owner(original: Path, fd: int) -> None:
    """Give the copy the original's mode and, where allowed, its owner."""
    status = original.stat()
    os.fchmod(fd, status.st_mode & 0o7777)
    with contextlib.suppress(PermissionError):
        os.fchown(fd, status.st_uid, status.st_gid)


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
