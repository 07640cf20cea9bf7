"""Several LTX files into one that does the same: of each page, the newest.

The rule: applying the result equals applying the parts in order. A page that a later transaction cut off
is left out even if the database grew again over it, for then the later file holds it anew.
Pages come from a merge of the parts, each of which is ascending, so memory holds one page a part.
"""

import contextlib
import heapq
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path

from pylitefs.errors import LtxError, PositionMismatchError
from pylitefs.ltx.blocks import CHUNK_SIZE
from pylitefs.ltx.decoder import Decoder, open_ltx
from pylitefs.ltx.encoder import Encoder
from pylitefs.ltx.formats import Format
from pylitefs.ltx.frame_encoder import FrameEncoder
from pylitefs.ltx.header import FLAG_LZ4, FLAG_NO_CHECKSUM, Header, Trailer
from pylitefs.ltx.position import Pos

OnPage = Callable[[int, bytes], None]
_SMALLEST_CHUNK = 16 * 1024
_MEMORY = 32 * 1024 * 1024
"""About what the chunks of all files may take."""


def compact(
    decoders: Sequence[Decoder],
    write: Callable[[bytes], object],
    *,
    compress: bool = True,
    keep_node_id: bool = True,
    form: Format | None = None,
    on_page: OnPage | None = None,
) -> Trailer:
    """Merge the files behind `decoders`, oldest first, and write the result through `write`.

    The result has the first one's pre-apply and the last one's post-apply checksum, no WAL fields, and a
    node id only if all parts came from one node (never without `keep_node_id`). It is of format v1 if all
    parts have checksums and nothing else is asked for. As v3b it has no checksums and no node id: so
    Litestream takes it. Every part is verified on the way: an error means that what was written so far has no
    trailer and must be thrown away. Raises LtxError for a broken part or a page size that changes,
    PositionMismatchError if the parts do not follow each other.
    """
    if not decoders:
        raise LtxError("nothing to compact: no LTX files given")
    headers = [decoder.header for decoder in decoders]
    for before, after in pairwise(headers):
        _check_follows(before, after)
    if not keep_node_id:
        headers = [replace(header, node_id=0) for header in headers]
    encoder = _encoder(headers, write, compress, form)
    for pgno, page in _newest(decoders):
        encoder.encode_page(pgno, page)
        if on_page is not None:
            on_page(pgno, page)
    for older, newer in pairwise(decoders):
        if older.header.has_checksums and newer.header.has_checksums:
            expected = Pos(older.header.max_txid, older.trailer.post_apply_checksum)
            check_continues(newer.header, expected)
    post_apply = decoders[-1].trailer.post_apply_checksum
    return encoder.finish(post_apply if encoder.header.has_checksums else 0)


def _encoder(
    headers: Sequence[Header], write: Callable[[bytes], object], compress: bool, form: Format | None
) -> Encoder | FrameEncoder:
    first, last = headers[0], headers[-1]
    has_checksums = all(header.has_checksums for header in headers)
    if form is None:
        form = Format.V1 if has_checksums else Format.V3B
    if form is Format.V1 and not has_checksums:
        raise LtxError("format v1 needs the database's checksums, and not all of these files have them")
    nodes = {header.node_id for header in headers}
    header = Header(
        flags=FLAG_LZ4 if compress else 0,
        page_size=last.page_size,
        commit=last.commit,
        min_txid=first.min_txid,
        max_txid=last.max_txid,
        timestamp_ms=last.timestamp_ms,
        pre_apply_checksum=first.pre_apply_checksum,
        node_id=nodes.pop() if len(nodes) == 1 else 0,
    )
    match form:
        case Format.V1:
            return Encoder(write, header)
        case Format.V3B:
            bare = replace(header, flags=FLAG_NO_CHECKSUM, pre_apply_checksum=0, node_id=0)
            return FrameEncoder(write, bare)
    raise LtxError(f"format {form.value} is read and not written; v1 and v3b are")


def check_continues(header: Header, pos: Pos) -> None:
    """Raise PositionMismatchError unless the file goes on from `pos`; a snapshot does from anywhere."""
    if not header.is_snapshot and header.pre_apply_pos != pos:
        raise PositionMismatchError(
            f"{header.filename} continues {header.pre_apply_pos}, and the database is at {pos}: "
            "a file between them is missing, or they belong to different databases"
        )


def _check_follows(before: Header, after: Header) -> None:
    if before.has_checksums and after.has_checksums:
        follows = after.min_txid == before.max_txid + 1
    else:  # Litestream's levels overlap; what comes twice is the same.
        follows = after.min_txid <= before.max_txid + 1 and after.max_txid > before.max_txid
    if not follows:
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


def compact_files(
    paths: Sequence[Path],
    out: Path,
    *,
    compress: bool = True,
    form: Format | None = None,
    on_page: OnPage | None = None,
) -> Trailer:
    """`compact` of files, oldest first; `out` appears once it is whole. Each file is open, with a chunk of it
    in memory, and the chunks are smaller the more files there are. Raises as `compact` does, and OSError."""
    chunk = max(_SMALLEST_CHUNK, min(CHUNK_SIZE, _MEMORY // max(1, len(paths))))
    temporary = out.with_name(f"{out.name}.{os.getpid()}.tmp")
    try:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(open(temporary, "xb"))
            decoders = [
                stack.enter_context(open_ltx(path, any_format=True, chunk_size=chunk)) for path in paths
            ]
            trailer = compact(decoders, file.write, compress=compress, form=form, on_page=on_page)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)
    return trailer
