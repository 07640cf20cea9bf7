"""Many LTX files into one, in bounded memory and with few files open; and a file under another beginning.

The rules: each byte is verified as it goes through; what is made has node id 0 and no WAL fields, as
LiteFS's backups have. Where the page size changes, a file holds every page in the new size: what came before
it is in it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from pylitefs.errors import LtxError
from pylitefs.ltx.compaction import compact
from pylitefs.ltx.decoder import Decoder, open_ltx
from pylitefs.ltx.encoder import Encoder
from pylitefs.ltx.header import FLAG_LZ4, HEADER_SIZE, TRAILER_SIZE, Header, Trailer
from pylitefs.store.privacy import private

TOGETHER = 64
"""So many files are merged at once; more of them in several steps."""
_BLOCK = 1 << 20
Write = Callable[[bytes], object]


def header_of(path: Path) -> Header:
    """The header of an LTX file."""
    with open(path, "rb") as file:
        return Header.unpack(file.read(HEADER_SIZE))


def merge(paths: Sequence[Path], write: Write, *, compress: bool) -> Trailer:
    """Write what the files amount to, of one page size, oldest first. LtxError or PositionMismatchError."""
    with ExitStack() as files:
        try:
            decoders = [_decoder(path, files) for path in paths]
            return compact(decoders, write, compress=compress, keep_node_id=False)
        except LtxError as error:
            raise type(error)(f"{paths[0].parent}: {error}") from error


def _decoder(path: Path, files: ExitStack) -> Decoder:
    file = files.enter_context(path.open("rb", buffering=0))
    try:
        return Decoder(file.read)
    except LtxError as error:
        raise type(error)(f"{path.name}: {error}") from error


def from_newest_page_size(paths: Sequence[Path]) -> list[Path]:
    """The files from the last change of the page size on."""
    first, before = 0, 0
    for index, path in enumerate(paths):
        size = header_of(path).page_size
        if size != before:
            first, before = index, size
    return list(paths[first:])


def snapshot_of(paths: Sequence[Path], temporary: Callable[[], Path]) -> Path:
    """One snapshot LTX file that the whole chain amounts to, at a path that `temporary` gives.

    Raises LtxError or PositionMismatchError for a chain that is damaged, and names the file.
    """
    level = from_newest_page_size(paths)
    made: list[Path] = []
    try:
        while True:
            following: list[Path] = []
            for group in _groups(level):
                following.append(temporary())
                made.append(following[-1])
                with open(following[-1], "wb", opener=private) as out:
                    merge(group, out.write, compress=True)
                for path in set(group) & set(made):
                    path.unlink()
            level = following
            if len(level) == 1:
                return (
                    level[0] if header_of(level[0]).is_snapshot else _as_snapshot(level[0], made, temporary())
                )
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        raise


def _as_snapshot(path: Path, made: list[Path], out: Path) -> Path:
    made.append(out)
    with open(out, "wb", opener=private) as file:
        begun_anew(path, replace(header_of(path), min_txid=1, pre_apply_checksum=0), file.write)
    path.unlink()
    return out


def begun_anew(path: Path, header: Header, write: Write) -> Trailer:
    """The pages of the file at `path`, which are all there are, under another header."""
    with open_ltx(path) as decoder:
        encoder = Encoder(write, header)
        for batch in decoder.batches():
            for pgno, page in batch:
                encoder.encode_page(pgno, page)
        return encoder.finish(decoder.trailer.post_apply_checksum)


def continuation(header: Header, txid: int, checksum: int, *, compress: bool) -> Header:
    """The header of a snapshot that is to continue another history at this position."""
    return replace(
        header,
        flags=FLAG_LZ4 if compress else 0,
        min_txid=txid + 1,
        pre_apply_checksum=checksum,
        node_id=0,
    )


def _groups(paths: Sequence[Path]) -> Iterator[Sequence[Path]]:
    for at in range(0, len(paths), TOGETHER):
        yield paths[at : at + TOGETHER]


def copied(path: Path, write: Write) -> Trailer:
    """The file as it is; its last bytes are the trailer."""
    end = b""
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            write(block)
            end = (end + block)[-TRAILER_SIZE:]
    return Trailer.unpack(end)
