"""A HALT lock that this node, a replica, has of its primary: with it clients' writes here are transactions.

    client --commit--> capture --> HeldHalt.forward --/tx--> primary --stream--> everybody, also back to here

The rules: what the primary has not taken is no transaction here. If it cannot be known whether it has (its
answer is lost), the stream tells: the transaction comes back on it, and whatever the client was told, this
node then has what the primary has. Any trouble ends the lock, so that nobody writes on top of a doubt.
"""

import errno
import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

from pylitefs.errors import PylitefsError, RemoteError
from pylitefs.ltx.header import Header
from pylitefs.ltx.position import Pos
from pylitefs.store.database import Database
from pylitefs.store.disk_state import refusal
from pylitefs.store.status import lease_clock, lease_clock_stands

log = logging.getLogger("pylitefs")

ECHO_S = 2.0
"""If the primary's answer is lost, the transaction itself may come over the stream: within this time."""
LOOK_S, MOST_LOOK_S = 0.001, 0.05
"""Who waits looks that often at first, and less and less often."""
HEARD_S = 20.0
"""Longer than a commit waits for its answer."""


class UnsureError(RemoteError):
    """No answer came: the primary may have done what was asked of it."""


class UnreachableError(UnsureError):
    """The primary was not reached: it has not done it."""


@dataclass(frozen=True, slots=True)
class Granted:
    """The primary's answer: its position, and until when, in nanoseconds of its wall clock."""

    pos: Pos
    expires: int


class PrimaryCalls(Protocol):
    """Asks the primary at a URL. RemoteError with what it says; UnsureError if nothing came."""

    def acquire(self, url: str, name: str, lock_id: int, timeout: float) -> Granted: ...
    def release(self, url: str, name: str, lock_id: int) -> None: ...
    def commit(self, url: str, name: str, lock_id: int, ltx: Path) -> None: ...


class HeldHalt:
    """One lock. `forward` is for who captures a transaction, with the state's lock held."""

    def __init__(self, calls: PrimaryCalls, end: "End", database: Database, lock_id: int, url: str) -> None:
        self.id = lock_id
        self.url = url
        self.database = database
        self.everything = ExitStack()
        self.deadline = 0.0
        """On the lease's clock."""
        self.renew_at = 0.0
        self.granted = Granted(Pos(), 0)
        self.quick = False
        """It is for one transaction."""
        self.over = ""
        """Why it is."""
        self.sending = 0
        """The TXID that is on its way to the primary."""
        self._came_back = threading.Event()
        self._calls = calls
        self._end = end

    @property
    def name(self) -> str:
        return self.database.name

    @property
    def is_live(self) -> bool:
        """Whether a transaction may be made with it."""
        return not self.over and lease_clock() < self.deadline

    def forward(self, header: Header, ltx: Path) -> None:
        """Send a transaction to the primary. OSError, and this lock is over, unless the primary has it."""
        self.sending = header.max_txid
        self._came_back.clear()
        tracer = self.database.state.node.tracer
        if tracer.active:
            tracer.emit("tx.forward", self.name, header.max_txid, path=str(ltx), id=self.id)
        try:
            self._calls.commit(self.url, self.name, self.id, ltx)
        except UnsureError as error:
            if not isinstance(error, UnreachableError) and self._came_back.wait(ECHO_S):
                log.info("%s: the answer to TXID %d was lost; the primary has it", self.name, self.sending)
                return
            self._fail(f"it is not known whether the primary has the transaction: {error}")
        except (PylitefsError, OSError) as error:
            self._fail(f"the primary does not take the transaction: {error}")

    def fail(self, why: str) -> None:
        """It is over, since this node does not have what the primary has, or may have."""
        self.sending = 0
        self._end(self, why)

    def _fail(self, why: str) -> NoReturn:
        self.fail(why)
        state = self.database.state
        state.node.refuse(self.name, "a commit", why, "read the database again and repeat the transaction")
        raise refusal(errno.EIO, why)

    def arrives(self, header: Header) -> None:
        """An LTX file of this database comes over the stream, in the stream's thread.

        If it is the one that was just sent, this waits until the client's commit has come to its end.
        Any other one means that the primary has given the lock to somebody else.
        """
        state = self.database.state
        if header.node_id == state.node.node_id and header.max_txid <= state.pos.txid:
            return
        if header.node_id == state.node.node_id and header.max_txid == self.sending:
            self._came_back.set()
            end, pause = time.monotonic() + HEARD_S, LOOK_S
            while self.sending == header.max_txid and state.pos.txid < header.max_txid:
                if time.monotonic() > end and not lease_clock_stands():
                    break
                time.sleep(pause)
                pause = min(pause * 1.2, MOST_LOOK_S)
            return
        self._end(self, "a transaction of somebody else's arrived: the primary has ended the lock")


End = Callable[[HeldHalt, str], None]
"""end(held, why): it is over."""
