"""What each node tells of its transactions, and when: `GET /events`, heard side by side.

The rule: one process hears all nodes, with one clock. Its own delay is in every time, and cancels out of the
differences.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from pylitefs.errors import RemoteError
from pylitefs.http import client

_RETRY_S = 0.05


@dataclass(frozen=True, slots=True)
class Heard:
    """One event; `at` is monotonic seconds."""

    type: str
    database: str
    data: Mapping[str, object]
    at: float

    @property
    def txid(self) -> int:
        return int(str(self.data.get("txID", "0")), 16)

    def summary(self) -> str:
        """What must be the same on two systems: not the time."""
        fields = ("postApplyChecksum", "pageSize", "commit")
        return " ".join(str(self.data.get(name)) for name in fields)


class Ear:
    """Listens to one node until closed, also across its restarts."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._heard: list[Heard] = []
        self._passed: dict[str, int] = {}
        self._closed = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        self._closed.set()

    def heard(self, database: str) -> list[Heard]:
        """The transactions of a database, in the order in which they came."""
        passed = self.passed(database)
        return [
            one
            for one in list(self._heard)
            if one.type == "tx" and one.database == database and one.txid > passed
        ]

    def pass_over(self, positions: Mapping[str, int]) -> None:
        """Forget each database's transactions up to a TXID: the node was started anew, and which of them it
        tells depends on who came first, they or the listener."""
        self._passed.update(positions)

    def passed(self, database: str) -> int:
        return self._passed.get(database, 0)

    def first(self) -> Mapping[str, object] | None:
        """The data of the first `init`."""
        return next((one.data for one in list(self._heard) if one.type == "init"), None)

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                for event in client.events(self._url):
                    if self._closed.is_set():
                        return
                    self._note(event)
            except RemoteError:
                pass
            self._closed.wait(_RETRY_S)

    def _note(self, event: Mapping[str, object]) -> None:
        data = event.get("data")
        facts = data if isinstance(data, dict) else {}
        self._heard.append(Heard(str(event.get("type")), str(event.get("db", "")), facts, time.monotonic()))
