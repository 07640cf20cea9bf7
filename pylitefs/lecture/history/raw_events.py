"""What comes over the control channel with an event: the bytes, and the payload as text.

The rule: whatever a node sends is taken as far as it can be read; nothing here raises.
"""

import base64
import binascii
from dataclasses import dataclass

from pylitefs.errors import ReplicationError
from pylitefs.replication.frames import Decoder, LtxChunk, LtxEnd

_MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class RawItem:
    """Some bytes of a file, or a frame, copied when the event happened."""

    file: str
    """journal, wal, shm, database, ltx or frame."""
    data: bytes
    offset: int = 0
    size: int = 0
    """The whole file's, or frame's."""
    path: str = ""
    cut: bool = False
    """Whether `data` is only the beginning of what was meant."""

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.path.rpartition("/")[2]

    def ltx_of_frame(self) -> bytes:
        """The LTX file that a stream frame carries; b"" if it carries none, or not all of one."""
        parts: list[bytes] = []
        try:
            for frame in Decoder().feed(self.data):
                if isinstance(frame, LtxChunk):
                    parts.append(frame.data)
                elif isinstance(frame, LtxEnd):
                    return b"".join(parts)
        except ReplicationError:
            return b""
        return b""


def read_items(found: object) -> list[RawItem]:
    """The `bytes` of a control message."""
    items: list[RawItem] = []
    for one in found if isinstance(found, list) else []:
        if not isinstance(one, dict):
            continue
        try:
            data = base64.b64decode(one.get("data") or b"", validate=True)
            offset, size = int(one.get("offset") or 0), int(one.get("size") or 0)
        except (binascii.Error, ValueError, TypeError):
            continue
        items.append(
            RawItem(
                str(one.get("file", "")),
                data,
                max(offset, 0),
                size or offset + len(data),
                str(one.get("path") or ""),
                bool(one.get("cut")),
            )
        )
    return items


def plain(key: str, value: object) -> object:
    """A payload's value as it is shown: checksums in hex, a path's last part, the first few pages."""
    if "checksum" in key and isinstance(value, int) and not isinstance(value, bool):
        return f"{value:016x}"
    if isinstance(value, list | tuple):
        more = " …" if len(value) > _MOST_SHOWN else ""
        return ", ".join(map(str, value[:_MOST_SHOWN])) + more
    if key in ("path", "dropped"):
        return str(value).rpartition("/")[2]
    return value
