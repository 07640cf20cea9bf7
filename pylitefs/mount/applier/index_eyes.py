"""The primary's eyes: which frames of a WAL its index shows to SQLite's readers.

The index is shared memory of SQLite's clients, and the node's own file lags behind it. Here, as in every
process but the node's, a read of the mount gives what they have mapped. The rule: an eye takes no lock and
writes nothing, and the last `-shm` of a database stays open, for a look to cost one read.
"""

import os
import threading
import time
from collections import OrderedDict
from typing import cast

from pylitefs.limits import most_databases
from pylitefs.mount.applier.locks import LockFile
from pylitefs.mount.applier.messages import Message, text_of

WAIT_S = 0.001
"""A look waits so long for a writer that is just about to publish."""
_PAUSE_S = 0.00002


class IndexEyes:
    """The `-shm` files of the databases that were looked at last."""

    def __init__(self) -> None:
        self.root_fd = -1
        self._lock = threading.Lock()
        self._files: OrderedDict[str, tuple[object, LockFile]] = OrderedDict()

    def shows(self, message: Message) -> Message:
        """Whether the index shows `frame` of the WAL with `salts`; null if it is another WAL's, or none.
        `unclear` if it is no valid one: a client is making it anew from the WAL."""
        from pylitefs.sqlite.wal_index import CHECKPOINT_INFO_OFFSET, read_header

        salts = tuple(cast("list[int]", message["salts"]))
        frame = cast(int, message["frame"])
        deadline = time.monotonic() + WAIT_S
        with self._lock:
            try:
                file = self._file(text_of(message, "db"), message["generation"])
            except FileNotFoundError:
                return {"shown": None}
            while True:
                header = read_header(os.pread(file.fd, CHECKPOINT_INFO_OFFSET, 0))
                if header is not None and (header.salt1, header.salt2) != salts:
                    return {"shown": None}
                if header is not None and header.max_frame >= frame:
                    return {"shown": True}
                if time.monotonic() >= deadline:
                    return {"shown": False, "unclear": header is None}
                time.sleep(_PAUSE_S)

    def _file(self, name: str, generation: object) -> LockFile:
        known = self._files.pop(name, None)
        if known is not None and known[0] != generation:
            known[1].close()
            known = None
        if known is None:
            flags = os.O_RDONLY | os.O_CLOEXEC
            known = generation, LockFile(os.open(f"{name}-shm", flags, dir_fd=self.root_fd))
            if len(self._files) >= most_databases():
                self._files.popitem(last=False)[1][1].close()
        self._files[name] = known
        return known[1]
