"""Several LTX files into one that does the same: of each page, the newest.

The rule: applying the result equals applying the parts in order. A page that a later transaction cut off
is left out even if the database grew again over it, for then the later file holds it anew.
Pages come from a merge of the parts, each of which is ascending, so memory holds one page a part.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise

from pylitefs.errors import LtxError, PositionMismatchError
from pylitefs.ltx.decoder import Decoder
from pylitefs.ltx.encoder import Encoder
from pylitefs.ltx.header import FLAG_LZ4, Header, Trailer
from pylitefs.ltx.position import Pos


def compact(
    decoders: Sequence[Decoder],
    write: Callable[[bytes], object],
    *,
    compress: bool = True,
    keep_node_id: bool = True,
) -> Trailer:
    """Merge the files behind `decoders`, oldest first, and write the result through `write`.

    The result has the first one's pre-apply and the last one's post-apply checksum, no WAL fields, and a node
    id only if all parts came from one node (never without `keep_node_id`). Every part is verified on the way:
    an error means that what was written so far has no trailer and must be thrown away. Raises LtxError for a
    broken part or a page size that changes, PositionMismatchError if the parts do not follow each other.
    """
    if not decoders:
        raise LtxError("nothing to compact: no LTX files given")
    headers = [decoder.header for decoder in decoders]
    for before, after in pairwise(headers):
        _check_follows(before, after)
    first, last = headers[0], headers[-1]
    nodes = {header.node_id if keep_node_id else 0 for header in headers}
    encoder = Encoder(
        write,
        Header(
            flags=FLAG_LZ4 if compress else 0,
            page_size=last.page_size,
            commit=last.commit,
            min_txid=first.min_txid,
            max_txid=last.max_txid,
            timestamp_ms=last.timestamp_ms,
            pre_apply_checksum=first.pre_apply_checksum,
            node_id=nodes.pop() if len(nodes) == 1 else 0,
        ),
    )
    for pgno, page in _newest(decoders):
        encoder.encode_page(pgno, page)
    for older, newer in pairwise(decoders):
        expected = Pos(older.header.max_txid, older.trailer.post_apply_checksum)
        check_continues(newer.header, expected)
    return encoder.finish(decoders[-1].trailer.post_apply_checksum)


def check_continues(header: Header, pos: Pos) -> None:
    """Raise PositionMismatchError unless the file goes on from `pos`; a snapshot does from anywhere."""
    if not header.is_snapshot and header.pre_apply_pos != pos:
        raise PositionMismatchError(
            f"{header.filename} continues {header.pre_apply_pos}, and the database is at {pos}: "
            "a file between them is missing, or they belong to different databases"
        )


def _check_follows(before: Header, after: Header) -> None:
    if after.min_txid != before.max_txid + 1:
        raise PositionMismatchError(
            f"{after.filename} does not follow {before.filename}: give the files in order, without gaps"
        )
    if after.page_size != before.page_size:
        raise LtxError(
            f"the page size changes from {before.page_size} to {after.page_size} between {before.filename} "
            f"and {after.filename}: compact the files before and after that apart"
        )


def _newest(decoders: Sequence[Decoder]) -> Iterator[tuple[int, bytes]]:
    """Of each page number the newest page, ascending, without what was cut off later."""
    commits = [decoder.header.commit for decoder in decoders]
    # How far a part's pages count: up to the smallest size the database has from there on.
    limits = list(accumulate(reversed(commits), min))[::-1]
    ascending = heapq.merge(*(_aged(decoder, age) for age, decoder in enumerate(decoders)))
    before = 0
    for pgno, negative_age, page in ascending:
        if pgno != before and pgno <= limits[-negative_age]:
            before = pgno
            yield pgno, page


def _aged(decoder: Decoder, age: int) -> Iterator[tuple[int, int, bytes]]:
    """The pages so that, of equal numbers, the newest part's sorts first."""
    for pgno, page in decoder.pages():
        yield pgno, -age, page
