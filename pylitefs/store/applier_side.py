"""What the applier does to a database's files: it ends what the past has left, and nothing of a client's.

The rule: locks alone prove nothing. A journal that has content, and that a client has open, is a writer's,
whatever the locks say; so the applier is refused.
"""

import errno
import time

from pylitefs.store.copies import RELEASE_S
from pylitefs.store.disk_state import refusal
from pylitefs.store.names import FileKind
from pylitefs.store.open_files import OpenFiles
from pylitefs.store.rollback import RollbackWatch
from pylitefs.store.state import DatabaseState, settling
from pylitefs.store.wal_watch import WalWatch


class ApplierSide:
    """One database, as its applier's calls see it."""

    def __init__(
        self, state: DatabaseState, files: OpenFiles, rollback: RollbackWatch, wal: WalWatch
    ) -> None:
        self._state = state
        self._files = files
        self._rollback = rollback
        self._wal = wal

    def check_left(self, what: str) -> None:
        """Before the applier touches a journal: EBUSY if it has content and a client has it open.

        A killed writer's is open for as long as the kernel takes to tell of the end, so that is waited for.
        """
        if self.wait_for_writers(RELEASE_S):
            return
        name, why = self._state.name, "a client has it open with a transaction in it"
        remedy = "try again when that client has ended its transaction"
        self._state.node.refuse(name, f"{what} {name}-journal", why, remedy)
        raise refusal(errno.EBUSY, why)

    def wait_for_writers(self, seconds: float) -> bool:
        """Wait until no client has a journal open that has content; False if that takes longer."""
        deadline = time.monotonic() + seconds
        while self._rollback.journal_live and self._files.any(FileKind.JOURNAL):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.002)
        return True

    def truncates(self, kind: FileKind, size: int) -> None:
        """It is about to change a file's length; the state's lock is held."""
        if size == 0:
            self._ends(kind, "truncate")

    def removes(self, kind: FileKind) -> None:
        """It is about to unlink a file; the state's lock is held."""
        self._ends(kind, "delete")
        if kind is FileKind.DATABASE:
            self._rollback.forget()

    def _ends(self, kind: FileKind, how: str) -> None:
        if kind is FileKind.WAL:
            self._wal.end_pending()
            self._wal.tracker.reset(self._state.sums.page_count)
        elif kind is FileKind.JOURNAL:
            # Its SQLite rolled a killed writer's transaction back: free pages may hold other bytes now. (An
            # import that is being written replaces every page, and its LTX file is there already.)
            state = self._state
            written = state.node.status.is_primary or state.follows or self._rollback.dirty
            if written and not state.applying:
                with settling(state):
                    self._rollback.rolled_back()
                    self._rollback.end_journal(how)
            self._rollback.forget()
