"""What the demo prints: a line for each transaction, as the nodes' events and the LTX files tell it."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pylitefs.cli import demo_lines
from pylitefs.cli.arrivals import Transaction
from pylitefs.cli.demo_lines import Teller, count, introduction, ltx_facts, program
from pylitefs.cli.feed import NodeEvent
from pylitefs.cluster.cluster import Cluster, ClusterNode
from tests.ltx.samples import make_file


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """A primary and two replicas that run, as far as anybody can tell."""
    cluster = Cluster(tmp_path, replicas=2)
    for number, node in enumerate(cluster, 1):
        node.process = cast(Any, SimpleNamespace(pid=number, returncode=None, poll=lambda: None))
        node.dir.mkdir(parents=True, exist_ok=True)
    return cluster


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    one = SimpleNamespace(now=100.0)
    monkeypatch.setattr(demo_lines, "time", SimpleNamespace(monotonic=lambda: one.now))
    return one


def tx(node: ClusterNode, txid: int, at: float, commit: int = 3) -> NodeEvent:
    return NodeEvent(node.name, "tx", "a.db", {"txID": f"{txid:016x}", "commit": commit}, at)


def keep_ltx(node: ClusterNode, txid: int, content: bytes) -> Path:
    path = node.data / "dbs" / "a.db" / "ltx" / f"{txid:016x}-{txid:016x}.ltx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_transaction_is_a_line_once_every_replica_has_it(cluster: Cluster, clock: SimpleNamespace) -> None:
    primary, (first, second) = cluster.primary, cluster.replicas
    size = len(keep_ltx(primary, 2, make_file()).read_bytes())
    teller = Teller(cluster)

    def told(event: NodeEvent | None) -> list[str]:
        return [" ".join(line.split()) for line in teller.tell(event)]

    assert told(tx(primary, 2, 100.0)) == [] == told(tx(first, 2, 100.0015))
    assert told(NodeEvent(second.name, "init", "", {}, 100.0)) == [] == told(None)
    replicas = f"{first.name} +1.5 ms {second.name} +250.0 ms"
    line = f"a.db TXID 0000000000000002 2 pages {size:,} bytes of LTX {replicas}"
    assert told(tx(second, 2, 100.25)) == [line]
    assert told(None) == []


def test_a_replica_that_is_silent_is_said_not_to_have_it_yet(
    cluster: Cluster, clock: SimpleNamespace
) -> None:
    primary, (first, second) = cluster.primary, cluster.replicas
    teller = Teller(cluster)
    assert list(teller.tell(tx(primary, 2, 100.0))) == []
    assert list(teller.tell(tx(first, 2, 100.0))) == []
    clock.now = 110.0
    (line,) = teller.tell(None)
    assert "LTX file reaped" in line and f"{first.name}    +0.0 ms" in line
    assert line.endswith(f"{second.name}    not yet")


def test_a_node_s_end_is_told_once_and_again_if_it_ran_in_between(
    cluster: Cluster, clock: SimpleNamespace
) -> None:
    teller, node = Teller(cluster), cluster.replicas[0]
    assert list(teller.tell(None)) == []
    running = node.process
    node.log.write_text("one\nthe last line\n")
    for _ in range(2):
        node.process = cast(Any, SimpleNamespace(pid=5, returncode=-9, poll=lambda: -9))
        (line,) = teller.tell(None)
        assert line.startswith(f"{node.name} has ended with exit code -9; the end of its log:\n")
        assert line.endswith("the last line") and list(teller.tell(None)) == []
        node.process = running
        assert list(teller.tell(None)) == []


def test_another_primary_s_transactions_are_told_of_it(cluster: Cluster, clock: SimpleNamespace) -> None:
    """What the one before has written and nobody had is told once more, with its own LTX file."""
    teller, (first, second, _) = Teller(cluster, ends=False), cluster.nodes
    keep_ltx(first, 2, make_file())
    assert list(teller.tell(tx(first, 2, 100.0))) == []
    cluster.nodes[0], cluster.nodes[1] = second, first
    (line,) = teller.tell(None)
    assert "TXID 0000000000000002" in line and "2 pages" in line and line.count("not yet") == 2
    assert list(teller.tell(tx(second, 3, 101.0))) == [] == list(teller.tell(tx(first, 3, 101.0)))
    first.process = cast(Any, SimpleNamespace(pid=1, returncode=-9, poll=lambda: -9))
    assert list(teller.tell(None)) == [], "its end is told by somebody else"


def test_a_transaction_s_ltx_file_says_its_pages_and_bytes(cluster: Cluster) -> None:
    node = cluster.primary
    transaction = Transaction("a.db", 5, 3, 100.0)
    assert ltx_facts(node.data, transaction) == ("", "LTX file reaped")
    content = make_file(pgnos=(2,))
    path = keep_ltx(node, 5, content)
    assert ltx_facts(node.data, transaction) == ("1 page", f"{len(content):,} bytes of LTX")
    assert ltx_facts(node.data, Transaction("a.db", 5, 0, 100.0))[0] == "dropped"
    path.write_bytes(content[:-1])
    pages, said = ltx_facts(node.data, transaction)
    assert pages == "" and said.startswith("unreadable: ")


def test_the_introduction_has_commands_to_copy(cluster: Cluster) -> None:
    text = introduction(cluster, "shop.db", " --dir /x")
    primary, replica = cluster.primary, cluster.replicas[0]
    for node, role in ((primary, "primary"), *((node, "replica") for node in cluster.replicas)):
        assert f"  {role:<8} {node.name:<4} {node.mount}   {node.url}" in text
    assert f'sqlite3 {primary.database("shop.db")} "UPDATE' in text
    assert f'sqlite3 {replica.database("shop.db")} "SELECT' in text
    assert f"{program()} status --dir /x" in text
    assert "this, too\nEvery transaction" in introduction(cluster, "shop.db", "", "this, too")
    alone = introduction(Cluster(primary.dir, replicas=0), "shop.db", "")
    assert "SELECT" not in alone and "UPDATE" in alone


def test_what_to_type_for_pylitefs_is_what_leads_to_this_very_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, other = tmp_path / "here" / "pylitefs", tmp_path / "there" / "pylitefs"
    for path in (beside, other):
        path.parent.mkdir()
    monkeypatch.setattr(sys, "executable", str(beside.with_name("python")))
    monkeypatch.setenv("PATH", str(other.parent))
    assert program() == f"{beside.with_name('python')} -P -m pylitefs"
    for path in (beside, other):
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    assert program() == str(beside), "another one is on the PATH"
    monkeypatch.setenv("PATH", str(beside.parent))
    assert program() == "pylitefs"


@pytest.mark.parametrize(("number", "text"), [(0, "0 pages"), (1, "1 page"), (1204, "1,204 pages")])
def test_a_count_is_written_for_people(number: int, text: str) -> None:
    assert count(number, "page") == text
