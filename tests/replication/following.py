"""A replica at work in a test, and what it called back."""

from collections.abc import Iterator
from contextlib import contextmanager

from pylitefs.lease.static import PrimaryInfo
from pylitefs.replication.frames import Heartbeat, Ready
from pylitefs.replication.replica import Replica
from pylitefs.store.store import Store

READY = Ready().pack() + Heartbeat(1_700_000_000_000).pack()


class Following:
    """A replica at work, and what it called back."""

    def __init__(self, store: Store, info: PrimaryInfo, databases: tuple[str, ...], silence: float) -> None:
        self.store = store
        self.fatal: list[Exception] = []
        self.changes: list[str | None] = []
        self.replica = Replica(
            store,
            lambda: info,
            databases=databases,
            reconnect_delay=0.05,
            on_fatal=self.fatal.append,
            on_change=lambda: self.changes.append(store.status.primary_hostname),
            silence=silence,
        )


@contextmanager
def following(
    store: Store, info: PrimaryInfo, *, databases: tuple[str, ...] = (), silence: float = 5.0
) -> Iterator[Following]:
    following = Following(store, info, databases, silence)
    following.replica.start()
    try:
        yield following
    finally:
        assert following.replica.stop()
        assert store.status.primary_hostname is None
