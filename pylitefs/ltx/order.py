"""The rules that hold between the parts of an LTX file, kept by encoder and decoder alike.

Page numbers ascend, none is past `commit`, none is the lock page's, and a snapshot leaves none out.
"""

from pylitefs.errors import LtxError
from pylitefs.ltx.checksum import CHECKSUM_FLAG, EMPTY_CHECKSUM, lock_pgno
from pylitefs.ltx.header import Header


def may_follow(header: Header, before: int, pgno: int) -> bool:
    """Whether page `pgno` may come after page `before` (0: at the start)."""
    if not before < pgno <= header.commit:
        return False
    lock = lock_pgno(header.page_size)
    if pgno == lock:
        return False
    if header.min_txid == 1 and pgno != before + 1:
        return before + 1 == lock and pgno == lock + 1
    return True


def count_in_order(header: Header, before: int, pgnos: list[int]) -> int:
    """How many of these pages, one after the other, may follow page `before`."""
    count = len(pgnos)
    if pgnos == list(range(before + 1, before + 1 + count)):
        lock = lock_pgno(header.page_size)
        if before + count <= header.commit and not before < lock <= before + count:
            return count  # neighbours, as in a snapshot
    for at, pgno in enumerate(pgnos):
        if not may_follow(header, before, pgno):
            return at
        before = pgno
    return count


def why_not_follow(header: Header, before: int, pgno: int) -> str:
    """Which rule a page breaks that may not follow, for an error's text."""
    name = header.filename
    if pgno == lock_pgno(header.page_size):
        return f"page {pgno} of {name} is the lock page, which is never stored"
    if pgno <= before:
        return f"page {pgno} of {name} comes after page {before}: pages must ascend"
    if pgno > header.commit:
        return f"page {pgno} of {name} is past the database's end at {header.commit} pages"
    return f"snapshot {name} has no page {before + 1}: page {pgno} comes after page {before}"


def last_pgno(header: Header) -> int:
    """The last page of a whole snapshot."""
    return header.commit - 1 if header.commit == lock_pgno(header.page_size) else header.commit


def check_post_apply(header: Header, post_apply_checksum: int) -> None:
    """Raise LtxError if no database of `header.commit` pages can have this checksum."""
    if not header.has_checksums:
        if post_apply_checksum != 0:
            raise LtxError(
                f"post-apply checksum {post_apply_checksum:016x} of {header.filename}, whose flag 0x2 says "
                "that it has none"
            )
        return
    if not post_apply_checksum & CHECKSUM_FLAG:
        raise LtxError(f"post-apply checksum {post_apply_checksum:016x} of {header.filename} lacks bit 63")
    if header.commit == 0 and post_apply_checksum != EMPTY_CHECKSUM:
        raise LtxError(
            f"post-apply checksum {post_apply_checksum:016x} of {header.filename}, which drops the database, "
            f"is not {EMPTY_CHECKSUM:016x}"
        )
