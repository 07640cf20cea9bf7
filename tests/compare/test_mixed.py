"""pylitefs and another program in one cluster, and one's data directory under the other."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pylitefs.cli.main import run
from pylitefs.compare import mixed
from pylitefs.compare.findings import Findings, MixedOutcome
from pylitefs.compare.mixed import can_be_mixed, check_pair
from pylitefs.compare.programs import Program
from pylitefs.compare.side import Side
from pylitefs.compare.workload import all_workloads, parse
from tests.compare.plain import OURS, THEIRS, ltx_bytes, plain_side, put_ltx
from tests.compare.test_planted import launcher


@pytest.fixture
def side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Side]:
    """A primary and a replica that hold the same."""
    monkeypatch.setattr(mixed, "FOLLOW_SECONDS", 0)
    monkeypatch.setattr(Side, "export", lambda side, name, role: "exported")
    one = plain_side(monkeypatch, tmp_path)
    for node in one.system.pair:
        (node.mount / "a.db-pos").write_text("0000000000000003/8000000000000abc\n")
        (node.databases_dir / "a.db").mkdir()
        (node.databases_dir / "a.db" / "database").write_bytes(b"content")
        for txid in (2, 3):
            put_ltx(node.databases_dir / "a.db", txid, ltx_bytes(txid))
    put_ltx(one.primary.databases_dir / "a.db", 1, ltx_bytes(1))
    put_ltx(one.replica.databases_dir / "a.db", 1, ltx_bytes(1, node_id=9))
    yield one
    one.close()


def differences(side: Side) -> set[str]:
    outcome = MixedOutcome("title", Findings("follow"))
    check_pair(side, "a.db", outcome)
    return {one.aspect for one in outcome.findings.differences} - {"nodes run", "integrity"}


def test_a_primary_and_its_replica_hold_the_same_but_for_the_first_snapshot(side: Side) -> None:
    """A replica that joined late got the first transactions as a snapshot, in a file of its own."""
    assert differences(side) == set()
    put_ltx(side.replica.databases_dir / "a.db", 3, ltx_bytes(3, node_id=9))
    assert differences(side) == {"LTX files"}
    (side.replica.mount / "a.db-pos").write_text("0000000000000002/8000000000000abc\n")
    assert differences(side) == {"LTX files", "position"}
    (side.replica.databases_dir / "a.db" / "database").write_bytes(b"contend")
    assert differences(side) == {"LTX files", "position", "database bytes"}


def test_only_what_a_real_replica_can_follow_is_mixed() -> None:
    plain = "# T.\n[open a a.db]\na: SELECT 1\n"
    assert can_be_mixed(parse("w", plain))
    assert not can_be_mixed(parse("w", f"{plain}[probe a.db]"))
    assert not can_be_mixed(parse("w", plain.replace("# T.", "# T.\n[cluster own]")))
    assert sum(map(can_be_mixed, all_workloads())) > 5


def test_both_ways_are_followed_and_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, str, str]] = []

    def played(what: str) -> Callable[..., MixedOutcome]:
        def do(workloads: object, primary: Program, other: Program, base: Path) -> MixedOutcome:
            done.append((what, primary.name, other.name))
            return MixedOutcome(str(base), Findings(what))

        do.__name__ = what
        return do

    monkeypatch.setattr(mixed, "_follow", played("follow"))
    monkeypatch.setattr(mixed, "_take_over", played("take over"))
    monkeypatch.setattr(mixed, "_halt", played("write on the replica"))
    monkeypatch.setattr(mixed, "_hand_over", played("hand over"))
    told: list[MixedOutcome] = []
    outcomes = mixed.run([], OURS, THEIRS, tmp_path, told.append)
    assert done == [
        ("follow", "pylitefs", "LiteFS"),
        ("take over", "pylitefs", "LiteFS"),
        ("write on the replica", "pylitefs", "LiteFS"),
        ("hand over", "pylitefs", "LiteFS"),
        ("follow", "LiteFS", "pylitefs"),
        ("take over", "LiteFS", "pylitefs"),
        ("write on the replica", "LiteFS", "pylitefs"),
        ("hand over", "LiteFS", "pylitefs"),
    ]
    assert told == outcomes and len({one.title for one in outcomes}) == 8, "a folder for each"


@pytest.mark.fuse
@pytest.mark.full
@pytest.mark.timeout(600)
def test_mixed_clusters_have_no_difference(tmp_path: Path) -> None:
    """Each follows the other, and data directories change hands without a snapshot, both ways."""
    written = tmp_path / "out.json"
    arguments = ["--mixed", "--litefs", str(launcher(tmp_path, "none")), "--json", str(written)]
    assert run(["compare", "01-journal-delete", "04-wal", *arguments]) == 0
    outcomes = json.loads(written.read_text())
    assert len(outcomes) == 8
    assert all(one["equal"]["position"] and one["transactions"] for one in outcomes)
    assert all(one["equal"]["no snapshot"] for one in outcomes if "directories" in one["title"])
