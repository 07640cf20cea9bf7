"""The files that are in no data directory: `DB-pos`, `DB-lock`, `.primary` and `.lag`.

Each is a small value computed when it is read, so that reading again through the same handle shows the
newest. The rules: names ending in these suffixes are never a database's, on any node; and no time moves by
being asked for, since a program that copies a file looks before and after whether it has changed.
Formats: https://fly.io/docs/litefs/how-it-works/, https://fly.io/docs/litefs/position/ and https://fly.io/docs/litefs/primary/.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from pylitefs.ltx.position import Pos
from pylitefs.store.names import LAG_NAME, LOCK_SUFFIX, POS_SUFFIX, PRIMARY_NAME
from pylitefs.store.status import Status

LAG_SIZE = 11
"""A reader gets 11 bytes, so that `+2147483647` comes without its newline."""


class HasPosition(Protocol):
    """What `DB-pos` needs to know of a database."""

    @property
    def name(self) -> str: ...
    def current_pos(self) -> Pos: ...
    @property
    def timestamp_ms(self) -> int: ...


class SpecialKind(enum.Enum):
    """The four special files; the value is the name, or what a database's name is followed by."""

    POS = POS_SUFFIX
    LOCK = LOCK_SUFFIX
    PRIMARY = PRIMARY_NAME
    LAG = LAG_NAME


@dataclass(frozen=True, slots=True)
class SpecialName:
    """A special file's name, taken apart; `database` is empty for `.primary` and `.lag`."""

    kind: SpecialKind
    database: str


def split_special(name: str) -> SpecialName | None:
    """The special file of that name in the mount, whether it is there just now or not; None for others."""
    if name == LAG_NAME:
        return SpecialName(SpecialKind.LAG, "")
    if name == PRIMARY_NAME:
        return SpecialName(SpecialKind.PRIMARY, "")
    for kind in (SpecialKind.POS, SpecialKind.LOCK):
        if name.endswith(kind.value) and len(name) > len(kind.value):
            return SpecialName(kind, name.removesuffix(kind.value))
    return None


def position_content(pos: Pos) -> bytes:
    """34 bytes: TXID and checksum, 16 lower-case hex digits each, joined by `/`, and a newline."""
    return b"%016x/%016x\n" % (pos.txid, pos.checksum)


def lag_content(lag_ms: int) -> bytes:
    """11 bytes: milliseconds with sign, ten characters wide, and as much of the newline as fits."""
    return (b"%+010d\n" % lag_ms)[:LAG_SIZE]


def primary_content(status: Status) -> bytes | None:
    """The primary's hostname and a newline on a replica that is connected to it, else None (no file)."""
    if status.is_primary or status.primary_hostname is None:
        return None
    return status.primary_hostname.encode() + b"\n"


@dataclass(frozen=True, slots=True)
class SpecialFile:
    """One special file that is there: what it holds now, and what `stat` says of it."""

    name: SpecialName
    status: Status
    database: HasPosition | None

    @property
    def is_lock(self) -> bool:
        return self.name.kind is SpecialKind.LOCK

    @property
    def mode(self) -> int:
        """Permission bits, as LiteFS shows them; what may be written is decided when it is opened."""
        return 0o666 if self.name.kind is SpecialKind.POS else 0o444

    @property
    def mtime_ns(self) -> int:
        """Of a position file the last transaction's time; of the others, the node's start."""
        if self.name.kind is SpecialKind.POS and self.database is not None:
            return self.database.timestamp_ms * 1_000_000
        return self.status.started_ns

    def content(self) -> bytes:
        """The bytes that a reader gets now; none where the file has just vanished."""
        match self.name.kind:
            case SpecialKind.LAG:
                return lag_content(self.status.lag_ms())
            case SpecialKind.PRIMARY:
                return primary_content(self.status) or b""
            case SpecialKind.POS:
                return position_content(self.database.current_pos()) if self.database is not None else b""
            case SpecialKind.LOCK:
                return b""


def listed_names(status: Status, databases: list[str]) -> Iterator[str]:
    """The special files a directory listing shows: `.lag`, `.primary` if there is one, the positions."""
    yield LAG_NAME
    if primary_content(status) is not None:
        yield PRIMARY_NAME
    for name in databases:
        yield name + POS_SUFFIX
