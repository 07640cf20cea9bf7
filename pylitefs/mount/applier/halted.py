"""A database of the primary while a replica has its HALT lock, as the node sees it.

The rule: the locks are the applier process's (halting.py); if it dies they are gone, and each call says so.
"""

from collections.abc import Callable
from pathlib import Path

from pylitefs.mount.applier.messages import Message
from pylitefs.store.applying import KnownWal


class HaltedDatabase:
    """`call(request, database)` asks the applier, on the channel that has the lock; `trace` tells of an
    apply."""

    def __init__(
        self,
        database: str,
        trace: Callable[[str, Message], None],
        call: Callable[[Message, str], Message],
    ) -> None:
        self._database = database
        self._trace = trace
        self._call = call

    def apply(
        self, ltx_path: Path, *, timeout: float, verified: bool = False, known: KnownWal | None = None
    ) -> None:
        """Write one LTX file's pages. BusyError, with nothing changed, if readers are in the way for longer
        than `timeout`; ApplierError if the applier died: hand the file to `Applier.apply`."""
        request: Message = {
            "op": "apply_halted",
            "db": self._database,
            "path": str(ltx_path),
            "timeout": timeout,
            "verified": verified,
            "known": known,
        }
        self._trace(self._database, self._call(request, self._database))
