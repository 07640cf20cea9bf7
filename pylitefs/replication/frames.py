"""The frames of a replication stream, and the position map that asks for one.

A replica posts its positions (u32 count, then for each database u32 length, name, u64 TXID, u64
checksum; all big-endian) and the primary answers with frames without end. Each begins with a u32 type:

    1 LTX              u64 size (0 is sent), u32 length, name; then the LTX file as chunks
                       (u16 length, bytes), ended by a chunk of length zero
    2 Ready            the replica has caught up for the first time
    3 End              a clean disconnect
    4 DropDB           u32 length, name: a database of the request that the primary lacks
    5 Handoff          u32 length, lease id
    6 high-water mark  u64 TXID, u32 length, name: what a backup has; 0 without one
    7 Heartbeat        i64 milliseconds: the primary's clock

The rule: bytes and values in, bytes and values out; nothing here reads a socket or a clock. The decoder
hands an LTX file on in pieces (LtxBegin, LtxChunk..., LtxEnd) as they come, so a snapshot of a gigabyte
takes no more memory than one of a page. Whatever is not this format is a ReplicationError.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from pylitefs.errors import InvalidNameError, ReplicationError
from pylitefs.ltx.position import Pos
from pylitefs.store.names import check_path

MAX_CHUNK = 0xFFFF
"""Bytes in the longest chunk of an LTX body: its length is a u16."""
MAX_NAME_BYTES = 255
"""A database is a directory, and no file system has longer names."""
MAX_LEASE_ID_BYTES = 1024
MAX_DATABASES = 65_536
"""Entries in the longest position map that is read."""
MAX_POSITION_MAP_BYTES = 16 << 20
"""A server reads no more than this of a request into memory."""

_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_POSITION = struct.Struct(">QQ")
_LTX_HEAD = struct.Struct(">IQI")
_HIGH_WATER_MARK_HEAD = struct.Struct(">IQI")
_HEARTBEAT = struct.Struct(">Iq")


class FrameType(IntEnum):
    """The u32 that each frame begins with."""

    LTX = 1
    READY = 2
    END = 3
    DROP_DB = 4
    HANDOFF = 5
    HIGH_WATER_MARK = 6
    HEARTBEAT = 7


@dataclass(frozen=True, slots=True)
class LtxBegin:
    """An LTX file of database `name` follows as chunks. `size` is 0 from LiteFS: it streams snapshots."""

    name: str
    size: int = 0

    def pack(self) -> bytes:
        name = _name_bytes(self.name)
        return _LTX_HEAD.pack(FrameType.LTX, self.size, len(name)) + name


@dataclass(frozen=True, slots=True)
class LtxChunk:
    """The next bytes of the LTX file, 1 to MAX_CHUNK; the decoder passes a chunk on in pieces as it likes."""

    data: bytes

    def pack(self) -> bytes:
        return _U16.pack(len(self.data)) + self.data


@dataclass(frozen=True, slots=True)
class LtxEnd:
    """The LTX file is complete."""

    def pack(self) -> bytes:
        return _U16.pack(0)


@dataclass(frozen=True, slots=True)
class Ready:
    """The replica has caught up for the first time."""

    def pack(self) -> bytes:
        return _U32.pack(FrameType.READY)


@dataclass(frozen=True, slots=True)
class End:
    """The primary disconnects cleanly."""

    def pack(self) -> bytes:
        return _U32.pack(FrameType.END)


@dataclass(frozen=True, slots=True)
class DropDb:
    """The request named a database that the primary lacks."""

    name: str

    def pack(self) -> bytes:
        return _U32.pack(FrameType.DROP_DB) + _with_length(_name_bytes(self.name))


@dataclass(frozen=True, slots=True)
class Handoff:
    """The replica becomes the primary with this lease."""

    lease_id: str

    def pack(self) -> bytes:
        return _U32.pack(FrameType.HANDOFF) + _with_length(self.lease_id.encode())


@dataclass(frozen=True, slots=True)
class HighWaterMark:
    """The newest TXID of database `name` that a backup has, 0 without a backup."""

    txid: int
    name: str

    def pack(self) -> bytes:
        name = _name_bytes(self.name)
        return _HIGH_WATER_MARK_HEAD.pack(FrameType.HIGH_WATER_MARK, self.txid, len(name)) + name


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Sent every second without traffic: the replica has everything up to this time of the primary's clock.

    `timestamp_ms` is milliseconds since 1970; 0 says no more than that the primary is alive.
    """

    timestamp_ms: int

    def pack(self) -> bytes:
        return _HEARTBEAT.pack(FrameType.HEARTBEAT, self.timestamp_ms)


Frame = LtxBegin | LtxChunk | LtxEnd | Ready | End | DropDb | Handoff | HighWaterMark | Heartbeat


def pack_ltx_body(data: bytes | memoryview) -> bytes:
    """The bytes of an LTX file, or of a part of it, as chunks; the caller ends the file with LtxEnd."""
    if len(data) <= MAX_CHUNK:
        return _U16.pack(len(data)) + data if data else b""
    parts: list[bytes | memoryview] = []
    for start in range(0, len(data), MAX_CHUNK):
        piece = data[start : start + MAX_CHUNK]
        parts += (_U16.pack(len(piece)), piece)
    return b"".join(parts)


