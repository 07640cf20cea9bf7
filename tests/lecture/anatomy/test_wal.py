"""WALs taken apart: SQLite's own, and any bytes."""

from pathlib import Path

import pytest
from hypothesis import given

from pylitefs.lecture.anatomy.wal import anatomy, header_of
from pylitefs.sqlite.wal import WalHeader, frame_offset
from tests.lecture.anatomies import assert_covers, damaged, values
from tests.sqlite.packing import pack_frame
from tests.sqlite.samples import make_database


def make_wal(pages: int = 3, page_size: int = 512) -> bytes:
    """A WAL with one transaction."""
    header = WalHeader(page_size, 0, 7, 8)
    data = header.pack()
    parsed = WalHeader.parse(data)
    checksum = (parsed.checksum1, parsed.checksum2)
    for pgno in range(1, pages + 1):
        frame, checksum = pack_frame(
            header, pgno, pages if pgno == pages else 0, bytes([pgno]) * page_size, checksum
        )
        data += frame
    return data


SAMPLE = make_wal()


@pytest.mark.parametrize("page_size", [512, 1024, 65536])
def test_a_wal_of_sqlites_own_is_named_to_the_last_byte(tmp_path: Path, page_size: int) -> None:
    database = make_database(tmp_path / "a.db", page_size=page_size, mode="wal", rows=3)
    data = (tmp_path / "a.db-wal").read_bytes()
    parts = anatomy(data)
    assert_covers(parts, data)
    found = values(parts)
    assert found["page size"] == f"{page_size:,}"
    assert found["header checksum 1"].endswith("holds")
    commits = [part.value for part in parts if part.name == "commit"]
    assert commits[-1].endswith("a commit frame")
    assert all(part.value.endswith("holds") for part in parts if part.name == "checksum 2")
    database.close()


def test_frames_of_an_earlier_round_are_said_to_be(tmp_path: Path) -> None:
    database = make_database(tmp_path / "a.db", page_size=1024, mode="wal", rows=3)
    database.execute("PRAGMA wal_checkpoint(RESTART)")
    database.execute("UPDATE t SET a = 1 WHERE id = 1")
    parts = anatomy((tmp_path / "a.db-wal").read_bytes())
    salts = [part.value for part in parts if part.name == "salt 1"][1:]
    assert salts[0].endswith("as in the header")
    assert salts[-1].endswith("of an earlier round")
    database.close()


def test_the_first_frame_that_does_not_hold_ends_the_log() -> None:
    data = bytearray(SAMPLE)
    data[frame_offset(2, 512) + 100] ^= 1
    verdicts = [part.value.partition(", ")[2] for part in anatomy(bytes(data)) if part.name == "checksum 1"]
    assert verdicts == ["holds", "does not hold: the log ends here", ""]


def test_a_part_of_a_wal_is_named_from_any_offset() -> None:
    header = header_of(SAMPLE)
    for base in (0, 1, 31, 32, 33, 32 + 24, frame_offset(2, 512), frame_offset(3, 512) + 30):
        parts = anatomy(SAMPLE[base:], base, header)
        assert_covers(parts, SAMPLE[base:], base)
    parts = anatomy(SAMPLE[frame_offset(2, 512) :], frame_offset(2, 512), header)
    assert values(parts)["page number"] == "2"
    assert parts[0].meaning.endswith("This is frame 2.")


@given(damaged(SAMPLE))
def test_any_bytes_of_a_wal_are_covered(data: bytes) -> None:
    assert_covers(anatomy(data), data)
    assert_covers(anatomy(data, 77, header_of(SAMPLE)), data, 77)
    assert_covers(anatomy(data, 77), data, 77)
