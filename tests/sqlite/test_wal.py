"""The WAL: checksums, frames, and what of it is committed."""

import os
import random
import sqlite3
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylitefs.errors import SqliteFormatError
from pylitefs.sqlite.wal import (
    FRAME_HEADER_SIZE,
    WAL_HEADER_SIZE,
    FrameHeader,
    WalHeader,
    committed,
    frame_at,
    frame_offset,
    frames_up_to,
    scan,
    wal_checksum,
)
from tests.sqlite.packing import pack_frame
from tests.sqlite.samples import PAGE_SIZES, copy_database, make_database, read_at

U32 = st.integers(0, 2**32 - 1)


def slow_wal_checksum(data: bytes, s1: int, s2: int, big_endian: bool) -> tuple[int, int]:
    """Word by word, as the format's description has it."""
    words = struct.unpack(f"{'>' if big_endian else '<'}{len(data) // 4}I", data)
    for first, second in zip(words[::2], words[1::2], strict=True):
        s1 = (s1 + first + s2) % 2**32
        s2 = (s2 + second + s1) % 2**32
    return s1, s2


@given(st.integers(0, 40), st.randoms(use_true_random=False), U32, U32, st.booleans())
def test_the_dot_product_is_the_loop(
    pairs: int, chance: random.Random, s1: int, s2: int, big_endian: bool
) -> None:
    data = chance.randbytes(8 * pairs)
    expected = slow_wal_checksum(data, s1, s2, big_endian)
    for buffer in (data, bytearray(data), memoryview(b"x" + data)[1:]):
        assert wal_checksum(buffer, s1, s2, big_endian) == expected


@pytest.mark.parametrize("page_size", PAGE_SIZES)
@pytest.mark.parametrize("big_endian", [False, True])
def test_it_is_so_for_a_whole_page_of_each_size(page_size: int, big_endian: bool) -> None:
    for data in (os.urandom(page_size), b"\xff" * page_size):
        expected = slow_wal_checksum(data, 0xFFFFFFFF, 0xFFFFFFFE, big_endian)
        assert wal_checksum(data, 0xFFFFFFFF, 0xFFFFFFFE, big_endian) == expected


def test_half_a_pair_of_words_has_no_checksum() -> None:
    with pytest.raises(ValueError, match="pairs"):
        wal_checksum(bytes(12), 0, 0, False)


@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_a_wal_that_sqlite_wrote_is_read_whole(page_size: int, tmp_path: Path) -> None:
    """The database overlaid by its committed frames is the database after a checkpoint."""
    path = tmp_path / "a.db"
    database = make_database(path, page_size=page_size, mode="wal")
    database.execute("PRAGMA wal_checkpoint(RESTART)")
    database.execute("DELETE FROM t WHERE id < 20")
    database.execute("VACUUM")
    database.execute("INSERT INTO t VALUES (1, 'x')")
    before, wal = path.read_bytes(), (tmp_path / "a.db-wal").read_bytes()
    header = WalHeader.parse(wal)
    assert header.pack() == wal[:WAL_HEADER_SIZE]
    assert not header.big_endian
    frames = list(scan(read_at(wal), len(wal), header))
    state = committed(frames, header)
    assert frames[-1].commit == state.commit and frames[-1].index == state.last_index
    after = bytearray(before.ljust(state.commit * page_size, b"\0")[: state.commit * page_size])
    for pgno, index in state.frames.items():
        start = frame_offset(index, page_size) + FRAME_HEADER_SIZE
        after[(pgno - 1) * page_size : pgno * page_size] = wal[start : start + page_size]
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert after == path.read_bytes()
    database.close()


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
@pytest.mark.parametrize("big_endian", [False, True])
def test_a_wal_that_we_write_is_read_by_sqlite(page_size: int, big_endian: bool, tmp_path: Path) -> None:
    """In either byte order: SQLite recovers every commit in it."""
    database = make_database(tmp_path / "a.db", page_size=page_size, mode="wal", rows=3)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.execute("UPDATE t SET a = 'one'")
    database.execute("UPDATE t SET a = 'two'")
    copy = copy_database(tmp_path / "a.db", tmp_path / "copy")
    database.close()
    wal = Path(f"{copy}-wal").read_bytes()
    original = WalHeader.parse(wal)
    header = WalHeader(page_size, 7, 123, 456, big_endian=big_endian)
    out = header.pack()
    assert WalHeader.parse(out).big_endian == big_endian
    header = WalHeader.parse(out)
    checksum = (header.checksum1, header.checksum2)
    for frame in scan(read_at(wal), len(wal), original):
        start = frame_offset(frame.index, page_size) + FRAME_HEADER_SIZE
        raw, checksum = pack_frame(header, frame.pgno, frame.commit, wal[start : start + page_size], checksum)
        out += raw
    Path(f"{copy}-wal").write_bytes(out)
    again = sqlite3.connect(copy)
    assert again.execute("SELECT DISTINCT a FROM t").fetchall() == [("two",)]
    again.close()


def made_wal(pgnos: list[tuple[int, int]], page_size: int = 512) -> tuple[WalHeader, bytes]:
    """A WAL of these (page number, commit) frames."""
    header = WalHeader.parse(WalHeader(page_size, 1, 11, 22).pack())
    out, checksum = header.pack(), (header.checksum1, header.checksum2)
    for index, (pgno, commit) in enumerate(pgnos):
        raw, checksum = pack_frame(header, pgno, commit, bytes([index]) * page_size, checksum)
        out += raw
    return header, out


