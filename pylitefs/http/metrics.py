"""`GET /metrics`: the figures of real LiteFS, under its names, computed when they are asked for.

The rule: what the store knows is read from the store at scrape time, so no commit pays for a metric.
Counters here keep LiteFS's names, which lack the `_total` that prometheus_client would append; hence the
few lines that write the text format. Format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from pylitefs.replication.behind import Behind
from pylitefs.store.store import Store

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from pylitefs.http.collectors import Row

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


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
        self._store = store
        self._streams = streams
        self._subscribers = subscribers
        self._latencies = latencies
        self._behind = behind

    def count_frame(self, database: str, kind: str) -> None:
        """A frame of type `kind` (`ltx`, `ltx:snapshot`, `heartbeat`, ...) was sent."""
        with self._lock:
            self._frames[database, kind] += 1

    def _frame_rows(self) -> "list[Row]":
        with self._lock:
            return [({"db": db, "type": kind}, value) for (db, kind), value in sorted(self._frames.items())]

    def text(self) -> str:
        """The Prometheus text format; blocks for the disk."""
        return "".join(_lines(self._registry().collect()))

    def _registry(self) -> "CollectorRegistry":
        """Loaded when somebody asks: nothing here has a memory but the frames counted above."""
        from pylitefs.http.collectors import (
            BackupCollector,
            BehindCollector,
            NodeCollector,
            StoreCollector,
            make_registry,
        )

        return make_registry(
            StoreCollector(self._store, self._latencies),
            NodeCollector(self._store.status, self._streams, self._subscribers, self._frame_rows),
            BehindCollector(self._behind),
            BackupCollector(self._store),
        )


def _lines(metrics: "Iterable[Metric]") -> Iterator[str]:
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
