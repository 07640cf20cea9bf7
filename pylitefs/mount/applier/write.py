"""What the applier does with a database once it holds every lock: one LTX file's pages, through the mount.

The rule is the order. Before the locks: the file is decoded and verified to its end, here or by the node.
Under them: side files of the past, pages, length, and the WAL index last, for it is what sends readers to the
new pages.

A database may go over to a rollback mode while clients have its WAL open. They go on using the WAL's
locks and hold SHARED for good, so a reader in the new mode and they could not be told apart. So the WAL
is left with 32 bytes in it: SQLite opens a WAL that has content whatever page 1 says, every client goes
by the WAL's locks, and the first transaction that finds none of them ends that state.
"""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pylitefs.ltx.blocks import Batch
from pylitefs.ltx.checksum import lock_pgno
from pylitefs.ltx.decoder import Decoder
from pylitefs.ltx.header import Header
from pylitefs.mount.applier.exclusive import Exclusive
from pylitefs.mount.applier.files import DATABASE_HEADER_SIZE, DatabaseFiles, pwrite_all, says_wal
from pylitefs.mount.applier.locks import DATABASE_LOCKS
from pylitefs.mount.applier.messages import Message

if TYPE_CHECKING:
    from pylitefs.store.applying import KnownWal

AT_HAND = 16 << 20
"""Pages of an LTX file up to this many bytes are kept in memory; a larger one is read twice."""
WRITE_SIZE = 256 * 1024
"""Neighbouring pages are written together, up to this; the kernel makes FUSE writes of 128 KiB of it."""
WAL_HEADER_SIZE = 32
QUICK = 128 * 1024
"""Changes up to this many bytes are written so quickly that a reader's own retries outlast them."""
OPENERS_GONE_S = 0.005

Page = bytes | memoryview
Pages = Iterable[tuple[int, Page]]


