"""Where LTX files lie is found by the directory's form."""

import shutil
from pathlib import Path

import pytest

from pylitefs.errors import RestoreError
from pylitefs.ltx.source import open_source
from tests.golden.recordings import REPLICA
from tests.ltx.samples import ChainBuilder, make_page


@pytest.fixture
def transactions(tmp_path: Path) -> Path:
    """Two transactions in a directory, with what does not count beside them."""
    folder, chain = tmp_path / "files", ChainBuilder()
    folder.mkdir()
    for txid in (1, 2):
        data = chain.transaction({1: make_page(1, seed=txid)}, 1)
        (folder / f"{txid:016x}-{txid:016x}.ltx").write_bytes(data)
    for name in ("0000000000000003-0000000000000003.ltx.tmp", "README", "3-3.ltx"):
        (folder / name).write_bytes(b"x")
    return folder


def test_a_replica_a_node_s_directory_and_a_backup(transactions: Path, tmp_path: Path) -> None:
    backup = open_source(transactions)
    assert (backup.kind, [file.max_txid for file in backup.files]) == ("a directory of LTX files", [1, 2])
    assert {file.level for file in backup.files} == {0}
    node = tmp_path / "a.db"
    shutil.copytree(transactions, node / "ltx")
    (node / "database").write_bytes(b"")
    assert open_source(node).kind == "a LiteFS database directory"
    assert len(open_source(node).files) == 2
    replica = open_source(REPLICA)
    assert replica.kind == "a Litestream replica"
    counts = {level: sum(file.level == level for file in replica.files) for level in (0, 1, 2, 9)}
    assert counts == {0: 12, 1: 9, 2: 4, 9: 4}
    assert open_source(REPLICA / "ltx").files == replica.files


def test_the_time_is_the_header_s_and_a_damaged_file_is_listed(transactions: Path) -> None:
    (transactions / f"{3:016x}-{3:016x}.ltx").write_bytes(b"torn")
    times = [file.time_ms for file in open_source(transactions).files]
    assert times[:2] == [1_700_000_000_001, 1_700_000_000_002]
    assert times[2] > times[1]


def test_what_holds_no_files_says_so(tmp_path: Path) -> None:
    with pytest.raises(RestoreError, match="holds no LTX files"):
        open_source(tmp_path)
    with pytest.raises(RestoreError, match="is no directory"):
        open_source(tmp_path / "none")
    (tmp_path / "generations").mkdir()
    with pytest.raises(RestoreError, match=r"Litestream 0\.3"):
        open_source(tmp_path)
