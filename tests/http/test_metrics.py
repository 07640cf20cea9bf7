"""`/metrics`: real LiteFS's names, types and words, with this node's figures."""

import shutil
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from pylitefs.http.metrics import Metrics
from pylitefs.replication.behind import Behind
from pylitefs.replication.frames import Ready, encode_positions
from pylitefs.store.backup_state import BackupState
from pylitefs.store.store import Store
from tests.golden.recordings import DATA
from tests.replication.stores import Writer, opened, serving


def descriptions(text: str) -> set[str]:
    """The HELP and TYPE lines of LiteFS's own metrics."""
    return {line for line in text.splitlines() if line.startswith(("# HELP litefs_", "# TYPE litefs_"))}


def values(text: str) -> dict[str, float]:
    """Every sample of LiteFS's own metrics."""
    lines = (line for line in text.splitlines() if line.startswith("litefs_"))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def metrics(store: Store) -> Metrics:
    return Metrics(store, streams=lambda: 2, subscribers=lambda: 3, latencies=lambda: {"made.db": 0.25})


def test_names_types_and_words_are_real_litefs(tmp_path: Path) -> None:
    """Every metric of the recording, described in the same words."""
    with opened(tmp_path / "primary", primary=True) as store:
        Writer(store).commit({1: 1})
        counts = store.get("made.db").state.counts  # type: ignore[union-attr]
        counts.update(database=1, journal=1, wal=1, shm=1)
        collected = metrics(store)
        collected.count_frame("made.db", "ltx")
        assert descriptions(collected.text()) == descriptions((DATA / "lz4" / "metrics.txt").read_text())


def test_figures_of_a_recorded_data_directory(tmp_path: Path) -> None:
    """TXIDs and numbers of LTX files as recorded; their bytes are all of them, not the newest alone."""
    directory = tmp_path / "primary"
    for name in ("wal.db", "delete.db"):
        target = directory / "dbs" / name
        shutil.copytree(DATA / "plain" / name / "ltx", target / "ltx")
        shutil.copyfile(DATA / "plain" / name / "export.db", target / "database")
    recorded = values((DATA / "plain" / "metrics.txt").read_text())
    with opened(directory, primary=True) as store:
        found = values(metrics(store).text())
    for figure in ("litefs_db_txid", "litefs_db_ltx_count"):
        for name in ("wal.db", "delete.db"):
            sample = f'{figure}{{db="{name}"}}'
            assert found[sample] == recorded[sample]
    size = sum(path.stat().st_size for path in (DATA / "plain" / "wal.db" / "ltx").iterdir())
    assert found['litefs_db_ltx_bytes{db="wal.db"}'] == size
    assert found["litefs_db_count"] == 2


def test_what_replicas_lack_has_a_row_each(tmp_path: Path) -> None:
    """Ours: for each database that lacks something, and for each replica its longest wait."""
    lacks = {"AA": {"a.db": Behind(7, 4096, 2.5), "b.db": Behind(1, 10, 12.0)}, "BB": {}}
    with opened(tmp_path / "primary", primary=True) as store:
        text = Metrics(store, streams=lambda: 2, subscribers=lambda: 2, behind=lambda: lacks).text()
    rows = {line for line in text.splitlines() if line.startswith("pylitefs_replica_behind_")}
    assert rows == {
        'pylitefs_replica_behind_txids{db="a.db",node="AA"} 7',
        'pylitefs_replica_behind_txids{db="b.db",node="AA"} 1',
        'pylitefs_replica_behind_bytes{db="a.db",node="AA"} 4096',
        'pylitefs_replica_behind_bytes{db="b.db",node="AA"} 10',
        'pylitefs_replica_behind_seconds{node="AA"} 12',
        'pylitefs_replica_behind_seconds{node="BB"} 0',
    }


def test_the_text_is_prometheus(tmp_path: Path) -> None:
    """Its own parser reads it, with odd names too."""
    with opened(tmp_path / "primary", primary=True) as store:
        name = 'odd "name" \\ of a.db'
        Writer(store, name).commit({1: 1})
        families = {one.name: one for one in text_string_to_metric_families(metrics(store).text())}
        (sample,) = families["litefs_db_txid"].samples
        assert sample.labels == {"db": name}
        assert "process_cpu_seconds" in families


def test_the_figures_of_the_node(tmp_path: Path) -> None:
    """Role, lag, connections, the replica's latency."""
    with opened(tmp_path / "replica") as store:
        Writer(store).commit({1: 1})
        found = values(metrics(store).text())
    assert found["litefs_is_primary"] == 0
    assert found["litefs_lag_seconds"] == 2147483.647
    assert found["litefs_http_stream_count"] == 2
    assert found["litefs_subscriber_count"] == 3
    assert found['litefs_db_lag_seconds{db="made.db"}'] == 0.25


def test_reaped_files_are_counted_no_longer(tmp_path: Path) -> None:
    """Sizes are remembered from scrape to scrape, but not for ever."""
    with opened(tmp_path / "primary", primary=True) as store:
        writer = Writer(store)
        writer.commit({1: 1})
        writer.commit({1: 2})
        collected = metrics(store)
        before = values(collected.text())['litefs_db_ltx_bytes{db="made.db"}']
        store.get("made.db").state.ltx.remove(1, 1)  # type: ignore[union-attr]
        after = values(collected.text())['litefs_db_ltx_bytes{db="made.db"}']
        assert 0 < after < before


def test_streams_are_counted_and_so_are_their_frames(tmp_path: Path) -> None:
    """While connected, and by database and kind."""
    with opened(tmp_path / "primary", primary=True) as store, serving(store) as info:
        Writer(store).commit({1: 1})
        url = info.advertise_url
        with (
            httpx.Client(http1=False, http2=True, trust_env=False) as client,
            client.stream("POST", f"{url}/stream", content=encode_positions({})) as response,
        ):
            seen = b""
            for data in response.iter_raw():
                seen += data
                if Ready().pack() in seen:
                    break
            found = values(httpx.get(f"{url}/metrics", trust_env=False).text)
    assert found["litefs_http_stream_count"] == 1
    assert found['litefs_http_frame_send_count{db="made.db",type="ltx:snapshot"}'] == 1


def test_the_backup_s_figures_are_there_where_one_is_configured(tmp_path: Path) -> None:
    with opened(tmp_path / "p", primary=True) as store:
        Writer(store).commit({1: 1})
        assert "pylitefs_backup" not in metrics(store).text()
        state = store.status.backup = BackupState("file:///b", files=3, size=400)
        store.require("made.db").state.high_water_mark = 1
        state.fails("no room")
        text = metrics(store).text()
        assert 'pylitefs_backup_hwm{db="made.db"} 1\n' in text
        assert "pylitefs_backup_trouble 1\n" in text and "pylitefs_backup_write_bytes 400\n" in text
