"""A lecture's lines on their way to many readers: packed once, sent to each as fast as it reads.

    lines --> one message of server-sent events, one piece of a gzip stream --> every reader

The rule: no reader has a queue. What was told is one list of packed pieces, the same for all, and a reader
is a place in it; so one who reads slowly, or not at all, costs a place, and holds nobody up. A new run (the
lesson begun again) drops the list, and all readers go on at its beginning.

Each piece is deflated for itself and flushed to a whole byte (`Z_FULL_FLUSH`), so any piece may follow the
head of a gzip stream: a class's network carries a tenth of the text, and it is packed once, not for
everyone.
"""

import asyncio
import json
import secrets
import zlib
from collections.abc import AsyncIterator, Sequence

GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
GATHER_S = 0.03
"""So long lines wait for others: a step's hundred entries are a few messages to everyone."""
MOST_TEXT = 64 * 1024
"""Of lines in a message, but for one line that is longer."""
MOST_PIECES = 64 * 1024
"""Of packed bytes that are handed to a reader at once."""
KEEP_ALIVE_S = 15.0


def packed(text: str) -> bytes:
    """A piece of the gzip stream."""
    deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    data = text.encode("utf-8", "surrogatepass")
    return deflate.compress(data) + deflate.flush(zlib.Z_FULL_FLUSH)


def message(event: str, data: object) -> str:
    """A message of server-sent events."""
    return f"event: {event}\ndata: {json.dumps(data)}\n\n"


STILL_THERE = packed(": still there\n\n")


class Feed:
    """The messages of a lecture so far, and its readers. All of it in one event loop."""

    def __init__(self) -> None:
        self.run = ""
        """The run's name: another in each run, and in each lecture."""
        self.closed = False
        self._pieces: list[bytes] = []
        self._waiting: list[str] = []
        self._now = b""
        self._is_due = False
        self._changed = asyncio.Event()
        self.begin()

    def begin(self) -> None:
        """A new run: what was told is dropped."""
        self.run = secrets.token_hex(4)
        self._pieces, self._waiting = [], []

    def take(self, lines: Sequence[str]) -> None:
        """Tell these lines, in a moment."""
        self._waiting += lines
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(GATHER_S, self.flush)

    def tell_now(self, event: str, data: object) -> None:
        """What holds now: sent to every reader, also to those who come later; only the newest counts."""
        self._now = packed(message(event, data))
        self._wake()

    def flush(self) -> None:
        """Tell what waits."""
        self._is_due = False
        while self._waiting:
            count, size = 0, 0
            for line in self._waiting:
                size += len(line)
                if count and size > MOST_TEXT:
                    break
                count += 1
            data = "".join(f"data: {line}\n" for line in self._waiting[:count])
            del self._waiting[:count]
            self._pieces.append(packed(f"id: {self.run}-{len(self._pieces) + 1}\n{data}\n"))
        self._wake()

    def close(self) -> None:
        """Let the readers go."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        before, self._changed = self._changed, asyncio.Event()
        before.set()

    async def read(self, last_id: str) -> AsyncIterator[bytes]:
        """The pieces after the message of this id (of another run: all), for ever."""
        run, at = self._place(last_id)
        now = b""
        while not self.closed:
            changed = self._changed
            out: list[bytes] = []
            if run != self.run:
                run, at, now = self.run, 0, b""
                out.append(packed(message("reset", run)))
            size = 0
            while at < len(self._pieces) and size < MOST_PIECES:
                out.append(self._pieces[at])
                size += len(self._pieces[at])
                at += 1
            if now != self._now and at == len(self._pieces):
                now = self._now
                out.append(now)
            if not out:
                try:
                    async with asyncio.timeout(KEEP_ALIVE_S):
                        await changed.wait()
                    continue
                except TimeoutError:
                    out.append(STILL_THERE)
            yield b"".join(out)

    def _place(self, last_id: str) -> tuple[str, int]:
        run, _, number = last_id.rpartition("-")
        if run == self.run and number.isdecimal() and len(number) < 10 and int(number) <= len(self._pieces):
            return run, int(number)
        return "", 0
