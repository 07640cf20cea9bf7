"""The comparison finds a planted difference, and nothing else: pylitefs beside a pylitefs with one fault."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.cli.main import run
from pylitefs.cluster.cluster import is_mounted
from pylitefs.compare import programs
from pylitefs.compare.findings import Difference
from pylitefs.compare.html import page
from pylitefs.compare.nodes import System
from pylitefs.compare.programs import ProgramError
from pylitefs.compare.runner import Outcome, Runner
from pylitefs.compare.side import Side
from pylitefs.compare.workload import all_workloads, parse

pytestmark = pytest.mark.fuse

ROOT = Path(__file__).resolve().parent.parent.parent

WORKLOAD = """
# Some transactions, and what the mount refuses.
[open a {name}.db]
a: CREATE TABLE t(a INTEGER PRIMARY KEY, b)
a *4: INSERT INTO t(b) VALUES (randomblob(300))
a: UPDATE t SET b = 'x' WHERE a = 2
[close a]
{more}
"""

SETTINGS = {"data": {"compress": False}}


def launcher(folder: Path, fault: str) -> Path:
    """A program that is a pylitefs with a fault."""
    path = folder / f"litefs-{fault}"
    command = f'PYTHONPATH="{ROOT}" exec "{sys.executable}" -m tests.compare.planted {fault} "$@"'
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    with System(tmp_path_factory.mktemp("ours"), programs.ours(), settings=SETTINGS) as system:
        assert isinstance(system, System)
        side = Side(system)
        yield side
        side.close()


def compared(ours: Side, fault: str, folder: Path, more: str = "") -> Outcome:
    """One workload on both."""
    theirs = programs.find(launcher(folder, fault))
    workload = parse(fault, WORKLOAD.format(name=fault, more=more.format(name=fault)))
    system = System(folder / "theirs", theirs, settings=SETTINGS)
    with system:
        side = Side(system)
        try:
            return Runner(workload, ours, side, salts=True).run()
        finally:
            side.close()


def unknown(outcome: Outcome) -> list[Difference]:
    return [one for one in outcome.findings.differences if one.state == "unknown"]


def test_the_same_program_has_no_difference(ours: Side, tmp_path: Path) -> None:
    """Nor any consequence; every kind of comparison is made."""
    outcome = compared(ours, "none", tmp_path, "[probe {name}.db]")
    assert outcome.findings.differences == []
    assert {"position", "page bytes", "WAL salts", "database bytes", "/events", "refusal"} <= set(
        outcome.findings.equal
    )
    assert len(outcome.transactions) == 14, "seven on each, the drop by the last probe included"
    assert all(one.on_primary and one.on_replica for one in outcome.transactions)


@pytest.mark.parametrize(
    ("fault", "aspect", "where"),
    [
        pytest.param("page-order", "page order", "page-order.db TXID 3", marks=pytest.mark.full),
        ("page-byte", "page bytes", "page-byte.db TXID 3"),
        pytest.param("checksum", "post-apply checksum", "checksum.db TXID 3", marks=pytest.mark.full),
    ],
)
def test_a_fault_in_an_ltx_file_is_found(
    ours: Side, tmp_path: Path, fault: str, aspect: str, where: str
) -> None:
    """Pages in another order, one byte of a page, a wrong checksum: each is the one difference."""
    outcome = compared(ours, fault, tmp_path)
    assert [(one.aspect, one.where) for one in unknown(outcome)] == [(aspect, where)]
    assert all(one.is_consequence for one in outcome.findings.differences if one.state != "unknown")


@pytest.mark.full
def test_a_missing_transaction_is_found_once(ours: Side, tmp_path: Path) -> None:
    """What follows by arithmetic, checksums until they meet again, is its consequence."""
    outcome = compared(ours, "missing-transaction", tmp_path)
    [found] = unknown(outcome)
    assert (found.aspect, found.where) == ("transaction", "missing-transaction.db TXID 3")
    assert (found.ours, found.theirs) == ("2 pages, commit size 2", "none")
    consequences = {one.aspect for one in outcome.findings.differences if one.is_consequence}
    assert consequences <= {"position", "pre-apply checksum"}


@pytest.mark.full
def test_a_wrong_errno_is_found(ours: Side, tmp_path: Path) -> None:
    """On both nodes, and nowhere else."""
    outcome = compared(ours, "wrong-errno", tmp_path, "[probe {name}.db]")
    assert {(one.where, one.ours, one.theirs) for one in unknown(outcome)} == {
        ("mkdir on the primary", "EPERM", "EROFS"),
        ("mkdir on the replica", "EPERM", "EROFS"),
    }


@pytest.mark.full
def test_a_file_mode_that_comes_late_is_found(ours: Side, tmp_path: Path) -> None:
    outcome = compared(ours, "late-mode", tmp_path)
    assert [(one.aspect, one.where, one.ours, one.theirs) for one in unknown(outcome)] == [
        ("mode", "late-mode.db on the replica", "-r--r--r--", "-rw-rw-rw-")
    ]


LEASE = """
# A handoff, a refusal, and an end.
[cluster lease]
[open a a.db on n1]
a: CREATE TABLE t(a)
[http POST /handoff on n2]
[handoff to n2]
[look]
[requests]
a: SELECT * FROM t
[close a]
[stop n2]
[led]
[requests]
[start n2]
[look]
"""
REFUSAL = """
# One refusal.
[cluster lease]
[open a a.db on n1]
a: CREATE TABLE t(a)
[http POST /handoff on n2]
[close a]
"""
BACKUP = """
# Three transactions in a backup, one after the other, and a restore from the other's.
[cluster backup]
[open a a.db]
a: CREATE TABLE t(a)
[backed up a.db]
a: INSERT INTO t VALUES (1)
[backed up a.db]
[backup]
[keep the backup]
[close a]
[restore the other's backup]
[open b a.db]
b: INSERT INTO t VALUES (2)
b: SELECT * FROM t
[backed up a.db]
[backup]
[close b]
"""


@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("fault", "text", "found"),
    [
        ("none", LEASE, set()),
        ("no-destroy", LEASE, {("lease requests", "n2")}),
        ("another-text", REFUSAL, {("result", "[http POST /handoff on n2]")}),
        ("none", BACKUP, set()),
        (
            "backup-names-node",
            BACKUP,
            {("node id in LTX files", f"the backup's a.db/{n:016x}-{n:016x}.ltx") for n in (2, 3)},
        ),
    ],
)
def test_a_fault_of_a_lease_or_a_backup_is_found(
    tmp_path: Path, fault: str, text: str, found: set[tuple[str, str]]
) -> None:
    """And without one there is no difference."""
    written, workload = tmp_path / "out.json", tmp_path / "mine.txt"
    workload.write_text(text)
    arguments = [workload, "--litefs", launcher(tmp_path, fault), "--json", written]
    run(["compare", *map(str, arguments)])
    [report] = json.loads(written.read_text())["workloads"]
    differences = [one for one in report["differences"] if one["state"] == "unknown"]
    assert {(one["aspect"], one["where"]) for one in differences} == found
    assert report["equal"]["result"] > 1 and report["equal"]["position"] > 1


@pytest.mark.full
@pytest.mark.timeout(600)
def test_leases_and_backups_are_real_litefs_s_but_for_what_is_known() -> None:
    """For who has `litefs` v0.5.14 on the PATH."""
    try:
        program = programs.find(None)
    except ProgramError as error:
        pytest.skip(str(error))
    names = [one.name for one in all_workloads() if one.kind in {"lease", "backup"}]
    assert len(names) > 6
    assert run(["compare", *names, "66-static-turnover", "--litefs", program.command[0]]) == 0


def test_the_command_compares_reports_and_leaves_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Exit 1 for an unknown difference; the JSON and the page say which."""
    workload = tmp_path / "mine.txt"
    workload.write_text(WORKLOAD.format(name="mine", more=""))
    base = tmp_path / "base"
    written, html = tmp_path / "out.json", tmp_path / "out.html"
    arguments = ["--litefs", launcher(tmp_path, "page-byte"), "--dir", base]
    arguments += ["--json", written, "--html", html]
    affinity = os.sched_getaffinity(0)
    try:
        assert run(["compare", str(workload), *map(str, arguments)]) == 1
    finally:
        os.sched_setaffinity(0, affinity)
    out = capfd.readouterr().out
    assert "1 unknown differences" in out and "page bytes" in out
    report = json.loads(written.read_text())
    assert report["unknown"] == 1
    assert [one["aspect"] for one in report["workloads"][0]["differences"]] == ["page bytes"]
    assert report["workloads"][0]["differences"][0]["rows"] == ["no row differs"], "it is a byte of no row"
    assert html.read_text() == page(report)
    assert "page 2 byte 100" in html.read_text() and "<svg" in html.read_text()
    assert not base.exists() and not is_mounted(base / "shared" / "ours" / "n1" / "mnt")
