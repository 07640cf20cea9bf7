"""`GET /metrics`: the figures of real LiteFS, under its names, computed when they are asked for.

The rule: what the store knows is read from the store at scrape time, so no commit pays for a metric.
Counters here keep LiteFS's names, which lack the `_total` that prometheus_client would append; hence the
few lines that write the text format. Format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from pylitefs.replication.behind import Behind, most
from pylitefs.store.status import Status
from pylitefs.store.store import Store

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_WRITES = {"database": "database", "journal": "journal", "shm": "shared memory", "wal": "WAL"}

Row = tuple[Mapping[str, str], float]


class Metrics:
    """Collects and prints. `streams` and `subscribers` count connections; `latencies` are a replica's;
    `behind` is what each connected replica lacks."""

    def __init__(
        self,
        store: Store,
        *,
        streams: Callable[[], int],
        subscribers: Callable[[], int],
        latencies: Callable[[], Mapping[str, float]] = dict,
        behind: Callable[[], Mapping[str, Mapping[str, Behind]]] = dict,
    ) -> None:
        self._frames: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_StoreCollector(store, latencies))
        self._registry.register(_NodeCollector(store.status, streams, subscribers, self._frame_rows))
        self._registry.register(_BehindCollector(behind))
        ProcessCollector(registry=self._registry)

    def count_frame(self, database: str, kind: str) -> None:
        """A frame of type `kind` (`ltx`, `ltx:snapshot`, `heartbeat`, ...) was sent."""
        with self._lock:
            self._frames[database, kind] += 1

    def _frame_rows(self) -> list[Row]:
        with self._lock:
            return [({"db": db, "type": kind}, value) for (db, kind), value in sorted(self._frames.items())]

    def text(self) -> str:
        """The Prometheus text format; blocks for the disk."""
        return "".join(_lines(self._registry.collect()))


class _StoreCollector(Collector):
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
        txids = {db: pos.txid for db, pos in positions.items()}
        yield gauge("litefs_db_txid", "Current transaction ID.", txids)


class _BehindCollector(Collector):
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


class _NodeCollector(Collector):
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


def _lines(metrics: Iterable[Metric]) -> Iterator[str]:
    for metric in sorted(metrics, key=lambda one: one.name):
        if not metric.samples:
            continue
        name = metric.samples[0].name
        yield f"# HELP {name} {_escape(metric.documentation)}\n# TYPE {name} {metric.type}\n"
        for sample in metric.samples:
            labels = [f'{key}="{_escape(text, quote=True)}"' for key, text in sorted(sample.labels.items())]
            yield f"{sample.name}{'{' + ','.join(labels) + '}' if labels else ''} {_number(sample.value)}\n"


def _escape(text: str, *, quote: bool = False) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quote else text


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
