"""An LTX file taken apart, each field with its sentence, on top of `ltx.parts`.

The rule is that of every anatomy: all bytes, in order, whatever they are; a file that is no LTX file is
shown with the header's fields, and what is wrong with it.
"""

import io

from pylitefs.errors import LtxError
from pylitefs.lecture.anatomy.btree import page_summary
from pylitefs.lecture.anatomy.fields import Builder, Field, hexed, txid, zeros
from pylitefs.lecture.model import Part
from pylitefs.ltx import parts as ltx
from pylitefs.ltx.decoder import verify
from pylitefs.ltx.header import HEADER_SIZE, LTX_MAGIC


def _magic(data: bytes) -> str:
    return "LTX1" if data == LTX_MAGIC else "not an LTX file's"


def _time(data: bytes) -> str:
    return ltx.time_text(int.from_bytes(data, "big", signed=True))


def _flags(data: bytes) -> str:
    return ltx.flags_text(int.from_bytes(data, "big"))


HEADER = (
    Field(4, "magic", "Every LTX file begins with these bytes.", "magic", _magic),
    Field(4, "flags", "Bit 0: the pages are one LZ4 frame.", "flag", _flags),
    Field(4, "page size", "Bytes in a page.", "size"),
    Field(4, "commit", "The database's page count after this transaction; 0 drops it.", "size"),
    Field(
        8,
        "min TXID",
        "The first transaction in the file; 1 makes it a snapshot, with every page.",
        "txid",
        txid,
    ),
    Field(
        8, "max TXID", "The last transaction in the file, the same where it is one transaction.", "txid", txid
    ),
    Field(8, "timestamp", "When the primary made the transaction.", "time", _time),
    Field(
        8,
        "pre-apply checksum",
        "The database's checksum before: a replica with another one refuses the file.",
        "checksum",
        hexed,
    ),
    Field(
        8, "WAL offset", "Where in the primary's WAL the transaction begins; 0 in a rollback mode.", "field"
    ),
    Field(8, "WAL size", "Bytes of its frames there.", "size"),
    Field(
        4,
        "WAL salt 1",
        "That WAL's first salt: after a crash it tells whether the WAL is the same.",
        "salt",
        hexed,
    ),
    Field(4, "WAL salt 2", "That WAL's second salt.", "salt", hexed),
    Field(
        8,
        "node id",
        "The node that made the transaction; it skips its own when they come back.",
        "field",
        lambda data: data.hex().upper(),
    ),
    Field(20, "reserved", "Zero.", "unused", zeros),
)
PAGE = (
    Field(4, "page number", "Which page follows; 0 ends the pages.", "page"),
    Field(0, "page", "The page as the transaction leaves it.", "content", lambda _: ""),
)
FRAME_V2 = (
    Field(4, "page number", "Which page follows; 0 ends the pages.", "page"),
    Field(0, "LZ4 frame", "The page, compressed by itself.", "content", lambda _: ""),
)
FRAME_V3A = (
    FRAME_V2[0],
    Field(2, "page flags", "0: an LZ4 frame follows. The page number 0 has them too.", "flag", hexed),
    FRAME_V2[1],
)
FRAME_V3B = (
    FRAME_V2[0],
    Field(
        2,
        "page flags",
        "Bit 0: a size follows, and an LZ4 block. The page number 0 has them too.",
        "flag",
        hexed,
    ),
    Field(4, "compressed size", "Bytes of the LZ4 block.", "size"),
    Field(
        0, "LZ4 block", "The page, compressed by itself; without a frame's marks.", "content", lambda _: ""
    ),
)
INDEX = (
    Field(0, "page number", "Of each page in the file, ascending: where its frame is.", "page"),
    Field(0, "frame offset", "Where in the file its frame begins, with the page number.", "field"),
    Field(0, "frame size", "Bytes of it, all told.", "size"),
    Field(1, "end of the index", "A page number 0, after the last page.", "field"),
    Field(
        8, "index size", "Bytes of the index, without these eight: it is found from the file's end.", "size"
    ),
)
TRAILER = (
    Field(
        8,
        "post-apply checksum",
        "The database's checksum after: what a replica must arrive at.",
        "checksum",
        hexed,
    ),
    Field(
        8,
        "file checksum",
        "CRC-64 over everything before, the pages uncompressed: one flipped bit is found.",
        "checksum",
        hexed,
    ),
)
LZ4 = (
    Field(4, "LZ4 magic", "An LZ4 frame begins.", "magic", hexed),
    Field(
        1, "LZ4 flags", "Which checksums the frame has, and whether its blocks stand alone.", "flag", hexed
    ),
    Field(1, "LZ4 block descriptor", "How long a block can be at most.", "size", hexed),
    Field(8, "LZ4 content size", "Bytes after decompression.", "size"),
    Field(4, "LZ4 dictionary id", "The dictionary that the frame was compressed with.", "field"),
    Field(1, "LZ4 header checksum", "Over the frame's flags and descriptor.", "checksum", hexed),
    Field(4, "LZ4 block size", "Bytes in the block; its top bit says that they are not compressed.", "size"),
    Field(4, "LZ4 block checksum", "Over the block.", "checksum", hexed),
    Field(4, "LZ4 end mark", "No further block.", "field"),
    Field(4, "LZ4 content checksum", "Over the decompressed bytes.", "checksum", hexed),
)
_FIELDS = {field.name: field for field in (*INDEX, *FRAME_V3B, *HEADER, *PAGE, *TRAILER, *LZ4)}
_PAGE_MEANING = PAGE[1].meaning
_BLOCK_MEANING = "A compressed piece of the pages: numbers and contents in a row."


def anatomy(data: bytes) -> tuple[Part, ...]:
    """The parts of an LTX file from its first byte on."""
    build = Builder(data)
    file = io.BytesIO(data)
    wrong = _what_is_wrong(data)
    try:
        for part in ltx.file_parts(file.read):
            _one(build, part, wrong)
    except LtxError as error:
        if not build.at:
            header = Builder(data[:HEADER_SIZE])
            header.fields(HEADER)
            build.add(header.parts)
        build.rest("not read", "What follows cannot be told apart.", value=str(error), kind="content")
    return tuple(build.parts)


def _what_is_wrong(data: bytes) -> str:
    """Why a replica would refuse the file; "" if it would not."""
    try:
        verify(io.BytesIO(data).read)
    except LtxError as error:
        return str(error)
    return ""


def _one(build: Builder, part: ltx.Part, wrong: str) -> None:
    size = len(part.data)
    name, _, torn = part.name.partition(", torn")
    if part.is_content:
        if name.startswith("page "):
            number, _, packed = name.removeprefix("page ").partition(", ")
            words = f"torn{torn}" if torn else "" if packed else page_summary(part.data, int(number))
            build.content(size, name, _BLOCK_MEANING if packed else _PAGE_MEANING, value=words)
        elif name.startswith("LZ4 block"):
            build.content(size, name, _BLOCK_MEANING, value=f"torn{torn}" if torn else f"{size:,} bytes")
        else:
            build.content(size, name, "Nothing belongs here.", kind="unused")
        return
    field = _FIELDS.get(name)
    if field is None:
        build.content(size, name, "", value=part.meaning, kind="field")
        return
    value: str | None = part.meaning or None
    if field.kind == "txid" or name in ("magic", "page size", "WAL offset", "WAL size", "reserved"):
        value = None if not part.meaning.startswith("torn") else part.meaning
    if name == "file checksum" and size == field.size:
        value = f"{part.data.hex()}, holds" if not wrong else f"{part.data.hex()}, does not hold: {wrong}"
    build.field(field, size=size, value=value)
