"""Every decoder of the project, as something that takes any bytes: `TARGETS[name].run(data)`.

A decoder reads what a disk, another node, a student's file or a web page gives it. The rule for all of them:
a result, or one of the errors that its docstring names, soon and with little memory. Any other exception is
a defect. So is an answer that contradicts itself: where there is an encoder as well, what was read and is
written again must be read as the same.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pylitefs.compare import workload
from pylitefs.config.expand import expand
from pylitefs.config.yaml import Reader
from pylitefs.errors import LtxError, PylitefsError, ReplicationError, SqliteFormatError
from pylitefs.lease import consul_calls
from pylitefs.lecture import recording
from pylitefs.lecture.anatomy import database, frame, journal, ltx, position, wal, wal_index
from pylitefs.lecture.language import lesson
from pylitefs.lecture.model import Part
from pylitefs.lecture.show import asking
from pylitefs.ltx import page_index
from pylitefs.ltx.decoder import Decoder as LtxDecoder
from pylitefs.ltx.lz4_blocks import IrregularError, Lz4Blocks
from pylitefs.ltx.position import Pos
from pylitefs.replication import frames
from pylitefs.roles.candidates import read_answer
from pylitefs.sqlite import records
from pylitefs.sqlite.columns import read_table
from pylitefs.sqlite.journal import read_journal
from pylitefs.sqlite.schema import read_schema
from pylitefs.sqlite.tree import Pages, table_rows
from pylitefs.sqlite.wal import WalHeader, committed, scan
from pylitefs.sqlite.wal_index import WalIndexHeader, read_header
from tests.fuzz import samples

CALL = consul_calls.Call("GET", "/v1/kv/litefs/primary")


@dataclass(frozen=True)
class Target:
    """A decoder, what it may refuse its bytes with, and bytes that it reads."""

    decode: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
    samples: Callable[[], list[bytes]]

    def run(self, data: bytes) -> bool:
        """Whether the bytes were read; False if they were refused. Any other end is raised."""
        try:
            self.decode(data)
        except self.refusals:
            return False
        return True


def read_at(data: bytes) -> Callable[[int, int], bytes]:
    """What the decoders take for a file."""
    return lambda offset, size: data[offset : offset + size]


def of_stream(data: bytes) -> Callable[[int], bytes]:
    """What the decoders take for a file that is read to its end. It gives pieces of all sizes."""

    def pieces() -> Iterator[bytes]:
        at, size = 0, 1
        while at < len(data):
            yield data[at : at + size]
            at, size = at + size, size * 3 % 4093 + 1

    source, kept = pieces(), b""

    def read(size: int) -> bytes:
        nonlocal kept
        kept = kept or next(source, b"")
        given, kept = kept[:size], kept[size:]
        return given

    return read


def ltx_file(data: bytes, *, any_format: bool) -> object:
    """The pages of an LTX file and its trailer, read in pieces; read whole they are the same."""
    decoder = LtxDecoder(of_stream(data), any_format=any_format)
    pages = list(decoder.pages())
    again = LtxDecoder(of_stream(data), any_format=any_format, verified=True)
    assert list(again.pages()) == pages
    assert again.trailer == decoder.trailer
    return pages


def lz4_blocks(data: bytes) -> object:
    return Lz4Blocks(read_at(data), 0, len(data)).read(0, 1 << 20)


def page_entries(data: bytes) -> object:
    page_index.find_entry(read_at(data), 0, len(data), 3)
    return list(page_index.read_entries(data))


def rollback_journal(data: bytes) -> object:
    found = [read_journal(read_at(data), len(data), hot=hot) for hot in (True, False)]
    return [list(one.records) for one in found]


def wal_file(data: bytes) -> object:
    header = WalHeader.parse(data[:32])
    assert WalHeader.parse(header.pack()) == header
    return committed(scan(read_at(data), len(data), header), header)


def index_of_wal(data: bytes) -> object:
    read_header(data)
    header = WalIndexHeader.parse(data)
    return WalIndexHeader.parse(header.pack())


def database_file(data: bytes) -> object:
    """Every row of every table, as the row history reads them."""

    def page(pgno: int) -> bytes:
        found = data[(pgno - 1) * size : pgno * size] if pgno > 0 else b""
        if len(found) < size:
            raise SqliteFormatError(f"there is no page {pgno}")
        return found

    size = int.from_bytes(data[16:18], "big")
    size = 65536 if size == 1 else size or 512
    pages = Pages.of(page)
    for one in read_schema(pages).tables.values():
        if one.root > 0:
            read_table(one.name, one.sql)
            list(table_rows(pages, one.root))
    return None


def record(data: bytes) -> object:
    return [records.decode(data, encoding) for encoding in ("utf-8", "utf-16-le")]


def stream(data: bytes) -> object:
    """The frames are the same whether the bytes come at once or one by one."""

    def read(pieces: list[bytes]) -> list[object]:
        decoder, found = frames.Decoder(), list[object]()
        for piece in pieces:
            for one in decoder.feed(piece):
                found.append(one)
        decoder.finish()
        return found

    def joined(found: list[object]) -> bytes:
        return b"".join(one.data if isinstance(one, frames.LtxChunk) else repr(one).encode() for one in found)

    whole = read([data])
    assert joined(read([data[at : at + 1] for at in range(len(data))])) == joined(whole)
    return whole


def positions(data: bytes) -> object:
    found = frames.decode_positions(data)
    assert frames.decode_positions(frames.encode_positions(found)) == found
    return found


def pos(data: bytes) -> object:
    found = Pos.parse(data.decode("latin-1"))
    assert Pos.parse(str(found)) == found
    return found


def config(data: bytes) -> object:
    text = data.decode("utf-8", "replace")
    return Reader(Path("litefs.yml"), expand(text, {"HOME": "/root", "EMPTY": ""})).read()


def lecture_recording(data: bytes) -> object:
    return recording.read_bytes(data, "a.jsonl.gz")


def page_request(data: bytes) -> object:
    return asking.parse_request(data)


def lease_answer(data: bytes) -> object:
    consul_calls.index_of(200, data, "7")
    consul_calls.index_of(404, b"", data.decode("latin-1"))
    asked: list[Callable[[], object]] = [
        lambda: consul_calls.session_id(CALL, 200, data),
        lambda: consul_calls.ttl_left(CALL, 200, data, 10.0),
        lambda: consul_calls.primary_of(data),
        lambda: consul_calls.primary_of(consul_calls.value_of(CALL, 200, data)),
    ]
    read = []
    for ask in asked:
        try:
            read.append(ask())
        except PylitefsError:
            read.append(None)
    return read


def text(decode: Callable[[str], object]) -> Callable[[bytes], object]:
    """A decoder of text, on any text."""
    return lambda data: decode(data.decode("utf-8", "surrogateescape"))


def covering(anatomy: Callable[[bytes], tuple[Part, ...]]) -> Callable[[bytes], object]:
    """A lecture's anatomy names each byte once, in order, whatever the bytes are."""

    def named(data: bytes) -> None:
        at = 0
        for part in anatomy(data):
            assert (part.offset, part.length > 0) == (at, True)
            at += part.length
        assert at == len(data)

    return named


