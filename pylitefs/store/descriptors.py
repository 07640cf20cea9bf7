"""The node's own descriptors on data files: a few databases' stay open, those last used.

The rule: a descriptor is used, and closed, only under its database's lock. A thread that opens one holds its
own database's lock and may have to close another's. It only tries that other lock. So a database at work
keeps what it has open, and nobody waits for it.
"""

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Protocol

from pylitefs.limits import is_shortage, most_databases
from pylitefs.store.files import open_data


class Owner(Protocol):
    """A database's state."""

    @property
    def lock(self) -> threading.RLock: ...

    used: bool
    """Whether a descriptor was used since it was last asked to give them up."""

    def close(self) -> None:
        """Close its descriptors. Its lock is held."""


class Descriptors:
    """Which databases of one node have descriptors open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owners: OrderedDict[Owner, None] = OrderedDict()

    def open(self, owner: Owner, path: Path) -> int:
        """Open a data file for a database whose lock is held. FileNotFoundError if there is none."""
        try:
            fd = open_data(path)
        except OSError as error:
            if not is_shortage(error):
                raise
            self._make_room(owner, 0)
            fd = open_data(path)
        with self._lock:
            self._owners[owner] = None
        if len(self._owners) > (most := most_databases()):
            self._make_room(owner, most)
        return fd

    def forget(self, owner: Owner) -> None:
        """It has none any more."""
        with self._lock:
            self._owners.pop(owner, None)

    def _make_room(self, user: Owner, most: int) -> None:
        """Have databases give their descriptors up until `most` have any: not those at work, nor the user."""
        with self._lock:
            owners = list(self._owners)
        for spare in (lambda owner: owner.used, lambda owner: False):
            for owner in owners:
                if len(self._owners) <= most:
                    return
                if owner is user:
                    continue
                if spare(owner):
                    owner.used = False  # A second chance: it was used since the last time.
                elif owner.lock.acquire(blocking=False):
                    try:
                        owner.close()
                    finally:
                        owner.lock.release()
