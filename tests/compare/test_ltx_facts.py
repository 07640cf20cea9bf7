"""Two LTX files field by field, and a file that no reader would take as far as it goes."""

from pathlib import Path

import pytest

from pylitefs.compare.ltx_facts import Difference, LtxFacts, compare, read_facts
from pylitefs.errors import LtxError
from pylitefs.ltx.header import HEADER_SIZE
from tests.compare.plain import ltx_bytes
from tests.ltx.samples import make_page

PAGES = {1: make_page(1), 2: make_page(2), 4: make_page(4)}


def facts(folder: Path, name: str, data: bytes) -> LtxFacts:
    path = folder / name
    path.write_bytes(data)
    return read_facts(path)


def differing(ours: LtxFacts, theirs: LtxFacts, *, salts: bool = True) -> list[Difference]:
    return [one for one in compare(ours, theirs, salts=salts) if one[1] != one[2]]


def test_the_same_transaction_at_another_time_by_another_node_is_the_same(tmp_path: Path) -> None:
    ours = facts(tmp_path, "ours", ltx_bytes(3, PAGES))
    theirs = facts(tmp_path, "theirs", ltx_bytes(3, PAGES, timestamp_ms=1, node_id=9))
    assert differing(ours, theirs) == [] and ours.problem == ""
    assert {aspect for aspect, _, _ in compare(ours, theirs, salts=True)} >= {"page bytes", "WAL salts"}


@pytest.mark.parametrize(
    ("fields", "aspect"),
    [
        ({"flags": 1}, "flags"),
        ({"commit": 5}, "commit size"),
        ({"wal_offset": 32, "wal_size": 536}, "WAL offset"),
        ({"wal_offset": 32, "wal_size": 536, "wal_salt1": 1}, "WAL salts"),
    ],
)
def test_a_field_that_differs_is_named(tmp_path: Path, fields: dict[str, int], aspect: str) -> None:
    ours, theirs = (
        facts(tmp_path, "o", ltx_bytes(3, PAGES)),
        facts(tmp_path, "t", ltx_bytes(3, PAGES, **fields)),
    )
    assert aspect in [one[0] for one in differing(ours, theirs)]
    if aspect == "WAL salts":
        assert aspect not in [one[0] for one in differing(ours, theirs, salts=False)]


def test_of_pages_the_first_byte_that_differs_is_told(tmp_path: Path) -> None:
    changed = bytearray(PAGES[2])
    changed[100] ^= 0xFF
    ours = facts(tmp_path, "o", ltx_bytes(3, PAGES))
    theirs = facts(tmp_path, "t", ltx_bytes(3, {**PAGES, 2: bytes(changed)}))
    [(aspect, mine, other)] = differing(ours, theirs)
    assert aspect == "page bytes"
    assert mine == f"page 2 byte 100: {PAGES[2][100:104].hex()}" and other != mine


def test_pages_that_one_lacks_are_told_as_numbers(tmp_path: Path) -> None:
    ours = facts(tmp_path, "o", ltx_bytes(3, {n: make_page(n) for n in (1, 2, 3, 7)}))
    theirs = facts(tmp_path, "t", ltx_bytes(3, {n: make_page(n) for n in (1, 2, 7)}))
    assert differing(ours, theirs) == [("page numbers", "1-3 7", "1-2 7")]


def test_a_file_with_its_pages_in_another_order_is_read_all_the_same(tmp_path: Path) -> None:
    """A reader refuses it; the report says how the order differs, once."""
    data = ltx_bytes(3, PAGES)
    size = 4 + 512
    first, second = (data[HEADER_SIZE + n * size :][:size] for n in (0, 1))
    swapped = data[:HEADER_SIZE] + second + first + data[HEADER_SIZE + 2 * size :]
    theirs = facts(tmp_path, "t", swapped)
    assert "ascend" in theirs.problem
    assert differing(facts(tmp_path, "o", data), theirs) == [
        ("page order", "ascending", "page 1 after page 2")
    ]


def test_a_compressed_file_has_the_same_pages_and_a_torn_one_a_problem(tmp_path: Path) -> None:
    plain, packed = (facts(tmp_path, str(flags), ltx_bytes(3, PAGES, flags=flags)) for flags in (0, 1))
    assert plain.pages == packed.pages and packed.page(4) == PAGES[4]
    assert facts(tmp_path, "torn", ltx_bytes(3, PAGES)[:-20]).problem
    with pytest.raises(LtxError):
        facts(tmp_path, "none", b"no header")
