"""When each replica had each transaction: what the demo prints, one line a transaction.

The rule: no I/O and no clock here. Events come in, each with the time at which it was heard. Finished
transactions come out, in the order of their TXIDs. One process hears all nodes, so its delay in hearing is in
every time, and cancels out of the differences.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass
class Transaction:
    """One transaction of the primary. Times are monotonic seconds."""

    database: str
    txid: int
    page_count: int
    """Pages of the database after it; 0 when it was dropped."""
    on_primary: float
    on_replicas: dict[str, float] = field(default_factory=dict)

    def delay_ms(self, replica: str) -> float | None:
        """Milliseconds after the primary; 0 at least, for the two streams may overtake each other."""
        had = self.on_replicas.get(replica)
        return None if had is None else max((had - self.on_primary) * 1000, 0.0)


class Arrivals:
    """Matches the events of a primary and its replicas. A replica that stays silent is given up on after
    `patience` seconds, so that one stopped node does not stop the lines."""

    def __init__(self, replicas: Sequence[str], patience: float = 3.0) -> None:
        self.replicas = tuple(replicas)
        self.patience = patience
        self.away: frozenset[str] = frozenset()
        """Replicas that are known to be down: nobody waits for them."""
        self._waiting: dict[str, list[Transaction]] = {}
        self._early: dict[tuple[str, str], list[tuple[int, float]]] = {}

    def on_primary(self, database: str, txid: int, page_count: int, now: float) -> None:
        """The primary has committed `txid`."""
        transaction = Transaction(database, txid, page_count, now)
        for replica in self.replicas:
            early = self._early.get((database, replica), [])
            while early and early[0][0] < txid:
                early.pop(0)
            if early:
                transaction.on_replicas[replica] = early[0][1]
        self._waiting.setdefault(database, []).append(transaction)

    def on_replica(self, replica: str, database: str, txid: int, now: float) -> None:
        """`replica` has `txid`, and with it every one before (a snapshot stands for many)."""
        for transaction in self._waiting.get(database, ()):
            if transaction.txid <= txid:
                transaction.on_replicas.setdefault(replica, now)
        self._early.setdefault((database, replica), []).append((txid, now))

    def finished(self, now: float) -> Iterator[Transaction]:
        """The transactions that every replica has or that were waited for long enough; each once."""
        for waiting in self._waiting.values():
            while waiting and self._is_finished(waiting[0], now):
                yield waiting.pop(0)

    def rest(self) -> Iterator[Transaction]:
        """All that is waited for: no more will be heard of it."""
        for waiting in self._waiting.values():
            yield from waiting
        self._waiting.clear()

    def _is_finished(self, transaction: Transaction, now: float) -> bool:
        missing = set(self.replicas) - self.away - transaction.on_replicas.keys()
        return not missing or now - transaction.on_primary > self.patience
