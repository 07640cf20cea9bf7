"""An LTX file on its way in: the frames of a stream between its LTX frame and its end, as bytes.

The rule: the LTX file is always read to its end, also where the store stops early. The next frame comes after
it.
"""

from collections.abc import Iterator

from pylitefs.errors import LtxError, ReplicationError
from pylitefs.ltx.header import HEADER_SIZE, Header
from pylitefs.replication.frames import Frame, LtxChunk, LtxEnd


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
