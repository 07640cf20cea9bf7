"""What `GET /metrics` tells of: the store, the node, and the replicas that are behind.

The rule: this is loaded when somebody asks for the first time: prometheus_client alone is a tenth of what a
node would load.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from pylitefs.replication.behind import Behind, most
from pylitefs.store.status import Status
from pylitefs.store.store import Store

_WRITES = {"database": "database", "journal": "journal", "shm": "shared memory", "wal": "WAL"}

Row = tuple[Mapping[str, str], float]


class StoreCollector(Collector):
    """Figures of databases, one row each."""

    def __init__(self, store: Store, latencies: Callable[[], Mapping[str, float]]) -> None:
        self._store = store
        self._latencies = latencies

    def collect(self) -> Iterator[Metric]:
        positions = dict(sorted(self._store.positions().items()))
        databases = {name: found for name in positions if (found := self._store.get(name)) is not None}

        def counter(name: str, kind: str, documentation: str) -> Metric:
            rows: list[Row] = [
                ({"db": db}, database.state.counts.get(kind, 0))
                for db, database in databases.items()
                if kind == "commit" or kind in database.state.counts
            ]
            return _metric(name, "counter", documentation, rows)

        def gauge(name: str, documentation: str, values: Mapping[str, float]) -> Metric:
            rows: list[Row] = [({"db": db}, value) for db, value in values.items()]
            return _metric(name, "gauge", documentation, rows)

        latencies = self._latencies()
        files = {db: database.ltx_files() for db, database in databases.items()}
        yield counter("litefs_db_commit_count", "commit", "Number of database commits.")
        yield _metric("litefs_db_count", "gauge", "Number of managed databases.", [({}, len(positions))])
        aside = [({"db": db}, 1) for db in sorted(self._store.set_aside)]
        yield _metric(
            "pylitefs_db_set_aside", "gauge", "Databases that cannot be recovered or served.", aside
        )
        trouble = int(self._store.disk.code != 0)
        yield _metric("pylitefs_disk_trouble", "gauge", "Whether the disk takes no writes.", [({}, trouble)])
        for kind, what in _WRITES.items():
            yield counter(f"litefs_db_{kind}_write_count", kind, f"Number of writes to the {what} file.")
        yield gauge(
            "litefs_db_lag_seconds",
            "Latency between generating an LTX file and consuming it.",
            {db: latencies.get(db, 0) for db in positions},
        )
        yield gauge(
            "litefs_db_ltx_bytes",
            "Number of bytes used by LTX files on disk.",
            {
                db: sum(database.state.ltx.size(*span) for span in files[db])
                for db, database in databases.items()
            },
        )
        yield gauge(
            "litefs_db_ltx_count",
            "Number of LTX files on disk.",
            {db: len(spans) for db, spans in files.items()},
        )
        yield gauge(
            "pylitefs_db_halted",
            "Whether the HALT lock is held, by this replica, or by a replica of this primary.",
            {
                db: int(database.state.is_halted or database.state.halted_by is not None)
                for db, database in databases.items()
            },
        )
        txids = {db: pos.txid for db, pos in positions.items()}
        yield gauge("litefs_db_txid", "Current transaction ID.", txids)


class BehindCollector(Collector):
    """What connected replicas lack: a row for each of a replica's databases that lacks something, and one for
    each replica's longest wait."""

    def __init__(self, behind: Callable[[], Mapping[str, Mapping[str, Behind]]]) -> None:
        self._behind = behind

    def collect(self) -> Iterator[Metric]:
        found = sorted(self._behind().items())
        rows = [({"node": peer, "db": db}, one) for peer, all_of in found for db, one in all_of.items()]
        yield _metric(
            "pylitefs_replica_behind_txids",
            "gauge",
            "Transactions that wait to be sent to a connected replica.",
            [(labels, one.transactions) for labels, one in rows],
        )
        yield _metric(
            "pylitefs_replica_behind_bytes",
            "gauge",
            "Bytes that wait to be sent to a connected replica.",
            [(labels, one.size) for labels, one in rows],
        )
        yield _metric(
            "pylitefs_replica_behind_seconds",
            "gauge",
            "Age of the oldest transaction that waits to be sent to a connected replica.",
            [({"node": peer}, most(behind)[1]) for peer, behind in found],
        )


class BackupCollector(Collector):
    """How far a primary's backup is. Nothing where none is configured."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        state = self._store.status.backup
        if state is None:
            return
        marks: list[Row] = [
            ({"db": name}, database.state.high_water_mark)
            for name in sorted(self._store.positions())
            if (database := self._store.get(name)) is not None
        ]
        yield _metric("pylitefs_backup_hwm", "gauge", "TXID up to which the backup has a database.", marks)
        for name, kind, documentation, value in (
            ("trouble", "gauge", "Databases, or the whole, that cannot be backed up.", len(state.troubles())),
            ("write_count", "counter", "LTX files written into the backup.", state.files),
            ("write_bytes", "counter", "Bytes written into the backup.", state.size),
            ("restore_count", "counter", "Databases restored from the backup.", state.restores),
            ("level_timestamp_seconds", "gauge", "When the backup was last level.", state.level_at),
        ):
            yield _metric(f"pylitefs_backup_{name}", kind, documentation, [({}, value)])


class NodeCollector(Collector):
    """Figures of the node as a whole."""

    def __init__(
        self,
        status: Status,
        streams: Callable[[], int],
        subscribers: Callable[[], int],
        frames: Callable[[], list[Row]],
    ) -> None:
        self._status = status
        self._streams = streams
        self._subscribers = subscribers
        self._frames = frames

    def collect(self) -> Iterator[Metric]:
        status = self._status
        yield _metric("litefs_http_frame_send_count", "counter", "Number of frames sent.", self._frames())
        for name, documentation, value in (
            ("litefs_http_stream_count", "Number of streams currently connected.", self._streams()),
            ("litefs_is_primary", "Primary status of the node.", int(status.is_primary)),
            ("litefs_lag_seconds", "Lag behind the primary node, in seconds", status.lag_ms() / 1000),
            ("litefs_subscriber_count", "Number of connected subscribers", self._subscribers()),
        ):
            yield _metric(name, "gauge", documentation, [({}, value)])


def _metric(name: str, kind: str, documentation: str, rows: Iterable[Row]) -> Metric:
    metric = Metric(name, documentation, kind)
    for labels, value in rows:
        metric.add_sample(name, dict(labels), value)
    return metric


def make_registry(*collectors: Collector) -> CollectorRegistry:
    """These, and the process's own figures."""
    registry = CollectorRegistry(auto_describe=False)
    for collector in collectors:
        registry.register(collector)
    ProcessCollector(registry=registry)
    return registry
