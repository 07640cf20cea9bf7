"""A database that the applier has locked for this node, as the node sees it.

The rule: the locks are the applier process's (exclusive.py); if it dies they are gone, and each call says so.
"""

from collections.abc import Callable
from pathlib import Path

from pylitefs.errors import ApplierError
from pylitefs.mount.applier.child import CallChannel, Child, Died
from pylitefs.mount.applier.messages import Message


class WriteLock:
    """Every lock on one database, held by the applier for this node: nobody reads or writes it."""

    def __init__(
        self,
        child: Child,
        channel: CallChannel,
        database: str,
        index: bytes,
        *,
        may_adopt: bool,
        trace: Callable[[str, Message], None],
    ) -> None:
        """`trace` tells of an apply."""
        self.index = index
        """The head of the WAL index as it was when the locks were had; b"" in a rollback mode."""
        self.may_adopt = may_adopt
        """Observed locks are on the data file that was opened; the kernel's are on the name in the mount."""
        self._trace = trace
        self._child = child
        self._channel = channel
        self._database = database

    def apply(self, ltx_path: Path, *, remove_wal: bool = True, verified: bool = False) -> None:
        """Write one LTX file's pages; a journal is removed and the WAL emptied, with `remove_wal` unseen.

        Raises ApplierError if the applier died meanwhile: the locks are lost and the database may be half
        written. Hand the file to `Applier.apply`.
        """
        request: Message = {
            "op": "apply_locked",
            "db": self._database,
            "path": str(ltx_path),
            "remove_wal": remove_wal,
            "verified": verified,
        }
        self._trace(self._database, held_call(self._channel, request, self._database))

    def adopt(self, ltx_path: Path) -> None:
        """Another file has the database's name, with all that the LTX file says. Errors as in `apply`."""
        request: Message = {
            "op": "apply_locked",
            "db": self._database,
            "path": str(ltx_path),
            "adopted": True,
        }
        held_call(self._channel, request, self._database)

    def check(self) -> None:
        """Raise ApplierError if the locks are lost because the applier died."""
        if self._child.process.poll() is not None:
            raise _lost(self._database)


def held_call(channel: CallChannel, request: Message, database: str) -> Message:
    """A call on a channel that holds locks. ApplierError where they are gone."""
    try:
        return channel.call(request)
    except Died:
        raise _lost(database) from None


def _lost(database: str) -> ApplierError:
    return ApplierError(
        f"the locks on {database} are lost: the applier process ended while it held them. "
        "It is started again; repeat what was under way"
    )
