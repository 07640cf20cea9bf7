"""A consistent copy of a database, and a snapshot LTX file made from it.

The rule: nobody is kept out for longer than the bytes are copied inside this machine: a slow replica must
not keep the writer out. In WAL mode the copy is the database file overlaid with the captured frames.

A small database is copied between two writes of SQLite's, which wait for it in the mount: no lock is taken,
so that a writer without a busy timeout, perhaps of a database made a moment ago, gets no "database is
locked". A large one is copied under a reader's locks; in WAL mode they keep checkpoints and a restart of
the WAL away.
"""

import errno
import os
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from pylitefs.errors import BusyError, DatabaseNotFoundError, LtxChecksumError, SqliteFormatError
from pylitefs.ltx.encoder import Encoder
from pylitefs.ltx.header import FLAG_LZ4, Header
from pylitefs.ltx.position import Pos
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE, DatabaseHeader
from pylitefs.sqlite.wal import FRAME_HEADER_SIZE
from pylitefs.store.applying import Applier
from pylitefs.store.capture import all_pgnos, runs_in_file
from pylitefs.store.checksums import Changes, PageChecksums
from pylitefs.store.database import Database
from pylitefs.store.files import pwrite_all
from pylitefs.store.group_sync import sync_all
from pylitefs.store.growing import GivenUpError, Growing
from pylitefs.store.names import FileKind
from pylitefs.store.privacy import FILE_MODE, private
from pylitefs.store.status import now_ms
from pylitefs.store.turns import Patience

SNAPSHOT_S = 10.0
"""The default of `http.snapshot-timeout`: a copy waits so long for a database's users."""
_MOMENT_S = 0.25
_ATTEMPTS = 10
_COPY, _FIRST = 64 << 20, 1 << 20
"""Bytes of a copy, and of its beginning, after which what is there may be encoded."""
_SMALL = 32 << 20
"""A database up to so many bytes is copied while SQLite's writes wait: some tens of milliseconds."""
_QUIET_S = 0.2


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """A snapshot LTX file: `header.max_txid` is the position's TXID, `size` in bytes."""

    path: Path
    header: Header
    pos: Pos
    size: int


@dataclass(frozen=True, slots=True)
class _Copy:
    pos: Pos
    page_size: int
    page_count: int
    timestamp_ms: int


Grew = Callable[[int], None]
"""grew(bytes): so much of the copy is made."""
Begin = Callable[[_Copy], Grew]
"""begin(copy): what is copied is known, and the file is there."""


def export_database(database: Database, applier: Applier, out: Path, patience: Patience | None = None) -> Pos:
    """Copy the database's bytes, WAL included, to the file `out`; the position they are at.

    Raises DatabaseNotFoundError if there is no database now, BusyError if the locks cannot be had.
    """
    copy = _copy(database, applier, out, patience or Patience("an export", SNAPSHOT_S))
    if copy.page_count == 0:
        raise DatabaseNotFoundError(f"{database.name} was dropped at {copy.pos}: there is nothing to export")
    return copy.pos


def make_snapshot(
    database: Database, applier: Applier, out: Path, patience: Patience | None = None
) -> SnapshotInfo:
    """Write a snapshot LTX file, TXIDs 1 to the newest, to `out`. Needs room for a copy beside it."""
    patience = patience or Patience("a snapshot", SNAPSHOT_S)
    tracer = database.state.node.tracer
    copied = out.with_name(out.name + ".copy")
    try:
        if not tracer.active:
            with _Beside(database, copied, out) as beside:
                return beside.encoded(_copy(database, applier, copied, patience, beside.begin))
        tracer.emit("snapshot.begin", database.name, database.pos.txid)
        copy = _copy(database, applier, copied, patience)
        tracer.emit("snapshot.end", database.name, copy.pos.txid, pages=copy.page_count)
        return _encode(database, copy, copied, out)
    finally:
        with suppress(FileNotFoundError):
            copied.unlink()


