"""Rollback journals taken apart: SQLite's own, made up ones, and any bytes."""

from pathlib import Path

import pytest
from hypothesis import given

from pylitefs.lecture.anatomy.journal import anatomy
from tests.lecture.anatomies import assert_covers, damaged, values
from tests.sqlite.journals import make_journal
from tests.sqlite.packing import pack_super_journal
from tests.sqlite.samples import make_database

SAMPLE = make_journal([[2, 3], [1]])


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist"])
def test_a_journal_of_sqlites_own_is_named_to_the_last_byte(tmp_path: Path, mode: str) -> None:
    database = make_database(tmp_path / "a.db", page_size=1024, mode=mode, rows=5)
    database.execute("BEGIN")
    database.execute("UPDATE t SET a = 1 WHERE id = 3")
    database.execute("PRAGMA cache_spill=1")
    data = (tmp_path / "a.db-journal").read_bytes()
    parts = anatomy(data)
    assert_covers(parts, data)
    found = values(parts)
    assert found["sector size"] == "512"
    assert found["page size"] == "1,024"
    assert found["initial pages"] == f"{(tmp_path / 'a.db').stat().st_size // 1024:,}"
    records = [part.value for part in parts if part.name == "record checksum"]
    assert records[0].endswith("holds")
    database.execute("ROLLBACK")
    database.close()


def test_what_sqlite_wrote_before_the_sync_is_not_hot_and_after_it_is() -> None:
    hot = make_journal([[2]])
    assert values(anatomy(hot))["magic"] == "valid: this journal can roll back"
    cold = bytes(12) + hot[12:]
    parts = anatomy(cold)
    assert_covers(parts, cold)
    assert values(parts)["magic"] == "zero: nothing to roll back"
    assert values(parts)["page 2"] == "no b-tree page"


def test_each_segment_has_its_header_and_its_records() -> None:
    parts = anatomy(SAMPLE)
    assert_covers(parts, SAMPLE)
    names = [part.name for part in parts]
    assert names.count("nonce") == 2
    assert [name for name in names if name.startswith("page ") and name[5:].isdigit()] == [
        "page 2", "page 3", "page 1",
    ]  # fmt: skip
    assert all(part.value.endswith("holds") for part in parts if part.name == "record checksum")


def test_a_record_that_does_not_fit_is_said_to_be_left_over() -> None:
    data = bytearray(SAMPLE)
    data[512 + 4 + 1024 - 200] ^= 1
    found = [part.value for part in anatomy(bytes(data)) if part.name == "record checksum"]
    assert "does not hold" in found[0]
    assert found[1].endswith("holds")


def test_a_super_journals_name_is_read() -> None:
    data = make_journal([[2]]) + pack_super_journal("/mnt/a.db-mj012345678", 1024)
    parts = anatomy(data)
    assert_covers(parts, data)
    assert values(parts)["super-journal"] == "/mnt/a.db-mj012345678"


@given(damaged(SAMPLE, make_journal([[1]], sector_size=4096)))
def test_any_bytes_are_covered(data: bytes) -> None:
    assert_covers(anatomy(data), data)
    assert_covers(anatomy(data, 1024), data)
