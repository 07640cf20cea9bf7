"""A short transaction in memory, and several that continue each other as one."""

from pylitefs.ltx.blocks import Batch
from pylitefs.ltx.header import Header
from pylitefs.ltx.short import ShortTransaction, as_one

SIZE = 512


def batch(*pages: tuple[int, int]) -> Batch:
    """Pages as they lie in an LTX file: number and bytes."""
    data = b"".join(pgno.to_bytes(4, "big") + bytes([fill]) * SIZE for pgno, fill in pages)
    return Batch([pgno for pgno, _ in pages], memoryview(data), 4 + SIZE)


def header(txid: int, commit: int) -> Header:
    return Header(0, SIZE, commit, min_txid=txid, max_txid=txid, timestamp_ms=0)


def fills(tx: ShortTransaction) -> list[tuple[int, int]]:
    assert all(len(page) == SIZE for _, page in tx.pages)
    return [(pgno, page[0]) for pgno, page in tx.pages]


def test_one_is_what_its_file_says() -> None:
    tx = as_one([header(7, 9)], [batch((1, 10), (5, 50)), batch((9, 90))])
    assert (tx.page_size, tx.commit, tx.txid) == (SIZE, 9, 7)
    assert fills(tx) == [(1, 10), (5, 50), (9, 90)]


def test_of_several_the_newest_of_each_page_counts() -> None:
    """Ascending, whatever the order in which they came."""
    tx = as_one([header(7, 9), header(8, 10)], [batch((5, 50), (9, 90)), batch((1, 11), (9, 91), (10, 101))])
    assert (tx.commit, tx.txid) == (10, 8)
    assert fills(tx) == [(1, 11), (5, 50), (9, 91), (10, 101)]
