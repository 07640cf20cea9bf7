"""The cluster's id as LiteFS writes it; what is none is never kept, and never overwritten."""

from pathlib import Path

import pytest

from pylitefs.errors import DataDirectoryError
from pylitefs.store import cluster_id
from pylitefs.store.store import Store
from tests.store.support import opened


@pytest.mark.parametrize("text", ["", "garbage", "LFSC01", "LFSC0123456789ABCDEG\n", "lfsc0123456789abcdef"])
def test_a_cluster_id_that_is_none_stops_the_node(tmp_path: Path, text: str) -> None:
    (tmp_path / "clusterid").write_text(text)
    said = "not LFSC and 16 hex digits: restore it, or remove it"
    with pytest.raises(DataDirectoryError, match=said), opened(tmp_path):
        pass
    assert (tmp_path / "clusterid").read_text() == text


def test_a_cluster_id_is_kept_as_litefs_writes_it(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        made = store.make_cluster_id()
    assert (tmp_path / "clusterid").read_text() == f"{made}\n"
    with opened(tmp_path) as store:
        assert store.cluster_id == made


@pytest.mark.parametrize("text", ["", "LFSC", "lfsc0123456789abcdef", "LFSC0123456789ABCDEF\n", "X" * 20])
def test_a_cluster_id_that_is_none_is_never_kept(store: Store, data: Path, text: str) -> None:
    with pytest.raises(DataDirectoryError, match="is not a cluster id"):
        store.set_cluster_id(text)
    assert store.cluster_id is None and not (data / "clusterid").exists()


def test_a_new_id_is_one_and_another_each_time(tmp_path: Path) -> None:
    made = {cluster_id.make() for _ in range(3)}
    assert len(made) == 3
    for one in made:
        cluster_id.write(tmp_path, one)
        assert cluster_id.read(tmp_path) == one


def test_without_a_file_there_is_no_id(tmp_path: Path) -> None:
    assert cluster_id.read(tmp_path) is None
