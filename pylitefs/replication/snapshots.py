"""A snapshot, read while it is still being encoded.

`Store.snapshot(name, path)` copies the database under SQLite's locks, and encodes the copy, a large one while
it is made, into `path`. Here that path is a named pipe: the first pages are on the wire while later ones are
copied and compressed, and no second file of the database's size is written.

    threads:     copy --> encode --> pipe
    event loop:                       `--> head(), read() ... made()

The rule: whatever happens, the pipe's name is gone at the end and the thread is not left waiting for it.
The end of the pipe does not say that the snapshot is good: it comes after an error, too. `made` says it. So a
replica is told of the end only after `made` has returned.
"""

import asyncio
import importlib
import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from pylitefs.ltx.header import HEADER_SIZE
from pylitefs.replication.threads import in_thread
from pylitefs.store.snapshot import SNAPSHOT_S, SnapshotInfo
from pylitefs.store.store import Store
from pylitefs.store.turns import Patience

PIPE_SIZE = 1 << 20
BLOCK = 128 * 1024


def snapshot_of(store: Store, database: str, path: Path, timeout: float = SNAPSHOT_S) -> "SnapshotPipe":
    """A snapshot in the making, by a pipe where the system has such."""
    return (SnapshotPipe if hasattr(os, "mkfifo") else SnapshotFile)(store, database, path, timeout)


class SnapshotPipe:
    """A snapshot of `database` in the making; `path` is a name for the pipe. Use it with `async with`."""

    def __init__(self, store: Store, database: str, path: Path, timeout: float = SNAPSHOT_S) -> None:
        """`timeout`: so long the database's users are waited for. Nor longer than this is used."""
        self._store = store
        self._database = database
        self._path = path
        self._patience = Patience("a snapshot", timeout)
        self._reader = asyncio.StreamReader(limit=BLOCK)

    async def __aenter__(self) -> "SnapshotPipe":
        os.mkfifo(self._path, 0o600)
        try:
            self._transport = await self._connect()
        except BaseException:  # cancelled, or no descriptor left: `__aexit__` is not called then
            self._path.unlink(missing_ok=True)
            raise
        self._making = asyncio.ensure_future(in_thread(self._make))
        return self

    async def _connect(self) -> asyncio.ReadTransport:
        """Open the pipe for reading, before anybody writes, and have the event loop read it."""
        pipe = os.fdopen(os.open(self._path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0)
        try:
            with suppress(OSError, AttributeError):  # Linux's; an ordinary user's pipes may be kept smaller
                fcntl = importlib.import_module("fcntl")
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
            loop = asyncio.get_running_loop()
            transport, _ = await loop.connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(self._reader), pipe
            )
        except BaseException:
            pipe.close()
            raise
        return transport

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # The name goes first: a thread that opens it later makes a file, which `_make` removes.
        self._path.unlink(missing_ok=True)
        self._transport.close()
        self._patience.give_up()
        self._making.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await self._making

    def _make(self) -> SnapshotInfo:
        try:
            return self._store.snapshot(self._database, self._path, self._patience)
        finally:
            # The reader sees an end also if the pipe was never opened for writing.
            with suppress(OSError):
                os.close(os.open(self._path, os.O_WRONLY | os.O_NONBLOCK))
            self._path.unlink(missing_ok=True)

    async def head(self) -> bytes:
        """The LTX header's bytes, once a copy has begun; what went wrong before that is raised."""
        try:
            return await self._reader.readexactly(HEADER_SIZE)
        except asyncio.IncompleteReadError:
            await self.made()
            raise

    async def read(self) -> bytes:
        """The next bytes; b"" at the end."""
        return await self._reader.read(BLOCK)

    async def made(self) -> SnapshotInfo:
        """After the end: what the snapshot is of. Raises what went wrong in making it."""
        return await self._making


class SnapshotFile(SnapshotPipe):
    """The same where there are no named pipes (Windows): made whole, then read."""

    async def __aenter__(self) -> "SnapshotFile":
        self._file: BinaryIO | None = None
        self._making = asyncio.ensure_future(in_thread(self._make))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._patience.give_up()
        with suppress(asyncio.CancelledError, Exception):
            await self._making
        if self._file is not None:
            self._file.close()
        self._path.unlink(missing_ok=True)

    def _make(self) -> SnapshotInfo:
        return self._store.snapshot(self._database, self._path, self._patience)

    async def head(self) -> bytes:
        await asyncio.shield(self._making)  # Who is cut off meanwhile still waits for the thread's end.
        self._file = self._path.open("rb")
        return self._file.read(HEADER_SIZE)

    async def read(self) -> bytes:
        assert self._file is not None
        return await in_thread(partial(self._file.read, BLOCK))
