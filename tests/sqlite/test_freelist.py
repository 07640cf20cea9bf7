"""The free list of a database, as SQLite writes it and as nobody would."""

from pylitefs.sqlite.freelist import free_leaves


def test_a_free_list_that_is_none_does_no_harm() -> None:
    page = bytearray(512)
    page[32:40] = (2).to_bytes(4, "big") * 2
    assert free_leaves(lambda pgno: bytes(page) if pgno == 1 else b"\xff" * 512, 9) == set()
    loop = (2).to_bytes(4, "big") + (1).to_bytes(4, "big") + (7).to_bytes(4, "big") + bytes(500)
    assert free_leaves(lambda pgno: bytes(page) if pgno == 1 else loop, 9) == {7}
