"""A row diff costs what the transaction changed, and not what the database holds."""

from pathlib import Path

from pylitefs.compare.bench.rows import diffs, lookups


def test_a_diff_reads_as_much_of_a_large_database_as_of_a_small_one(tmp_path: Path) -> None:
    """But for the trees' depth. (To find a page in a large file takes more reads: an index is halved.)"""
    found = {}
    for size in (1, 4):
        (tmp_path / str(size)).mkdir()
        found[size] = diffs(tmp_path / str(size), size)
    for small, large in zip(found[1], found[4], strict=True):
        assert small.rows == large.rows == 2
        assert large.pages <= small.pages + 6, (small, large)


def test_a_page_is_found_among_files_that_are_not_read(tmp_path: Path) -> None:
    _, each = lookups(tmp_path, 20, 1)
    assert len(each) > 200