def encode_positions(positions: Mapping[str, Pos]) -> bytes:
    """The body of `POST /stream`: where the replica is in each database."""
    parts = [_U32.pack(len(positions))]
    for name, pos in positions.items():
        parts += (_with_length(_name_bytes(name)), _POSITION.pack(pos.txid, pos.checksum))
    return b"".join(parts)


def decode_positions(data: bytes) -> dict[str, Pos]:
    """The position map of a request. Raises ReplicationError if it is anything but one whole map."""
    try:
        (count,) = _U32.unpack_from(data)
        if count > MAX_DATABASES:
            raise ReplicationError(f"position map: {count} databases, more than {MAX_DATABASES}")
        positions: dict[str, Pos] = {}
        at = _U32.size
        for _ in range(count):
            (length,) = _U32.unpack_from(data, at)
            at += _U32.size
            name = _name(data[at : at + _limit("database name", length, MAX_NAME_BYTES)])
            txid, checksum = _POSITION.unpack_from(data, at + length)
            at += length + _POSITION.size
            if name in positions:
                raise ReplicationError(f"position map: database {name!r} comes twice")
            positions[name] = Pos(txid, checksum)
    except struct.error:
        raise ReplicationError(f"position map: it ends early, after {len(data)} bytes") from None
    if at != len(data):
        raise ReplicationError(f"position map: {len(data) - at} bytes follow its {count} databases")
    return positions


class Decoder:
    """Reads frames from bytes as they arrive, in pieces of any size.

    >>> decoder = Decoder()
    >>> [*decoder.feed(Ready().pack()[:3]), *decoder.feed(Ready().pack()[3:])]
    [Ready()]
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._in_body = False
        self._chunk_left = 0
        self._consumed = 0

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that `data` completes; iterate to the end before feeding again."""
        self._buffer += data
        while (frame := self._next()) is not None:
            yield frame

    def finish(self) -> None:
        """The connection ended: raises ReplicationError if that was in the middle of a frame."""
        if self._in_body or self._buffer:
            where = "an LTX file" if self._in_body else "a frame"
            raise ReplicationError(f"the stream ended in the middle of {where}, {self._where()}")

    def _next(self) -> Frame | None:
        if not self._in_body:
            return self._next_frame()
        if not self._chunk_left:
            if len(self._buffer) < _U16.size:
                return None
            (self._chunk_left,) = _U16.unpack(self._take(_U16.size))
            if not self._chunk_left:
                self._in_body = False
                return LtxEnd()
        if not self._buffer:
            return None
        data = self._take(min(self._chunk_left, len(self._buffer)))
        self._chunk_left -= len(data)
        return LtxChunk(data)

    def _next_frame(self) -> Frame | None:
        if len(self._buffer) < _U32.size:
            return None
        (kind,) = _U32.unpack_from(self._buffer)
        match kind:
            case FrameType.READY:
                self._take(_U32.size)
                return Ready()
            case FrameType.END:
                self._take(_U32.size)
                return End()
            case FrameType.HEARTBEAT:
                head = self._take_whole(_HEARTBEAT.size)
                return Heartbeat(_HEARTBEAT.unpack(head)[1]) if head else None
            case FrameType.LTX:
                taken = self._take_text(8, "database name", MAX_NAME_BYTES)
                self._in_body = taken is not None
                return LtxBegin(_name(taken[1]), taken[0]) if taken else None
            case FrameType.HIGH_WATER_MARK:
                taken = self._take_text(8, "database name", MAX_NAME_BYTES)
                return HighWaterMark(taken[0], _name(taken[1])) if taken else None
            case FrameType.DROP_DB:
                taken = self._take_text(0, "database name", MAX_NAME_BYTES)
                return DropDb(_name(taken[1])) if taken else None
            case FrameType.HANDOFF:
                taken = self._take_text(0, "lease id", MAX_LEASE_ID_BYTES)
                return Handoff(taken[1].decode("utf-8", "replace")) if taken else None
        raise ReplicationError(f"frame type {kind} is none of 1 to {max(FrameType)}, {self._where()}")

    def _take_text(self, number_size: int, what: str, limit: int) -> tuple[int, bytes] | None:
        """A whole frame of type, number, u32 length and text: the number (0 if it has no bytes), the text."""
        head = _U32.size + number_size + _U32.size
        if len(self._buffer) < head:
            return None
        (length,) = _U32.unpack_from(self._buffer, head - _U32.size)
        whole = self._take_whole(head + _limit(what, length, limit))
        if whole is None:
            return None
        return int.from_bytes(whole[_U32.size : head - _U32.size], "big"), whole[head:]

    def _take_whole(self, size: int) -> bytes | None:
        return self._take(size) if len(self._buffer) >= size else None

    def _take(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._consumed += size
        return data

    def _where(self) -> str:
        return f"at byte {self._consumed} of the stream"


def _limit(what: str, length: int, limit: int) -> int:
    if length > limit:
        raise ReplicationError(f"{what} of {length} bytes, longer than {limit}: not a stream of LiteFS")
    return length


def _with_length(text: bytes) -> bytes:
    return _U32.pack(len(text)) + text


def _name_bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _name(text: bytes) -> str:
    try:
        return check_path(text.decode("utf-8", "surrogateescape"))
    except InvalidNameError as error:
        raise ReplicationError(f"the peer sent a database name that is none: {error}") from None
