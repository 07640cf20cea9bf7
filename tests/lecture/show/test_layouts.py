"""The printed byte layouts are the formats' own."""

from pylitefs.lecture.show.layouts import sections
from pylitefs.ltx.header import HEADER_SIZE, TRAILER_SIZE
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE
from pylitefs.sqlite.journal import JOURNAL_HEADER_SIZE
from pylitefs.sqlite.wal import FRAME_HEADER_SIZE, WAL_HEADER_SIZE
from pylitefs.sqlite.wal_index import INDEX_HEADER_SIZE, INDEX_PREFIX_SIZE


def total(title: str) -> int:
    """Where the last field with a number for its size ends."""
    section = next(one for one in sections() if one.title == title)
    return max(int(row.offset) + int(row.size) for row in section.rows if row.offset and row.size.isdigit())


def test_each_layout_is_as_long_as_its_format() -> None:
    assert total("Rollback journal: segment header") == JOURNAL_HEADER_SIZE
    assert total("WAL: header") == WAL_HEADER_SIZE
    assert total("WAL: frame") == FRAME_HEADER_SIZE
    assert total("WAL index: header") == INDEX_HEADER_SIZE
    assert total("WAL index: checkpoint and locks") == INDEX_PREFIX_SIZE
    assert total("LTX file: header") == HEADER_SIZE
    assert total("LTX file: trailer") == TRAILER_SIZE
    assert total("Database: header") == DATABASE_HEADER_SIZE
    assert total("DB-pos") == 34


def test_every_row_has_a_name_and_a_meaning_and_no_title_comes_twice() -> None:
    found = sections()
    assert len({section.title for section in found}) == len(found)
    for section in found:
        assert section.about.endswith(".")
        assert section.rows
        for row in section.rows:
            assert row.name
            assert row.meaning.endswith("."), row
            assert row.size