@dataclass(slots=True)
class Transaction:
    """An LTX file that was read and verified to its end, here or by who hands it in. Or several that continue
    each other, as one: of each page the newest."""

    path: Path
    header: Header
    page_one: bytes
    """The first 100 bytes of the new page 1, or none if the transaction leaves it."""
    count: int
    """Pages in the file; 0 while it is not known: a large file that was not read here."""
    at_hand: Sequence[Pages] | None
    """The pages, or None where they are too many to be kept."""
    verified: bool
    """By who hands it in; then nothing here computes a checksum again."""

    @classmethod
    def load(cls, path: Path, *more: Path, verified: bool = False) -> "Transaction":
        """Read and verify an LTX file, or, where that was done (`verified`), only as much as fits in memory.
        With `more`: short files, none of which shrinks the database, as one.

        Raises LtxError or one of its kinds, and OSError.
        """
        one = cls._load(path, verified)
        return one._followed_by([cls._load(path, verified) for path in more]) if more else one

    def _followed_by(self, others: "Sequence[Transaction]") -> "Transaction":
        newest: dict[int, Page] = {}
        for tx in (self, *others):
            newest.update(tx.pages())
        last = others[-1]
        page_one = bytes(newest[1][:DATABASE_HEADER_SIZE]) if 1 in newest else b""
        return Transaction(
            last.path, last.header, page_one, len(newest), [sorted(newest.items())], self.verified
        )

    @classmethod
    def at_hand_in(cls, message: Message) -> "Transaction":
        """One that came with its pages: see messages.py. It is no snapshot and no drop."""
        pages = cast("list[tuple[int, Page]]", message["pages"])
        page_size, commit, txid = (cast(int, message[key]) for key in ("page_size", "commit", "txid"))
        header = Header(0, page_size, commit, min_txid=txid, max_txid=txid, timestamp_ms=0)
        page_one = bytes(pages[0][1][:DATABASE_HEADER_SIZE]) if pages and pages[0][0] == 1 else b""
        return cls(Path(), header, page_one, len(pages), [pages], verified=True)

    @classmethod
    def _load(cls, path: Path, verified: bool) -> "Transaction":
        with open(path, "rb", buffering=0) as file:
            decoder = Decoder(file.read, verified=verified)
            header = decoder.header
            most = AT_HAND // header.page_size
            kept: list[Batch] = []
            count, page_one = 0, b""
            for batch in decoder.batches():
                if not count and batch.pgnos[0] == 1:
                    page_one = bytes(next(iter(batch))[1][:DATABASE_HEADER_SIZE])
                count += len(batch.pgnos)
                if count <= most:
                    kept.append(batch)
                elif verified:
                    return cls(path, header, page_one, 0, None, verified)
        return cls(path, header, page_one, count, kept if count <= most else None, verified)

    def pages(self) -> Iterator[tuple[int, Page]]:
        """The pages, ascending."""
        if self.at_hand is not None:
            for batch in self.at_hand:
                yield from batch
            return
        self.count = 0
        with open(self.path, "rb", buffering=0) as file:
            for batch in Decoder(file.read, verified=True).batches():
                self.count += len(batch.pgnos)
                yield from batch

    def facts(self, waited: float) -> dict[str, object]:
        """What the node is told once it is written; `waited` for its locks, in seconds."""
        return {
            "txid": self.header.max_txid,
            "pages": self.count,
            "commit": self.header.commit,
            "page_size": self.header.page_size,
            "waited_ms": round(waited * 1000, 3),
        }

    @property
    def is_in_place(self) -> bool:
        """Whether the database has its pages already."""
        return self.count > 0 and not self.at_hand and self.at_hand is not None

    @property
    def is_quick(self) -> bool:
        return self.at_hand is not None and self.count * self.header.page_size <= QUICK

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the database before is left after it, as far as that is known."""
        commit = self.header.commit
        lock_pages = int(commit >= lock_pgno(self.header.page_size))
        return self.header.is_snapshot or self.count == commit - lock_pages


def adopt(files: DatabaseFiles, path: Path) -> Transaction:
    """The transaction whose pages are in the database already, since another file has its name."""
    files.forget_content()
    with open(path, "rb", buffering=0) as file:
        header = Decoder(file.read, verified=True).header
    lock_pages = int(header.commit >= lock_pgno(header.page_size))
    return Transaction(path, header, files.header(), header.commit - lock_pages, [], verified=True)


def runs(pages: Pages, page_size: int) -> Iterator[tuple[int, list[Page]]]:
    """Neighbouring pages: (offset in the database, the pages), at most WRITE_SIZE (or one page) each."""
    most = max(1, WRITE_SIZE // page_size)
    run: list[Page] = []
    start = 0
    for pgno, page in pages:
        if run and (pgno != start + len(run) or len(run) == most):
            yield (start - 1) * page_size, run
            run = []
        if not run:
            start = pgno
        run.append(page)
    if run:
        yield (start - 1) * page_size, run


def _write_runs(files: DatabaseFiles, pages: Pages, page_size: int) -> None:
    fd = files.db.fd
    for offset, run in runs(pages, page_size):
        size = len(run) * page_size
        done = os.pwritev(fd, run, offset)
        files.touched = True
        if done != size:
            pwrite_all(fd, b"".join(run), offset)
        files.grew_to(offset + size)


def write_transaction(
    locks: Exclusive, tx: Transaction, *, remove_wal: bool = False, known: "KnownWal | None" = None
) -> None:
    """Change the database as the transaction says. All locks are held; they are still held afterwards.

    A WAL with content is copied into the database first (`known`: what of it counts), or dropped where
    nothing of it would be left (a whole database) or wanted (`remove_wal`).
    """
    files, header = locks.files, tx.header
    if (locks.in_wal and files.wal_size() > WAL_HEADER_SIZE) or files.has_hot_journal():
        files.touched = True
    files.remove_journal()
    to_wal = says_wal(tx.page_one or files.header())
    if locks.in_wal:
        _write_in_wal_mode(locks, tx, to_wal, remove_wal, known)
        return
    _write_pages(files, tx.pages(), header)
    if to_wal:
        files.adopt_wal()
        if locks.replica:
            files.make_wal()
    if to_wal or (locks.replica and not files.has_index()):
        files.publish_index(files.index_prefix(), header.page_size, header.commit)


def _write_in_wal_mode(
    locks: Exclusive, tx: Transaction, to_wal: bool, remove_wal: bool, known: "KnownWal | None"
) -> None:
    files, header = locks.files, tx.header
    wal_size = files.wal_size()
    locks.left_wal = not to_wal and files.db.try_lock(DATABASE_LOCKS, exclusive=True)
    if wal_size or not tx.is_quick:
        locks.begin_change()
    if wal_size > WAL_HEADER_SIZE and not (remove_wal or tx.is_whole):
        copy_wal(files, known)
    if to_wal or locks.left_wal:
        if wal_size > WAL_HEADER_SIZE:
            files.set_wal(b"")
        _write_pages(files, tx.pages(), header)
    elif 0 < wal_size <= WAL_HEADER_SIZE:
        _write_pages(files, tx.pages(), header)
    else:
        _write_beside_wal_clients(files, tx)
    locks.publish(header.page_size, header.commit)
    if locks.left_wal:
        files.remove_wal()
    elif to_wal and wal_size:
        files.set_wal(b"")


def _write_pages(files: DatabaseFiles, pages: Pages, header: Header) -> None:
    """Pages first, then the length."""
    _write_runs(files, pages, header.page_size)
    files.cut_to(header.commit * header.page_size)


def _write_beside_wal_clients(files: DatabaseFiles, tx: Transaction) -> None:
    """The new page 1 says rollback mode, and clients have the WAL open.

    A client that is just opening looks for a WAL and then at page 1. Page 1 comes last, and a moment
    after the WAL: one that saw no WAL sees the old page 1, and so opens it, or finds every page new.
    """
    from pylitefs.sqlite.wal import WalHeader

    salt = int.from_bytes(os.urandom(4), "big")
    files.set_wal(WalHeader(tx.header.page_size, 0, salt, salt ^ 1).pack())
    time.sleep(OPENERS_GONE_S)
    last: list[tuple[int, Page]] = []

    def page_one_last() -> Iterator[tuple[int, Page]]:
        for pgno, page in tx.pages():
            if pgno == 1:
                last.append((pgno, page))
            else:
                yield pgno, page
        yield from last

    _write_pages(files, page_one_last(), tx.header)


def copy_wal(files: DatabaseFiles, known: "KnownWal | None" = None) -> None:
    """What a checkpoint does: every committed page of the WAL into the database. All locks are held.

    The node says how many of its frames count: those that were told. The checksums alone tell otherwise: they
    end at frames that SQLite left without any, and hold in a commit that was lost.
    """
    from pylitefs.errors import SqliteFormatError
    from pylitefs.sqlite.wal import (
        FRAME_HEADER_SIZE,
        WalHeader,
        committed,
        frame_offset,
        frames_up_to,
        scan,
    )

    fd = files.open_file("-wal", os.O_RDONLY)
    try:
        try:
            header = WalHeader.parse(os.pread(fd, 32, 0))
        except SqliteFormatError:
            return

        def read_at(offset: int, size: int) -> bytes:
            return os.pread(fd, size, offset)

        page_size = header.page_size
        if known is not None and (header.salt1, header.salt2) == known[:2]:
            frames = frames_up_to(read_at, known.frames, header)
        else:
            frames = scan(read_at, os.fstat(fd).st_size, header)
        wal = committed(frames, header)
        if not wal.last_index:
            return
        newest = (
            (pgno, read_at(frame_offset(index, page_size) + FRAME_HEADER_SIZE, page_size))
            for pgno, index in sorted(wal.frames.items())
        )
        _write_runs(files, newest, page_size)
        files.cut_to(wal.commit * page_size)
    finally:
        os.close(fd)


def drop(files: DatabaseFiles) -> None:
    """Remove a database and what belongs to it. The database goes first: who comes now finds none."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        files.unlink(suffix)
    files.close()
