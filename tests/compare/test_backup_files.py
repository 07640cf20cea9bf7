"""Two backups' folders side by side: names, modes, and every field of each LTX file."""

from pathlib import Path

import pytest

from pylitefs.compare import backup_files
from pylitefs.compare.backup_files import last_txid
from pylitefs.compare.findings import Findings
from tests.compare.plain import ltx_bytes
from tests.ltx.samples import make_page


def put(folder: Path, low: int, high: int, data: bytes) -> Path:
    path = folder / "a.db" / f"{low:016x}-{high:016x}.ltx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two that hold the same, but for times, and for which node it was."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    put(mine, 1, 1, ltx_bytes(1, timestamp_ms=1, node_id=5))
    put(other, 1, 1, ltx_bytes(1, timestamp_ms=2, node_id=6))
    for folder in (mine, other):
        put(folder, 2, 3, ltx_bytes(2, max_txid=3, node_id=0))
    return mine, other


def differing(folders: tuple[Path, Path]) -> list[tuple[str, str, str, str]]:
    findings = Findings("w")
    backup_files.compare(findings, folders, 7, salts=True)
    assert all(one.step == 7 for one in findings.differences)
    return [(one.aspect, one.where, one.ours, one.theirs) for one in findings.differences]


def test_the_same_work_has_no_difference(folders: tuple[Path, Path]) -> None:
    assert differing(folders) == []
    findings = Findings("w")
    backup_files.compare(findings, folders, 1, salts=True)
    assert findings.equal["page bytes"] == 2 and findings.equal["backup's mode"] == 3


def test_each_difference_is_told_with_its_file(folders: tuple[Path, Path]) -> None:
    other = folders[1]
    second = f"the backup's a.db/{2:016x}-{3:016x}.ltx"
    put(other, 2, 3, ltx_bytes(2, {1: make_page(1), 2: make_page(2, seed=9)}, max_txid=3, node_id=4)).chmod(
        0o640
    )
    found = {aspect: (ours, theirs) for aspect, where, ours, theirs in differing(folders) if where == second}
    assert set(found) == {"backup's mode", "node id in LTX files", "post-apply checksum", "page bytes"}
    assert found["node id in LTX files"] == ("none", "a node's")
    assert found["backup's mode"][1] == "-rw-r-----"
    put(other, 4, 4, ltx_bytes(4))
    assert differing(folders)[0][0] == "backup's files"


def test_a_folder_goes_as_far_as_its_last_file(folders: tuple[Path, Path], tmp_path: Path) -> None:
    assert last_txid(folders[0] / "a.db") == 3 and last_txid(tmp_path / "nobody") == 0