class _Beside:
    """A large copy is encoded while it is made, so the first bytes go out at once. Nobody is kept out for
    longer: the copy does not wait for who takes it."""

    def __init__(self, database: Database, copied: Path, out: Path) -> None:
        self._database = database
        self._paths = copied, out
        self._growing = Growing()
        self._thread: threading.Thread | None = None
        self._made: SnapshotInfo | None = None
        self._error: BaseException | None = None

    def begin(self, copy: _Copy) -> Grew:
        """The copy is being made: called with the locks held."""
        self._thread = threading.Thread(target=self._run, args=(copy,), name="snapshot", daemon=True)
        self._thread.start()
        return self._growing.grew

    def _run(self, copy: _Copy) -> None:
        try:
            self._made = _encode(self._database, copy, *self._paths, self._growing)
        except BaseException as error:
            self._error = error
            self._growing.give_up()

    def encoded(self, copy: _Copy) -> SnapshotInfo:
        """The copy is made: the snapshot, once it is, too."""
        if self._thread is None:
            return _encode(self._database, copy, *self._paths)
        self._growing.end()
        self._thread.join()
        if self._made is None:
            assert self._error is not None
            raise self._error
        return self._made

    def __enter__(self) -> "_Beside":
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None or self._thread is None:
            return
        self._growing.end(error)
        self._thread.join()
        if isinstance(error, GivenUpError) and self._error is not None:
            raise self._error


def _encode(
    database: Database, copy: _Copy, source: Path, out: Path, growing: Growing | None = None
) -> SnapshotInfo:
    """Encode the copy; or what there is of it, and so on, where it is `growing`."""
    state = database.state
    header = Header(
        flags=FLAG_LZ4 if state.node.compress else 0,
        page_size=copy.page_size,
        commit=copy.page_count,
        min_txid=1,
        max_txid=copy.pos.txid,
        timestamp_ms=now_ms(),
        node_id=state.node.node_id,
    )
    sums = Changes()
    with open(source, "rb") as file, open(out, "wb", opener=private) as target:
        encoder = Encoder(target.write, header)
        for pgnos in _parts(copy, growing):
            for run, data in runs_in_file(file.fileno(), pgnos, copy.page_size):
                sums.extend(run, encoder.encode_run(run, data))
        found = PageChecksums().preview(sums, copy.page_count)
        if found != copy.pos.checksum:
            raise LtxChecksumError(
                f"{database.name} is at {copy.pos}, but its bytes give checksum {found:016x}: "
                "it was changed behind the mount; restart this node, which says what can be done"
            )
        encoder.finish(found)
    return SnapshotInfo(out, header, copy.pos, encoder.bytes_written)


