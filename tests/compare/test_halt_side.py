"""Steps that take the HALT lock and use it, on two nodes of ours."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.cluster.nursery import Nursery
from pylitefs.compare import programs
from pylitefs.compare.halt_side import HaltSide
from pylitefs.compare.nodes import System
from pylitefs.compare.runner import result_of
from pylitefs.compare.workload import KINDS, Step, parse

pytestmark = pytest.mark.fuse


@pytest.fixture
def side(tmp_path: Path, nursery: Nursery | None) -> Iterator[HaltSide]:
    system = System(tmp_path, programs.ours())
    for node in system.pair:
        node.nursery = nursery
    try:
        system.start()
        one = HaltSide(system)
        one.begin("w")
        yield one
        one.close()
    finally:
        system.stop()


def step(text: str) -> Step:
    return parse("w", f"[cluster halt]\n{text}").steps[-1]


def said(side: HaltSide, *lines: str) -> str:
    """What the last one gives."""
    return [result_of(side.perform(step(line))) for line in lines][-1]


BUSY = "SQLITE_BUSY: database is locked"


def test_a_lock_lets_the_replica_write_and_keeps_the_primary_s_writers_out(side: HaltSide) -> None:
    """Until it is given back, or its client is killed; and `/halt` and `/tx` answer without times and ids."""
    said(side, "[open a a.db timeout 0]", "a: CREATE TABLE t(n)", "a: INSERT INTO t VALUES (1)")
    side.position("a.db", "replica")
    assert said(side, "[halt h a.db on the replica]") == "[]"
    assert said(side, "[open r a.db on the replica]", "r: INSERT INTO t VALUES (2) RETURNING n") == "[[2]]"
    assert said(side, "a: INSERT INTO t VALUES (3)") == BUSY
    assert (
        said(side, "[unhalt h]", "[killed none a.db]", "a: INSERT INTO t VALUES (3) RETURNING n") == "[[3]]"
    )
    assert said(side, "[halt k a.db on the replica]", "a: DELETE FROM t") == BUSY
    assert said(side, "[killed k a.db]", "a: DELETE FROM t") == "[]"
    granted = said(side, "[http POST /halt?name=a.db&id=7 on the primary]")
    assert '"expires": "THEN"' in granted and '"id": 7' in granted
    assert "non-sequential header minimum txid ID, expecting ID" in said(side, "[forward a.db lock 7]")
    assert said(side, "[http DELETE /halt?name=a.db&id=7 on the primary]").startswith("200")


def test_run_is_the_node_s_own_program_s(side: HaltSide) -> None:
    said(side, "[open a a.db]", "a: CREATE TABLE t(n)")
    side.position("a.db", "replica")
    said(side, "[halt h a.db on the replica]", "[unhalt h]")
    run = "[run -with-halt-lock-on {a.db} -- sh -c 'echo said; exit 3' on the replica]"
    assert said(side, run) == "exit code 3; said; "
    assert said(side, "[run -with-halt-lock-on {b.db} -- true on the replica]") == (
        "exit code 1; ; database does not exist: BASE/n2/mnt/b.db"
    )


def test_each_step_of_the_kind_is_one_of_the_side_s() -> None:
    assert all(hasattr(HaltSide, f"_do_{verb}") for verb in KINDS["halt"])