FRAMES = [(1, 0), (2, 2), (1, 0), (3, 3), (2, 0)]


def test_frames_are_read_by_their_number_alone_where_they_are_known_to_count() -> None:
    """SQLite leaves zeros for the salts and the checksum of some; and no more are read than there are."""
    header, wal = made_wal(FRAMES)
    zeroed = bytearray(wal)
    at = frame_offset(2, 512)
    zeroed[at + 8 : at + 24] = bytes(16)
    assert committed(scan(read_at(bytes(zeroed)), len(zeroed), header), header).last_index == 0
    state = committed(frames_up_to(read_at(bytes(zeroed)), 4, header), header)
    assert state.frames == {1: 3, 2: 2, 3: 4} and (state.commit, state.last_index) == (3, 4)
    assert [frame.index for frame in frames_up_to(read_at(bytes(zeroed)), 9, header)] == [1, 2, 3, 4, 5]


def test_frames_after_the_last_commit_do_not_count() -> None:
    header, wal = made_wal(FRAMES)
    frames = list(scan(read_at(wal), len(wal), header))
    assert [(frame.index, frame.pgno, frame.commit) for frame in frames] == [
        (1, 1, 0), (2, 2, 2), (3, 1, 0), (4, 3, 3), (5, 2, 0),
    ]  # fmt: skip
    state = committed(frames, header)
    assert (state.frames, state.commit, state.last_index) == ({1: 3, 2: 2, 3: 4}, 3, 4)
    assert (state.checksum1, state.checksum2) == (frames[3].checksum1, frames[3].checksum2)


def test_pages_cut_off_by_a_later_commit_do_not_count() -> None:
    header, wal = made_wal([(1, 0), (3, 3), (1, 1)])
    assert committed(scan(read_at(wal), len(wal), header), header).frames == {1: 3}


def test_without_a_commit_there_is_nothing() -> None:
    header, wal = made_wal([(1, 0), (2, 0)])
    state = committed(scan(read_at(wal), len(wal), header), header)
    assert (state.frames, state.commit, state.last_index) == ({}, 0, 0)
    assert (state.checksum1, state.checksum2) == (header.checksum1, header.checksum2)


def test_a_scan_goes_on_from_a_frame_it_is_given() -> None:
    header, wal = made_wal(FRAMES)
    frames = list(scan(read_at(wal), len(wal), header))
    for start in range(len(frames)):
        last = frames[start]
        rest = scan(
            read_at(wal), len(wal), header, first=start + 2, checksum=(last.checksum1, last.checksum2)
        )
        assert list(rest) == frames[start + 1 :]


def test_a_wal_cut_anywhere_ends_at_its_last_whole_frame() -> None:
    header, wal = made_wal(FRAMES)
    for size in range(WAL_HEADER_SIZE, len(wal) + 1):
        whole = (size - WAL_HEADER_SIZE) // header.frame_size
        assert len(list(scan(read_at(wal[:size]), size, header))) == whole
        assert len(list(scan(read_at(wal[:size]), len(wal), header))) == whole


def test_a_flipped_byte_ends_the_wal_before_its_frame() -> None:
    header, wal = made_wal(FRAMES)
    for offset in range(WAL_HEADER_SIZE, len(wal)):
        damaged = bytearray(wal)
        damaged[offset] ^= 0x10
        frames = list(scan(read_at(bytes(damaged)), len(wal), header))
        assert len(frames) == frame_at(offset, 512) - 1


def test_frames_of_an_earlier_round_have_other_salts_and_end_the_wal() -> None:
    header, wal = made_wal(FRAMES)
    _, newer = made_wal([(1, 1)])
    salted = WalHeader.parse(WalHeader(512, 2, 12, 99).pack())
    raw, _ = pack_frame(salted, 1, 1, bytes(512), (salted.checksum1, salted.checksum2))
    mixed = salted.pack() + raw + wal[len(newer) :]
    assert len(list(scan(read_at(mixed), len(mixed), salted))) == 1
    assert list(scan(read_at(mixed), len(mixed), header)) == []


def test_a_header_that_sqlite_would_not_take_is_refused() -> None:
    good = WalHeader(4096, 1, 2, 3).pack()
    assert WalHeader.parse(good).page_size == 4096
    with pytest.raises(SqliteFormatError, match="31 bytes"):
        WalHeader.parse(good[:31])
    with pytest.raises(SqliteFormatError, match="begins"):
        WalHeader.parse(bytes(32))
    with pytest.raises(SqliteFormatError, match="page size of 4097"):
        WalHeader.parse(good[:11] + b"\1" + good[12:])
    for offset in range(12, 32):
        damaged = bytearray(good)
        damaged[offset] ^= 1
        with pytest.raises(SqliteFormatError, match="checksum"):
            WalHeader.parse(damaged)
    start = good[:4] + (3007001).to_bytes(4, "big") + good[8:24]
    newer = start + struct.pack(">II", *wal_checksum(start, 0, 0, False))
    with pytest.raises(SqliteFormatError, match="version 3007001"):
        WalHeader.parse(newer)


def test_offsets_and_frames() -> None:
    for page_size in PAGE_SIZES:
        assert frame_offset(1, page_size) == 32
        for index in (1, 2, 1000):
            offset = frame_offset(index, page_size)
            assert frame_at(offset, page_size) == index == frame_at(offset + page_size + 23, page_size)
        assert frame_at(31, page_size) == 0
    header = FrameHeader(1, 2, 3, 4, 5, 6)
    assert FrameHeader.parse(header.pack() + b"more") == header