SQLITE = (SqliteFormatError,)
TARGETS = {
    "ltx-v1": Target(lambda data: ltx_file(data, any_format=False), (LtxError,), samples.ltx_files),
    "ltx-any": Target(lambda data: ltx_file(data, any_format=True), (LtxError,), samples.ltx_files),
    "ltx-lz4-blocks": Target(lz4_blocks, (LtxError, IrregularError), samples.lz4_frames),
    "ltx-page-index": Target(page_entries, (LtxError,), samples.page_indexes),
    "journal": Target(rollback_journal, SQLITE, samples.journals),
    "wal": Target(wal_file, SQLITE, samples.wals),
    "wal-index": Target(index_of_wal, SQLITE, samples.wal_indexes),
    "database": Target(database_file, SQLITE, samples.databases),
    "record": Target(record, SQLITE, samples.records),
    "stream": Target(stream, (ReplicationError,), samples.streams),
    "position-map": Target(positions, (ReplicationError,), samples.position_maps),
    "position": Target(pos, (LtxError,), samples.positions),
    "config": Target(config, (PylitefsError,), samples.configs),
    "lesson": Target(text(lambda one: lesson.read("a", one)), (PylitefsError,), samples.lessons),
    "workload": Target(text(lambda one: workload.parse("a", one)), (PylitefsError,), samples.workloads),
    "recording": Target(lecture_recording, (PylitefsError,), samples.recordings),
    "page-request": Target(page_request, (asking.Refused,), samples.page_requests),
    "candidate-answer": Target(text(read_answer), (ValueError,), samples.candidate_answers),
    "lease-answer": Target(lease_answer, (), samples.lease_answers),
    "anatomy-database": Target(covering(database.anatomy), (), samples.databases),
    "anatomy-frame": Target(covering(frame.anatomy), (), samples.streams),
    "anatomy-journal": Target(covering(journal.anatomy), (), samples.journals),
    "anatomy-ltx": Target(covering(ltx.anatomy), (), samples.ltx_files),
    "anatomy-position": Target(covering(position.anatomy), (), samples.positions),
    "anatomy-wal": Target(covering(wal.anatomy), (), samples.wals),
    "anatomy-wal-index": Target(covering(wal_index.anatomy), (), samples.wal_indexes),
}


def shown(data: bytes) -> str:
    """A short input, for a failure's text."""
    return json.dumps(data.decode("latin-1")) if len(data) < 200 else f"{len(data)} bytes"
