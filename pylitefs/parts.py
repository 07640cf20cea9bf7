"""The parts of a node, each made from the config: what node.py wires together.

The rule: a part that the config does not ask for is neither made nor loaded. So each import stands in the
function that needs it, where the mount can do without the part.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pylitefs.config import Config
from pylitefs.config.backup import backup_path
from pylitefs.store.halt_holder import HaltHolder
from pylitefs.store.retention import Limits
from pylitefs.store.status import Status
from pylitefs.store.store import Store
from pylitefs.trace import Tracer

if TYPE_CHECKING:
    from pylitefs.backup.task import Backup
    from pylitefs.http.halt_client import HaltClient
    from pylitefs.http.proxy import Proxy
    from pylitefs.lease.base import Lease
    from pylitefs.mount.observed.lock_table import LockTable
    from pylitefs.mount.operations import MountOperations
    from pylitefs.replication.replica import Replica

SHORTEST_SILENCE_S = 2.5
"""Heartbeats come every second."""


def make_status(config: Config) -> Status:
    """What the node knows of itself."""
    candidate = config.lease.candidate
    may_write = candidate or config.lease.halt_on_write
    writable = {"auto": may_write, "read-only": False, "writable": True}[config.fuse.replica_wal]
    return Status(candidate=candidate, wal_stays_writable=writable)


def make_store(config: Config, tracer: Tracer, status: Status) -> Store:
    """The node's databases, not opened yet."""
    data = config.data
    behind = (data.retention_behind_files, data.retention_behind_bytes)
    store = Store(
        data.dir,
        tracer=tracer,
        status=status,
        compress=data.compress,
        retention=Limits(data.retention, *behind, until_backed_up=backup_path(config) is not None),
        monitor_interval_s=data.retention_monitor_interval,
        snapshot_timeout_s=config.http.snapshot_timeout,
    )
    store.pace.enabled = data.pace
    return store


def make_backup(config: Config, store: Store, on_level: Callable[[], None]) -> "Backup | None":
    """`on_level` is called once what the backup has is here; None where the config has no backup."""
    path = backup_path(config)
    if path is None:
        return None
    from pylitefs.backup.task import Backup

    made = Backup(
        store,
        path,
        delay=config.backup.delay,
        full_sync_interval=config.backup.full_sync_interval,
        compress=config.data.compress,
        on_level=on_level,
    )
    store.status.backup = made.state
    return made


def make_lock_table() -> "LockTable":
    """For a mount that is told of every lock."""
    from pylitefs.mount.observed.lock_table import LockTable

    return LockTable()


def make_halt_holder(config: Config, store: Store) -> HaltHolder:
    """Takes HALT locks on a replica; what asks the primary is loaded when one is wanted."""

    def client() -> "HaltClient":
        from pylitefs.http.halt_client import HaltClient

        return HaltClient(store.node_id_text, config.http.shown_token)

    return HaltHolder(store, client, acquire_timeout=config.lease.halt_acquire_timeout)


def make_mount_operations(
    config: Config,
    store: Store,
    is_applier: Callable[[int], bool],
    locks: "LockTable | None",
    halts: HaltHolder | None = None,
) -> "MountOperations":
    """What the kernel's calls do. `is_applier(thread id)`: whether the node's own applier calls. `halts`
    takes HALT locks for clients."""
    if locks is None:
        from pylitefs.mount.moments import make_operations

        made = make_operations(store, is_applier, moments=config.fuse.moments)
        made.halts = halts
        return made
    from pylitefs.mount.observed.operations import ObservedOperations

    observed = ObservedOperations(store, is_applier, locks)
    observed.halts = halts
    if halts is not None and config.lease.halt_on_write:
        from pylitefs.mount.observed.on_write import HaltOnWrite

        observed.on_write = HaltOnWrite(store, halts)
    return observed


def make_proxy(config: Config, store: Store, forward: str) -> "Proxy | None":
    """None where the config has no proxy."""
    if not config.proxy.addr:
        return None
    from pylitefs.http.proxy import Proxy

    return Proxy(store, config.proxy, forward=forward)


def make_replica(
    config: Config,
    store: Store,
    lease: "Lease",
    *,
    own_url: str,
    on_fatal: Callable[[Exception], None],
    on_change: Callable[[], None],
) -> "Replica":
    """Who follows the primary that the lease names. `own_url`: of a node that may become the primary."""
    from pylitefs.replication.replica import SILENCE_S, Replica

    silence = SILENCE_S
    if own_url:  # A primary that is not heard of for longer than its lease is none.
        silence = min(silence, max(SHORTEST_SILENCE_S, config.lease.consul.ttl))
    return Replica(
        store,
        lease.primary,
        databases=config.lease.databases,
        reconnect_delay=config.lease.reconnect_delay,
        silence=silence,
        token=config.http.shown_token,
        own_url=own_url,
        on_fatal=on_fatal,
        on_change=on_change,
    )
