"""A b-tree page is read, or refused: no cell leaves it."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylitefs.errors import SqliteFormatError
from pylitefs.sqlite.btree import LEAF_TABLE, Node, local_size


@given(st.binary(min_size=512, max_size=512), st.sampled_from([2, 5, 10, 13]), st.sampled_from([1, 7]))
def test_any_page_is_read_or_refused(data: bytes, kind: int, pgno: int) -> None:
    page = bytearray(data)
    start = 100 if pgno == 1 else 0
    page[start], page[start + 3] = kind, 0
    with suppress(SqliteFormatError):
        node = Node(pgno, page, 512)
        assert len(node.children()) in (0, node.count + 1)
        for number in range(node.count):
            with suppress(SqliteFormatError):
                if node.is_table:
                    node.rowid(number)
                if kind != 5:
                    assert len(node.payload(number).local) <= node.payload(number).size


def test_a_page_of_another_kind_is_refused() -> None:
    with pytest.raises(SqliteFormatError, match="page 9 is no page of a b-tree"):
        Node(9, bytes(512), 512)


def test_what_fits_into_a_page_lies_in_it() -> None:
    assert local_size(512 - 35, LEAF_TABLE, 512) == 512 - 35
    assert local_size(512 - 34, LEAF_TABLE, 512) < 512 - 35