def _parts(copy: _Copy, growing: Growing | None) -> Iterator[Sequence[int]]:
    """The pages of a copy, as they come."""
    pgnos = all_pgnos(copy.page_count, copy.page_size)
    if growing is None:
        yield pgnos
        return
    had = done = 0
    while (size := growing.ready(had)) > had:
        stop = bisect_right(pgnos, size // copy.page_size)
        yield pgnos[done:stop]
        had, done = size, stop


def _copy(
    database: Database, applier: Applier, out: Path, patience: Patience, begin: Begin | None = None
) -> _Copy:
    """Copy the committed bytes, with or without a reader's locks."""
    if database.pos.txid == 0:
        raise DatabaseNotFoundError(f"{database.name} has no transaction yet")
    if copy := _copy_between_writes(database, out, patience):
        return copy
    for _ in range(_ATTEMPTS):
        if not database.exists:
            with database.state.lock:
                if not database.exists:
                    out.touch(FILE_MODE)
                    return _facts(database)
            continue
        if copy := _copy_as_reader(database, applier, out, patience, begin):
            return copy
        if database.rollback_watch.dirty:
            # Its writer was killed in the middle: SQLite rolls back whenever someone reads.
            applier.rollback_hot_journal(database.name)
    raise BusyError(f"{database.name} changes its journal mode all the time: try again later")


def _copy_as_reader(
    database: Database, applier: Applier, out: Path, patience: Patience, begin: Begin | None
) -> _Copy | None:
    """The copy under a reader's locks; None if it has to be tried anew.

    It keeps its turn for a moment only while it waits for the locks: an import may wait for them as well.
    """
    wal = _is_wal(database)
    while True:
        with database.state.apply_lock.held_for(patience), ExitStack() as locks:
            try:
                locks.enter_context(applier.read_lock(database.name, wal, min(_MOMENT_S, patience.left)))
            except BusyError as error:
                why = str(error).removeprefix("locked: ").partition(" (waited")[0]
            else:
                return _copy_locked(database, out, begin) if _is_wal(database) == wal else None
        patience.blocked(database.name, why)


def _copy_between_writes(database: Database, out: Path, patience: Patience) -> _Copy | None:
    """The copy of a small database, in a moment without a transaction; None if it is large, or none comes."""
    state = database.state
    deadline = time.monotonic() + _QUIET_S
    while True:
        with state.apply_lock.held_for(patience), state.lock:
            if database.page_count * database.page_size > _SMALL or not database.exists:
                return None
            if not database.rollback_watch.dirty:
                return _copy_as_is(database, out)
        if time.monotonic() > deadline:
            return None
        time.sleep(0.001)


def _facts(database: Database) -> _Copy:
    try:
        sync_all(database.state)  # What goes out must be durable here.
    except OSError as error:
        # Not the disk of who asks: a stream goes on with other databases.
        raise BusyError(
            f"{database.name} is not copied: its newest LTX files cannot be synced ({error.strerror}); stop "
            "this node and look at the disk"
        ) from error
    return _Copy(database.state.pos, database.page_size, database.page_count, database.timestamp_ms)


def _is_wal(database: Database) -> bool:
    with database.state.lock:
        try:
            fd = database.state.fd(FileKind.DATABASE)
            return DatabaseHeader.parse(os.pread(fd, DATABASE_HEADER_SIZE, 0)).is_wal
        except (OSError, SqliteFormatError):
            return False


def _copy_locked(database: Database, out: Path, begin: Begin | None) -> _Copy | None:
    """The copy itself; None if a killed writer's pages lie in the database file."""
    state = database.state
    database.capture_unjournaled()
    with state.lock:
        if database.rollback_watch.dirty:
            return None
        copy = _facts(database)
        # `rm` asks for no lock: what is copied is the files as they are now, whatever has their names later.
        source = _Source(database, os.dup)
    with closing(source):
        _copy_pages(source, copy, out, begin)
    return copy


def _copy_as_is(database: Database, out: Path) -> _Copy:
    """The copy itself, while the state's lock is held."""
    copy = _facts(database)
    _copy_pages(_Source(database, lambda fd: fd), copy, out)
    return copy


class _Source:
    """What is copied: the database file, and the WAL with the place of each page's newest frame in it."""

    def __init__(self, database: Database, get: Callable[[int], int]) -> None:
        state, tracker = database.state, database.wal_watch.tracker
        frames = database.wal_watch.told_pages()
        self.pages = {pgno: tracker.frame_offset(frame) + FRAME_HEADER_SIZE for pgno, frame in frames.items()}
        self.database_fd = get(state.fd(FileKind.DATABASE))
        self.wal_fd = get(state.fd(FileKind.WAL)) if self.pages else -1

    def close(self) -> None:
        os.close(self.database_fd)
        if self.wal_fd >= 0:
            os.close(self.wal_fd)


def _copy_pages(source: _Source, copy: _Copy, out: Path, begin: Begin | None = None) -> None:
    """The database file's pages, and over them the newest frame (by page number) where the WAL has one."""
    size = copy.page_count * copy.page_size
    frames = sorted(pgno for pgno in source.pages if pgno <= copy.page_count)
    with open(out, "wb", opener=private) as target:
        fd = target.fileno()
        grew = begin(copy) if begin is not None else lambda size: None
        done = 0
        for copied in chain(_copy_bytes(source.database_fd, fd, size), (size,)):
            if copied == size:
                target.truncate(size)
            stop = bisect_right(frames, copied // copy.page_size)
            for pgno in frames[done:stop]:
                page = os.pread(source.wal_fd, copy.page_size, source.pages[pgno])
                pwrite_all(fd, page, (pgno - 1) * copy.page_size)
            done = stop
            grew(copied // copy.page_size * copy.page_size)


def _copy_bytes(source: int, target: int, size: int) -> Iterator[int]:
    """The first `size` bytes of a file, copied by the kernel where the filesystem lets it; after each piece
    how many are. The pieces are large, for after each one this thread may have to wait for its turn."""
    copied = 0
    while copied < size:
        try:
            if not hasattr(os, "copy_file_range"):
                raise OSError(errno.ENOSYS, "copy_file_range")
            most = min(_COPY if copied else _FIRST, size - copied)
            sent = os.copy_file_range(source, target, most, copied, copied)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL):
                raise
            sent = os.pwrite(target, os.pread(source, min(1 << 20, size - copied), copied), copied)
        if sent == 0:
            return
        copied += sent
        yield copied
