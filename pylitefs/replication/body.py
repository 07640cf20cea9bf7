"""An LTX file on its way in: the frames of a stream between its LTX frame and its end, as bytes.

The rule: the LTX file is always read to its end, also where the store stops early. The next frame comes after
it.
"""

from collections.abc import Callable, Iterator

from pylitefs.errors import LtxError, ReplicationError
from pylitefs.ltx.header import HEADER_SIZE, Header
from pylitefs.replication.frames import Frame, LtxBegin, LtxChunk, LtxEnd

TOLD = 128 * 1024
"""Bytes of an LTX file that `stream.receive` carries, at most about."""


class Body:
    """The bytes of one LTX file, read on from the stream as the store asks for them."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames
        self._head = b""
        self._done = False

    def __iter__(self) -> Iterator[bytes]:
        while not self._done:
            frame = next(self._frames, None)
            if isinstance(frame, LtxChunk):
                self._head += frame.data[: HEADER_SIZE - len(self._head)]
                yield frame.data
            elif isinstance(frame, LtxEnd):
                self._done = True
            else:
                raise ReplicationError(f"{frame} in the middle of an LTX file")

    def short(self, most: int) -> tuple[list[bytes], bool]:
        """The file's bytes up to its end, or to where it is longer than `most`; whether that is all."""
        parts: list[bytes] = []
        size = 0
        for data in self:
            parts.append(data)
            size += len(data)
            if size > most:
                return parts, False
        return parts, True

    def drain(self) -> None:
        """Read what the store left unread."""
        for _ in self:
            pass

    def txid(self) -> int:
        """The file's max TXID; 0 if its header did not come, or is none."""
        try:
            return Header.unpack(self._head).max_txid
        except LtxError:
            return 0


def told(name: str, frames: Iterator[Frame], tell: Callable[[int, str, bytes], None]) -> Iterator[Frame]:
    """The frames of an LTX file, after `tell(txid, kind, bytes)` was called with all of a short one, or with
    the beginning of a long one."""
    first: list[LtxChunk | LtxEnd] = []
    size = 0
    for frame in frames:
        if not isinstance(frame, LtxChunk | LtxEnd):
            yield from first
            yield frame
            return
        first.append(frame)
        size += len(frame.data) if isinstance(frame, LtxChunk) else 0
        if isinstance(frame, LtxEnd) or size >= TOLD:
            break
    data = b"".join((LtxBegin(name).pack(), *(frame.pack() for frame in first)))
    body = b"".join(frame.data for frame in first if isinstance(frame, LtxChunk))
    try:
        header = Header.unpack(body[:HEADER_SIZE])
    except LtxError:
        pass  # The store says so, with the file's name.
    else:
        tell(header.max_txid, "ltx:snapshot" if header.is_snapshot else "ltx", data)
    yield from first
    for frame in frames:  # Not `yield from`: that would end the stream's frames together with this.
        yield frame
