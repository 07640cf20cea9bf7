"""The rolling checksum written out: before ^ old page ^ new page … = after.

The rule: a mirror of each node's page checksums, kept from the LTX files that the node made or stored, and
believed only where it fits: it must give the file's pre-apply checksum before and its post-apply checksum
after. All terms but the last, XORed, give the last; where bit 63 (set in every checksum) would cancel out,
it is a term of its own.
"""

import io
from dataclasses import dataclass, field

from pylitefs.errors import LtxError
from pylitefs.lecture.model import Term
from pylitefs.ltx.checksum import CHECKSUM_FLAG, page_checksum
from pylitefs.ltx.decoder import Decoder
from pylitefs.ltx.header import Header

MOST_TERMS = 60
"""Written out; of more, the middle ones become one term."""


@dataclass(frozen=True, slots=True)
class LtxContent:
    """What a whole LTX file says."""

    header: Header
    post_apply_checksum: int
    pages: dict[int, bytes]

    @property
    def sums(self) -> dict[int, int]:
        return {pgno: page_checksum(pgno, page) for pgno, page in self.pages.items()}


def read_ltx(data: bytes) -> LtxContent | None:
    """The content of an LTX file; None for one that is cut off or damaged."""
    try:
        decoder = Decoder(io.BytesIO(data).read)
        pages = dict(decoder.pages())
        return LtxContent(decoder.header, decoder.trailer.post_apply_checksum, pages)
    except LtxError:
        return None


@dataclass(slots=True)
class _Pages:
    page_size: int = 0
    value: int = 0
    """The database's checksum; 0 before the first transaction."""
    sums: dict[int, int] = field(default_factory=dict)


class ChecksumMirror:
    """The page checksums of every database of every node, as far as LTX files told them."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], _Pages] = {}

    def forget(self, node: str) -> None:
        """The node's data directory is another."""
        for key in [key for key in self._known if key[0] == node]:
            del self._known[key]

    def apply(self, node: str, database: str, file: LtxContent) -> tuple[Term, ...]:
        """Take in an LTX file that this node made or stored; its XOR, or () if what was before is unknown."""
        header, new = file.header, file.sums
        before = self._known.get((node, database), _Pages())
        if header.is_snapshot:
            before = _Pages()
        is_known = before.value == header.pre_apply_checksum
        # Another page size, or every page: whatever was known before does not matter to what follows.
        whole = header.page_size != before.page_size or header.commit == 0
        after = _Pages(header.page_size, file.post_apply_checksum, {} if whole else dict(before.sums))
        after.sums.update(new)
        after.sums = {pgno: value for pgno, value in after.sums.items() if pgno <= header.commit}
        if _database_checksum(after.sums) != file.post_apply_checksum:
            self._known.pop((node, database), None)
            return ()
        self._known[node, database] = after
        return _terms(before, after, set(new)) if is_known else ()


def _database_checksum(sums: dict[int, int]) -> int:
    value = 0
    for one in sums.values():
        value ^= one
    return value | CHECKSUM_FLAG


def _terms(before: _Pages, after: _Pages, written: set[int]) -> tuple[Term, ...]:
    other_size = before.page_size not in (0, after.page_size)
    pages: list[Term] = []
    for pgno in sorted(written | (before.sums.keys() - after.sums.keys()) | after.sums.keys()):
        old, new = before.sums.get(pgno), after.sums.get(pgno)
        if pgno not in written and not other_size and new is not None:
            continue
        if old is not None:
            how = "old" if new is not None else "cut off"
            size = f" ({before.page_size} bytes)" if other_size else ""
            pages.append(Term(f"page {pgno}, {how}{size}", old))
        if new is not None:
            pages.append(Term(f"page {pgno}, new", new))
    rest = before.value ^ after.value
    for term in pages:
        rest ^= term.value
    flag = [Term("bit 63, always set", rest)] if rest else []
    first = Term("before" if before.value else "before: no transaction", before.value)
    return (first, *_shortened(pages), *flag, Term("after", after.value))


def _shortened(terms: list[Term]) -> list[Term]:
    if len(terms) <= MOST_TERMS:
        return terms
    half = MOST_TERMS // 2
    middle = 0
    for term in terms[half:-half]:
        middle ^= term.value
    label = f"{len(terms) - 2 * half} more terms, XORed"
    return [*terms[:half], Term(label, middle), *terms[-half:]]
