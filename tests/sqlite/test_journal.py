"""The rollback journal, byte by byte: headers, records, the super-journal's name."""

from dataclasses import replace

import pytest

from pylitefs.errors import SqliteFormatError
from pylitefs.sqlite.journal import (
    JOURNAL_MAGIC,
    NREC_ALL,
    JournalHeader,
    is_journal_header_valid,
    read_journal,
    read_super_journal,
    record_checksum,
)
from pylitefs.sqlite.locks import lock_pgno
from tests.sqlite.journals import PAGE, make_journal, make_segment
from tests.sqlite.packing import pack_super_journal
from tests.sqlite.samples import read_at

HEADER = JournalHeader(nrec=2, nonce=99, initial_pages=9, sector_size=512, page_size=PAGE)


def pgnos_in(data: bytes, *, hot: bool = True) -> list[int]:
    return [pgno for pgno, _ in read_journal(read_at(data), len(data), hot=hot).records]


def test_a_header_is_28_bytes_and_reads_back() -> None:
    packed = HEADER.pack()
    assert len(packed) == 28
    assert packed[:8] == JOURNAL_MAGIC
    assert JournalHeader.parse(packed) == HEADER
    assert is_journal_header_valid(packed)
    assert not is_journal_header_valid(packed[:27])
    assert not is_journal_header_valid(bytes(28))
    with pytest.raises(SqliteFormatError):
        JournalHeader.parse(bytes(28))


@pytest.mark.parametrize("page_size", [512 << i for i in range(8)])
def test_a_records_checksum_is_the_nonce_and_every_200th_byte_from_the_end(page_size: int) -> None:
    page = bytes(range(256)) * (page_size // 256)
    expected, offset = 0xFFFFFFF0, page_size - 200
    while offset > 0:
        expected = (expected + page[offset]) % 2**32
        offset -= 200
    assert record_checksum(0xFFFFFFF0, page) == record_checksum(0xFFFFFFF0, memoryview(page)) == expected


def test_records_of_one_segment() -> None:
    data = make_journal([[3, 1, 2]])
    journal = read_journal(read_at(data), len(data))
    assert (journal.initial_pages, journal.page_size, journal.sector_size) == (9, PAGE, 512)
    assert journal.super_journal is None
    assert [(pgno, page[0]) for pgno, page in journal.records] == [(3, 3), (1, 1), (2, 2)]
    assert list(journal.records) == list(journal.records), "they can be taken again"


@pytest.mark.parametrize("sector_size", [512, 1024, 4096, 65536])
def test_each_segment_begins_at_a_whole_sector(sector_size: int) -> None:
    data = make_journal([[1, 2], [3], [], [4, 5]], sector_size=sector_size)
    assert pgnos_in(data) == [1, 2, 3, 4, 5]


def test_what_follows_the_last_segment_is_not_read() -> None:
    """A journal that persists is longer than its newest transaction."""
    assert pgnos_in(make_journal([[1, 2]]) + make_journal([[3]])[100:]) == [1, 2]


def test_nrec_of_minus_one_is_as_many_as_the_file_holds() -> None:
    segment = make_segment([1, 2, 3], replace(HEADER, nrec=NREC_ALL))
    assert pgnos_in(segment) == [1, 2, 3]
    assert pgnos_in(segment[:-1]) == [1, 2]


def test_nrec_of_zero_is_nothing_in_a_hot_journal_and_the_rest_of_the_file_in_ones_own() -> None:
    segment = make_segment([1, 2, 3], replace(HEADER, nrec=0))
    assert pgnos_in(segment) == []
    assert pgnos_in(segment, hot=False) == [1, 2, 3]
    both = make_journal([[7]]).ljust(2048, b"\0") + segment
    assert pgnos_in(both) == [7]
    assert pgnos_in(both, hot=False) == [7, 1, 2, 3]


def test_a_record_that_does_not_fit_its_checksum_ends_the_journal() -> None:
    data = bytearray(make_journal([[1, 2], [3]]))
    data[512 + 4 + PAGE - 200] ^= 1
    assert pgnos_in(bytes(data)) == []
    data = bytearray(make_journal([[1, 2], [3]]))
    data[512 + (PAGE + 8) + 4 + PAGE - 200] ^= 1
    assert pgnos_in(bytes(data)) == [1]


def test_pages_past_the_initial_end_are_passed_over() -> None:
    assert pgnos_in(make_journal([[1, 10, 2]])) == [1, 2]


def test_page_zero_and_the_lock_page_end_the_journal() -> None:
    for stop in (0, lock_pgno(PAGE)):
        assert pgnos_in(make_journal([[1, stop, 2], [3]])) == [1]


def test_a_header_that_sqlite_would_not_play_back_is_an_error() -> None:
    for header, word in (
        (replace(HEADER, page_size=1000), "page size of 1000"),
        (replace(HEADER, page_size=131072), "page size"),
        (replace(HEADER, page_size=0), "page size of 0"),
        (replace(HEADER, sector_size=16), "sector size of 16"),
        (replace(HEADER, sector_size=1000), "sector size of 1000"),
        (replace(HEADER, sector_size=131072), "sector size"),
    ):
        data = make_segment([1], header)
        with pytest.raises(SqliteFormatError, match=word):
            read_journal(read_at(data), len(data))
    for data in (b"", bytes(28), bytes(4096), make_journal([[1]])[:511]):
        with pytest.raises(SqliteFormatError, match="not a rollback journal"):
            read_journal(read_at(data), len(data))


def test_a_header_without_a_page_size_takes_the_databases() -> None:
    data = make_segment([1, 2], replace(HEADER, page_size=0))
    journal = read_journal(read_at(data), len(data), database_page_size=PAGE)
    assert [pgno for pgno, _ in journal.records] == [1, 2]


@pytest.mark.parametrize("name", ["/tmp/a.db-mj12345678", "/tmp/Zoë-mj1", "x" * 512])
def test_a_super_journals_name_is_read_from_the_end(name: str) -> None:
    data = make_journal([[1, 2]])
    named = data.ljust(4096, b"\0") + pack_super_journal(name, PAGE)
    assert read_super_journal(read_at(named), len(named)) == name
    journal = read_journal(read_at(named), len(named))
    assert journal.super_journal == name
    assert [pgno for pgno, _ in journal.records] == [1, 2]


def test_a_super_journals_name_that_is_not_whole_is_none() -> None:
    tail = pack_super_journal("/tmp/a.db-mj12345678", PAGE)
    for length in range(len(tail)):
        assert read_super_journal(read_at(tail[:length]), length) is None
    for index in range(4, len(tail)):
        damaged = bytearray(tail)
        damaged[index] ^= 0x20
        assert read_super_journal(read_at(bytes(damaged)), len(tail)) != "/tmp/a.db-mj12345678"
    long = pack_super_journal("x" * 513, PAGE)
    assert read_super_journal(read_at(long), len(long)) is None
    empty = pack_super_journal("", PAGE)
    assert read_super_journal(read_at(empty), len(empty)) is None
    ended = pack_super_journal("\0abc", PAGE)
    assert read_super_journal(read_at(ended), len(ended)) is None


def test_a_super_journals_name_adds_up_with_signed_and_with_unsigned_bytes() -> None:
    """C's char is the one on x86 and the other on ARM."""
    name = "/tmp/Zoë".encode()
    unsigned = name + len(name).to_bytes(4, "big") + sum(name).to_bytes(4, "big") + JOURNAL_MAGIC
    assert read_super_journal(read_at(unsigned), len(unsigned)) == "/tmp/Zoë"
