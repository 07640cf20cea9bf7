"""Applying to a database file: all of it or nothing."""

import os
import sqlite3
from pathlib import Path

import pytest

from pylitefs.errors import BusyError, LtxError, PositionMismatchError, SqliteFormatError
from pylitefs.ltx import apply
from pylitefs.ltx.apply import apply_files
from pylitefs.ltx.checksum import EMPTY_CHECKSUM
from pylitefs.ltx.database import encode_database
from pylitefs.ltx.encoder import encode
from pylitefs.ltx.header import Header
from pylitefs.ltx.position import Pos
from tests.ltx.samples import ChainBuilder, checksum_of, make_page

Chain = tuple[list[Path], list[bytes]]


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    """Four LTX files of a real database, and the database after each."""
    builder = ChainBuilder()
    states: list[bytes] = []
    paths: list[Path] = []
    database = sqlite3.connect(tmp_path / "origin.db")
    database.execute("PRAGMA page_size=512")
    before: dict[int, bytes] = {}
    for sql in (
        "CREATE TABLE t(a)",
        "INSERT INTO t VALUES (randomblob(3000))",
        "INSERT INTO t VALUES ('small')",
        "DELETE FROM t WHERE a <> 'small'",
    ):
        database.execute(sql)
        database.commit()
        raw = (tmp_path / "origin.db").read_bytes()
        pages = {index // 512 + 1: raw[index : index + 512] for index in range(0, len(raw), 512)}
        changed = {pgno: page for pgno, page in pages.items() if before.get(pgno) != page}
        path = tmp_path / f"{len(states) + 1}.ltx"
        path.write_bytes(builder.transaction(changed, len(pages)))
        paths.append(path)
        states.append(raw)
        before = pages
    database.close()
    return paths, states


def test_files_in_order_give_each_state(chain: Chain, tmp_path: Path) -> None:
    paths, states = chain
    copy = tmp_path / "copy.db"
    for index, (path, state) in enumerate(zip(paths, states, strict=True)):
        assert apply_files(copy, [path]).txid == index + 1
        assert copy.read_bytes() == state
    other = tmp_path / "other.db"
    assert apply_files(other, paths).txid == 4
    assert other.read_bytes() == states[-1]


def test_a_snapshot_replaces_and_the_mode_stays(chain: Chain, tmp_path: Path) -> None:
    paths, states = chain
    copy = tmp_path / "copy.db"
    apply_files(copy, paths)
    copy.chmod(0o640)
    apply_files(copy, paths[:1])
    assert copy.read_bytes() == states[0]
    assert copy.stat().st_mode & 0o777 == 0o640


def test_nothing_is_changed_unless_everything_is_good(chain: Chain, tmp_path: Path) -> None:
    """A damaged last file, a gap, a first file that continues something else: the database is as it was."""
    paths, states = chain
    copy = tmp_path / "copy.db"
    apply_files(copy, paths[:2])
    damaged = tmp_path / "damaged.ltx"
    raw = bytearray(paths[3].read_bytes())
    raw[-30] ^= 1
    damaged.write_bytes(raw)
    for files, error in (
        ([paths[2], damaged], LtxError),
        ([paths[3]], PositionMismatchError),
        ([paths[2], paths[2]], PositionMismatchError),
        ([paths[1]], PositionMismatchError),
        ([], LtxError),
    ):
        with pytest.raises(error):
            apply_files(copy, files)
        assert copy.read_bytes() == states[1]
    with pytest.raises(PositionMismatchError, match="begin with a snapshot"):
        apply_files(tmp_path / "new.db", paths[1:])
    assert not (tmp_path / "new.db").exists()
    assert not list(tmp_path.glob("*.tmp"))


def test_a_checksum_that_does_not_come_out_leaves_the_database(chain: Chain, tmp_path: Path) -> None:
    """The file is whole and continues the database, but its post-apply checksum is not what it leads to."""
    paths, states = chain
    copy = tmp_path / "copy.db"
    apply_files(copy, paths[:1])
    before = apply.verify_path(paths[0])
    header = Header(0, 512, before.header.commit, 2, 2, 0, before.trailer.post_apply_checksum)
    wrong = tmp_path / "wrong.ltx"
    wrong.write_bytes(encode(header, [(2, make_page(2))], EMPTY_CHECKSUM | 5))
    with pytest.raises(LtxError, match="left as it was"):
        apply_files(copy, [wrong])
    assert copy.read_bytes() == states[0]


def test_a_failure_while_writing_leaves_the_database(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, states = chain
    copy = tmp_path / "copy.db"
    apply_files(copy, paths[:2])

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        apply_files(copy, paths[2:])
    assert copy.read_bytes() == states[1]
    assert not list(tmp_path.glob("*.tmp"))


def test_a_drop_leaves_a_file_without_bytes_and_the_txids_go_on(chain: Chain, tmp_path: Path) -> None:
    paths, _ = chain
    last = apply.verify_path(paths[3])
    drop = encode(Header(0, 512, 0, 5, 5, 0, last.trailer.post_apply_checksum), [], EMPTY_CHECKSUM)
    again = {1: make_page(1, 1024), 2: make_page(2, 1024)}
    made = encode(Header(0, 1024, 2, 6, 6, 0, EMPTY_CHECKSUM), again.items(), checksum_of(again))
    files = [tmp_path / "drop.ltx", tmp_path / "again.ltx"]
    for path, data in zip(files, (drop, made), strict=True):
        path.write_bytes(data)
    copy = tmp_path / "copy.db"
    assert apply_files(copy, [*paths, files[0]]) == Pos(5, EMPTY_CHECKSUM)
    assert copy.read_bytes() == b""
    assert apply_files(copy, [files[1]]).txid == 6
    assert copy.read_bytes() == again[1] + again[2]


def test_a_new_page_size_needs_every_page(chain: Chain, tmp_path: Path) -> None:
    paths, states = chain
    copy = tmp_path / "copy.db"
    pre = apply.verify_path(paths[3]).trailer.post_apply_checksum
    pages = {1: make_page(1, 1024), 2: make_page(2, 1024)}
    path = tmp_path / "new.ltx"
    path.write_bytes(encode(Header(0, 1024, 2, 5, 5, 0, pre), [(2, pages[2])], checksum_of(pages)))
    apply_files(copy, paths)
    with pytest.raises(LtxError, match="without holding every page"):
        apply_files(copy, [path])
    assert copy.read_bytes() == states[3]
    path.write_bytes(encode(Header(0, 1024, 2, 5, 5, 0, pre), pages.items(), checksum_of(pages)))
    apply_files(copy, [path])
    assert copy.read_bytes() == pages[1] + pages[2]


def test_a_database_in_use_is_not_touched(chain: Chain, tmp_path: Path) -> None:
    paths, states = chain
    copy = tmp_path / "copy.db"
    apply_files(copy, paths[:1])
    reader = sqlite3.connect(copy, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM t").fetchall()
    with pytest.raises(BusyError, match="being used"):
        apply_files(copy, paths[1:])
    reader.close()
    apply_files(copy, paths[1:])
    assert copy.read_bytes() == states[3]


def test_a_wal_with_transactions_is_refused_with_the_remedy(tmp_path: Path) -> None:
    """Its pages would come over the applied ones at the next open."""
    origin, copy = tmp_path / "origin.db", tmp_path / "copy.db"
    database = sqlite3.connect(origin)
    database.execute("PRAGMA journal_mode=wal")
    database.execute("CREATE TABLE t(a)")
    database.commit()
    for suffix in ("", "-wal"):
        (tmp_path / f"copy.db{suffix}").write_bytes(Path(f"{origin}{suffix}").read_bytes())
    snapshot = tmp_path / "snapshot.ltx"
    encode_database(origin, snapshot)
    with pytest.raises(SqliteFormatError, match="wal_checkpoint"):
        apply_files(copy, [snapshot])
    database.close()
    checkpointed = sqlite3.connect(copy)
    checkpointed.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    checkpointed.close()
    apply_files(copy, [snapshot])
