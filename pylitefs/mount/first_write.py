"""The first write into a new database: by the end of its transaction everybody finds its position.

Who asked for `DB-pos` while there was no database was told so, and the kernel says it again for a second
without asking. But who has committed is to find the position. So the first write of each connection to a
database without a transaction waits until the applier has had the kernel look the name up.

The rule: the wait is short. The look needs the directory's lock, and who removes the file has that and waits
for this very write. Then the write goes on, and the kernel asks again a second later.
"""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from pylitefs.mount.handles import DatabaseHandle, Handle
from pylitefs.store.names import FileKind

if TYPE_CHECKING:
    from pylitefs.store.store import Store

WAIT_S = 0.25


def awaited(handle: Handle, store: "Store") -> Handle:
    """The handle. Where its first write may be a database's first, that one waits."""
    if isinstance(handle, DatabaseHandle) and handle.kind is FileKind.DATABASE and not handle.applier:
        name = handle.database.name
        if not handle.database.pos.txid and not store.tracer.active:
            handle.before_first_write = lambda: _wait_for(lambda: store.applier.show_name(name))
    return handle


def _wait_for(work: Callable[[], None]) -> None:
    """Have it done by a thread of its own, which may take longer than the wait."""
    done = threading.Event()

    def do() -> None:
        try:
            work()
        finally:
            done.set()

    threading.Thread(target=do, name="pylitefs-first-write", daemon=True).start()
    done.wait(WAIT_S)
