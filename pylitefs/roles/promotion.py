"""A node that is to be the primary from its start (`lease.promote`).

The rule: it follows first, until it has caught up. If it is not the primary soon after that, its start fails.
"""

import threading
import time
from collections.abc import Callable
from typing import Protocol

from pylitefs.errors import PylitefsError
from pylitefs.http.turnover import TurnoverError
from pylitefs.store.status import Status

PROMOTE_S = 10.0
LOOK_S = 0.02


class Promoting(Protocol):
    """What asks the primary for its lease: `RoleLoop`."""

    def promote(self) -> None: ...


def promote_at_start(
    status: Status, roles: Promoting, ended: threading.Event, on_failure: Callable[[Exception], None]
) -> None:
    """Wait until the node has caught up, and make it the primary. For a thread of its own."""
    try:
        while not status.ready:
            if ended.wait(LOOK_S):
                return
        _promote(status, roles, ended)
    except PylitefsError as error:
        on_failure(error)
    finally:
        status.promoting = False


def _promote(status: Status, roles: Promoting, ended: threading.Event) -> None:
    end = time.monotonic() + PROMOTE_S
    if not status.is_primary:
        roles.promote()
    while not status.is_primary and not ended.wait(LOOK_S):
        if time.monotonic() > end:
            raise TurnoverError(f"lease.promote: this node is not the primary after {PROMOTE_S:g} s")
