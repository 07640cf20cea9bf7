"""The figures of `/metrics` in prometheus_client's own words; their text is test_metrics.py's."""

from pathlib import Path

from pylitefs.http.collectors import NodeCollector, StoreCollector, make_registry
from tests.replication.stores import Writer, opened


def test_a_registry_has_the_figures_of_its_collectors_and_of_the_process(tmp_path: Path) -> None:
    """Each asked once, when they are collected."""
    with opened(tmp_path / "data", primary=True) as store:
        Writer(store, "a.db").commit({1: 1})
        nodes = NodeCollector(store.status, lambda: 2, lambda: 3, lambda: [({"db": "a.db"}, 1)])
        found = {one.name: one for one in make_registry(StoreCollector(store, dict), nodes).collect()}
    assert found["litefs_db_txid"].samples[0].labels == {"db": "a.db"}
    assert found["litefs_db_txid"].samples[0].value == 1
    assert found["litefs_http_stream_count"].samples[0].value == 2
    assert any(name.startswith("process_") for name in found)
