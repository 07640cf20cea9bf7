"""Stream frames taken apart, as they go over the wire, down to the fields of the LTX file in them.

The rule is that of every anatomy: all bytes, in order, whatever they are. Several frames may follow each
other; a field of the LTX file that falls on the border of two chunks is shown in two pieces.
Format: `replication.frames`.
"""

from pylitefs.lecture.anatomy import ltx
from pylitefs.lecture.anatomy.fields import Builder, Field, text, txid
from pylitefs.lecture.model import Part
from pylitefs.ltx.parts import time_text
from pylitefs.replication.frames import FrameType

_NAMES = {
    FrameType.LTX: "LTX: a transaction, or a snapshot",
    FrameType.READY: "Ready: the replica has caught up for the first time",
    FrameType.END: "End: a clean disconnect",
    FrameType.DROP_DB: "DropDB: the primary lacks this database",
    FrameType.HANDOFF: "Handoff: the replica becomes the primary",
    FrameType.HIGH_WATER_MARK: "high-water mark: what a backup has",
    FrameType.HEARTBEAT: "Heartbeat: the primary is alive",
}


def _type(data: bytes) -> str:
    number = int.from_bytes(data, "big")
    if number not in _NAMES:
        return f"{number}: unknown"
    return f"{number}: {_NAMES[FrameType(number)].partition(':')[0]}"


def _time(data: bytes) -> str:
    return time_text(int.from_bytes(data, "big", signed=True))


TYPE = Field(4, "frame type", "What follows.", "flag", _type)
SIZE = Field(8, "size", "The LTX file's size; LiteFS sends 0, for a snapshot's is not known yet.", "size")
NAME_LENGTH = Field(4, "name length", "Bytes of the database's name.", "size")
NAME = Field(0, "database", "Which database this is about.", "content", text)
CHUNK = Field(2, "chunk length", "Bytes of the LTX file that follow; 0 ends it.", "size")
MARK = Field(8, "backup TXID", "Up to where a backup has everything; 0 without one.", "txid", txid)
LEASE_LENGTH = Field(4, "lease id length", "Bytes of the lease id.", "size")
LEASE = Field(0, "lease id", "The lease that the replica takes over.", "content", text)
TIME = Field(8, "time", "The primary's clock: up to then the replica has everything.", "time", _time)

FRAMES: dict[FrameType, tuple[Field, ...]] = {
    FrameType.LTX: (TYPE, SIZE, NAME_LENGTH, NAME, CHUNK),
    FrameType.READY: (TYPE,),
    FrameType.END: (TYPE,),
    FrameType.DROP_DB: (TYPE, NAME_LENGTH, NAME),
    FrameType.HANDOFF: (TYPE, LEASE_LENGTH, LEASE),
    FrameType.HIGH_WATER_MARK: (TYPE, MARK, NAME_LENGTH, NAME),
    FrameType.HEARTBEAT: (TYPE, TIME),
}


def frame_name(kind: FrameType) -> str:
    """A frame's name and what it says: "Ready: the replica has caught up …"."""
    return _NAMES[kind]


def anatomy(data: bytes) -> tuple[Part, ...]:
    """The parts of one or more frames."""
    build = Builder(data)
    while build.left:
        number = int.from_bytes(build.field(TYPE), "big")
        if number not in _NAMES:
            build.rest("unknown", "No frame of a stream begins so.", kind="content")
            break
        length = 0
        for field in FRAMES[FrameType(number)][1:]:
            if field is CHUNK:
                _chunks(build)
                continue
            piece = build.field(field, size=min(length, build.left) if field.size == 0 else -1)
            if field in (NAME_LENGTH, LEASE_LENGTH):
                length = int.from_bytes(piece, "big")
    return tuple(build.parts)


def _chunks(build: Builder) -> None:
    """The LTX file in its chunks, up to the one of length zero."""
    places: list[tuple[int, int]] = []
    at = build.at
    while at + CHUNK.size <= len(build.data):
        length = int.from_bytes(build.data[at : at + CHUNK.size], "big")
        at += CHUNK.size
        if not length:
            break
        places.append((at, min(length, len(build.data) - at)))
        at += length
    file = b"".join(build.data[start : start + length] for start, length in places)
    parts = list(ltx.anatomy(file)) if file else []
    done = 0
    for start, length in places:
        build.field(CHUNK)
        build.add(_within(parts, done, length, build.base + start))
        done += length
    build.field(CHUNK)


def _within(parts: list[Part], first: int, length: int, place: int) -> list[Part]:
    """The parts of the file's bytes `first` up to `first + length`, which lie at `place` of the frame."""
    found: list[Part] = []
    for part in parts:
        start, end = max(part.offset, first), min(part.offset + part.length, first + length)
        if start < end:
            found.append(
                Part(place + start - first, end - start, part.name, part.value, part.meaning, part.kind)
            )
    return found
