"""What the tests of the store share: stores on temporary directories, and what must hold of a database."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pylitefs.ltx.checksum import CHECKSUM_FLAG, page_checksum
from pylitefs.ltx.database import read_wal
from pylitefs.ltx.decoder import open_ltx, verify_file
from pylitefs.sqlite.header import DatabaseHeader
from pylitefs.sqlite.locks import lock_pgno
from pylitefs.sqlite.wal import FRAME_HEADER_SIZE, frame_offset
from pylitefs.store.database import Database
from pylitefs.store.names import FileKind
from pylitefs.store.status import Status
from pylitefs.store.store import Store
from pylitefs.trace import Tracer
from tests.store.serving import Served


@contextmanager
def opened(
    directory: Path, *, primary: bool = True, mount_dir: Path | None = None, compress: bool = True
) -> Iterator[Store]:
    """A store over `directory`, recovered, and closed at the end."""
    status = Status(is_primary=primary, candidate=primary, ready=primary)
    store = Store(directory, tracer=Tracer(), status=status, monitor_interval_s=0, compress=compress)
    store.open(mount_dir)
    try:
        yield store
    finally:
        store.close()


def committed_bytes(directory: Path) -> bytes:
    """What SQLite's readers see of `dbs/DB`: the database file, the WAL's commits over it."""
    path = directory / FileKind.DATABASE.value
    content = bytearray(path.read_bytes()) if path.exists() else bytearray()
    wal_path = directory / FileKind.WAL.value
    if wal_path.exists():
        # ltx.database looks for the WAL beside the database under SQLite's own names.
        link = directory / "database-wal"
        os.link(wal_path, link)
        try:
            found = read_wal(path)
        finally:
            link.unlink()
        if found is not None:
            header, wal = found
            raw = wal_path.read_bytes()
            size = header.page_size
            content = content[: wal.commit * size].ljust(wal.commit * size, b"\0")
            for pgno, index in wal.frames.items():
                at = frame_offset(index, size) + FRAME_HEADER_SIZE
                content[(pgno - 1) * size : pgno * size] = raw[at : at + size]
            return bytes(content)
    if content:
        header_ = DatabaseHeader.parse(content[:100])
        pages = header_.pages(len(content))
        return bytes(content[: pages * header_.page_size])
    return b""


def checksum_of(content: bytes, page_size: int) -> int:
    """The database checksum of these bytes, worked out from nothing but them."""
    checksum = 0
    for pgno in range(1, len(content) // page_size + 1 if page_size else 1):
        if pgno != lock_pgno(page_size):
            checksum ^= page_checksum(pgno, content[(pgno - 1) * page_size : pgno * page_size])
    return checksum | CHECKSUM_FLAG


def assert_position_is_the_bytes_own(database: Database) -> None:
    """Invariant 2: the checksum kept up to date is the one of the bytes on disk."""
    if database.pos.txid == 0:
        return
    content = committed_bytes(database.dir)
    assert len(content) == database.page_count * database.page_size
    assert f"{checksum_of(content, database.page_size):016x}" == f"{database.pos.checksum:016x}"


def replayed(database: Database) -> bytes:
    """What the LTX files that are kept, the first of them a whole database, amount to on a replica."""
    content = bytearray()
    for span in database.ltx_files():
        with open_ltx(database.ltx_path(*span)) as decoder:
            size = decoder.header.page_size
            content = content[: decoder.header.commit * size].ljust(decoder.header.commit * size, b"\0")
            for pgno, page in decoder.pages():
                content[(pgno - 1) * size : pgno * size] = page
            assert checksum_of(bytes(content), size) == decoder.trailer.post_apply_checksum, span
    return bytes(content)


def assert_files_continue(database: Database) -> None:
    """LTX files whose TXIDs follow each other are of one history."""
    ends: dict[int, set[int]] = {}
    for span in database.ltx_files():
        header, trailer = verify_file(database.ltx_path(*span))
        before = ends.get(span[0] - 1, {header.pre_apply_checksum})
        assert header.pre_apply_checksum in before, f"{span} continues none of the files before it"
        ends.setdefault(span[1], set()).add(trailer.post_apply_checksum)


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    """One statement on a database file of the data directory, by SQLite alone."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def is_whole(path: Path) -> bool:
    """SQLite's own opinion of a database file."""
    return query(path, "PRAGMA integrity_check") == [("ok",)]


def data_file(store: Store, name: str, kind: FileKind = FileKind.DATABASE) -> Path:
    return store.data_dir / "dbs" / name / kind.value


def seen_by_sqlite(served: Served, name: str = "a.db") -> bytes:
    """The database as a new connection reads it."""
    db = served.connect(name, timeout=5)
    content = db.serialize()
    db.close()
    return content


def assert_captured(served: Served, txid: int) -> Database:
    """So many transactions, and they lead to what SQLite's readers see."""
    database = served.store.require("a.db")
    assert database.pos.txid == txid
    content = seen_by_sqlite(served)
    assert checksum_of(content, database.page_size) == database.pos.checksum
    assert replayed(database) == content
    return database


def refused(code: int, call: Callable[[], object]) -> None:
    """The call fails with this errno."""
    with pytest.raises(OSError) as caught:
        call()
    assert caught.value.errno == code, caught.value
