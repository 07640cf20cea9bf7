"""A system with a backup: what is waited for, and how it begins anew on the other's folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pylitefs.compare import backup_side
from pylitefs.compare.backup_side import KEPT, BackupSide
from pylitefs.compare.nodes import System
from pylitefs.compare.workload import KINDS, Step, parse
from pylitefs.errors import PylitefsError
from tests.compare.plain import OURS, ltx_bytes, plain_side
from tests.compare.test_backup_files import put


@pytest.fixture
def side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BackupSide]:
    """Two directories that play a system called `ours`; it is stopped and started by word alone."""
    plain_side(monkeypatch, tmp_path / "plain").close()
    system = System(tmp_path / "ours", OURS)
    for node in system.pair:
        node.mount.mkdir(parents=True)
        node.data.mkdir(parents=True)
    monkeypatch.setattr(backup_side, "PATIENCE", 0)
    one = BackupSide(system)
    yield one
    one.close()


def step(text: str) -> Step:
    return parse("w", f"# T.\n[cluster backup]\n[open z z.db]\n{text}").steps[-1]


def said(side: BackupSide, text: str) -> object:
    answer = side.perform(step(text))
    return answer.get("text", answer.get("error"))


def at(side: BackupSide, txid: int) -> None:
    (side.primary.mount / "a.db-pos").write_text(f"{txid:016x}/8000000000000abc\n")


def test_every_verb_of_a_backup_can_be_done() -> None:
    for verb in KINDS["backup"]:
        assert hasattr(BackupSide, f"_do_{verb}"), verb


def test_how_far_the_backup_is_after_it_was_waited_for(side: BackupSide) -> None:
    at(side, 2)
    assert said(side, "[backed up a.db]") == "the backup is at TXID 0"
    put(side.system.backup, 1, 2, ltx_bytes(1, max_txid=2))
    assert said(side, "[backed up a.db]") == "the backup is at TXID 2"
    assert said(side, "[backup]") == "looked at"


def test_both_nodes_begin_anew_on_what_the_other_system_kept(
    side: BackupSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def start(system: System, seconds: float = 0) -> None:
        done.append(f"start, data: {[node.data.exists() for node in system.pair]}")
        at(side, 3)

    def stop(system: System, seconds: float = 0) -> dict[str, Any]:
        done.append("stop")
        return {}

    monkeypatch.setattr(System, "start", start)
    monkeypatch.setattr(System, "stop", stop)
    put(side.system.backup, 1, 1, ltx_bytes(1))
    assert said(side, "[keep the backup]") == "kept"
    put(side.system.base_dir.parent / "theirs" / KEPT, 1, 3, ltx_bytes(1, max_txid=3))
    assert said(side, "[restore the other's backup]") == "a.db at 0000000000000003/8000000000000abc"
    assert done == ["stop", "start, data: [False, False]"]
    assert [path.name for path in (side.system.backup / "a.db").iterdir()] == [f"{1:016x}-{3:016x}.ltx"]
    assert list((side.system.base_dir / KEPT / "a.db").iterdir()) != [], "the own one is kept"


def test_a_system_that_does_not_start_again_is_an_answer(
    side: BackupSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(system: System, seconds: float = 0) -> None:
        raise PylitefsError("node n1 ended\nwith a long log")

    monkeypatch.setattr(System, "start", start)
    put(side.system.backup, 1, 1, ltx_bytes(1))
    put(side.system.base_dir.parent / "theirs" / KEPT, 1, 1, ltx_bytes(1))
    assert said(side, "[restore the other's backup]") == "does not start: node n1 ended"
