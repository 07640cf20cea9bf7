"""Candidates of one lease and their lease service, as the demo starts them."""

import json
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import is_mounted
from pylitefs.cluster.leased import LOCK_DELAY_S, LeasedCluster, newest
from pylitefs.cluster.nursery import Nursery


def stand(data: Path, term: int, txid: int) -> None:
    """Let a data directory look like that of a node with so new data."""
    folder = data / "dbs" / "a.db" / "ltx"
    folder.mkdir(parents=True)
    (data / "terms.json").write_text(json.dumps({"term": term}))
    for last in (1, txid):
        (folder / f"{1:016x}-{last:016x}.ltx").write_bytes(b"")


def test_the_newest_primary_s_data_is_newer_than_more_transactions(tmp_path: Path) -> None:
    stand(tmp_path / "old", 3, 200)
    stand(tmp_path / "new", 4, 16)
    assert newest(tmp_path / "nothing") == (0, 0)
    assert newest(tmp_path / "old") == (3, 200) < newest(tmp_path / "new") == (4, 16)
    (tmp_path / "new" / "terms.json").write_text("{}")
    assert newest(tmp_path / "new") == (0, 16)


@pytest.mark.fuse
def test_whose_data_is_newest_takes_the_lease_and_nothing_is_left_at_the_end(
    tmp_path: Path, nursery: Nursery | None
) -> None:
    """Not the first by name."""
    cluster = LeasedCluster(tmp_path / "here", 2, ttl=10.0)
    (tmp_path / "here" / "n2" / "data").mkdir(parents=True, mode=0o700)
    (tmp_path / "here" / "n2" / "data" / "terms.json").write_text(
        json.dumps({"term": 7, "primary": False, "ids": [], "handed": {}})
    )
    for node in cluster:
        node.nursery = nursery
    assert cluster.longest_gap == 10.0 + LOCK_DELAY_S + 1
    with cluster:
        assert cluster.primary.name == "n2" and [node.name for node in cluster.replicas] == ["n1"]
        assert "hostname: n2" in cluster.primary.config.read_text()
        assert (cluster.nodes[0].mount / ".primary").read_text() == "n2\n"
        pids = [node.pid for node in cluster]
        cluster.note_primary("n1")
        assert cluster.primary.name == "n1"
    assert cluster.service is None
    assert not any(
        is_mounted(node.mount) or Path(f"/proc/{pid}").exists()
        for node, pid in zip(cluster, pids, strict=True)
    )
