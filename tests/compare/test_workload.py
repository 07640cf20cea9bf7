"""Workload files: what comes with pylitefs, and what a line may be."""

import pytest

from pylitefs.compare.workload import WorkloadError, all_workloads, chosen, parse

TEXT = """
# A title. More about it.
[cluster own]
[set data.retention 1s]
[open a one.db]
a *3: INSERT INTO t
   VALUES (1)

[open s seed.db outside]
[import seed.db as two.db]
[open r one.db on the replica timeout 0]
"""


def test_a_file_is_read_line_by_line() -> None:
    workload = parse("x", TEXT)
    assert (workload.title, workload.explanation) == ("A title", "More about it.")
    assert workload.own_cluster and workload.settings == {"data": {"retention": "1s"}}
    assert workload.databases == ("one.db", "two.db"), "a file outside is none of the mount's"
    first, insert, *_, last = workload.steps
    assert (first.verb, first.arguments) == ("open", ("a", "one.db", "", ""))
    assert (insert.times, insert.arguments) == (3, ("a", "INSERT INTO t VALUES (1)"))
    assert last.arguments == ("r", "one.db", "on the replica", "0")


@pytest.mark.parametrize(
    "line",
    [
        "SELECT 1",
        "[fly away]",
        "[open a]",
        "[http GET /info]",
        "[handoff to n2]",
        "[backed up a.db]",
        "[cluster of stars]",
        "[set retention 1s]",
    ],
)
def test_a_line_that_means_nothing_is_named(line: str) -> None:
    with pytest.raises(WorkloadError, match=r"^x:2: "):
        parse("x", f"# t\n{line}")


def test_a_kind_of_cluster_has_verbs_of_its_own() -> None:
    """What is set for one node is told apart from what all have."""
    text = "# T.\n[cluster lease]\n[set lease.candidate false on n2]\n[set data.compress false]\n"
    workload = parse("x", f"{text}[open a a.db on n2]\n[handoff to n2]\n[http GET /info on n1]\n[led]")
    assert (workload.kind, workload.own_cluster) == ("lease", True)
    assert workload.settings == {"data": {"compress": False}}
    assert workload.node_settings == {"n2": {"lease": {"candidate": False}}}
    verbs = [(step.verb, step.arguments[-1] if step.arguments else "") for step in workload.steps]
    assert verbs == [("open", ""), ("handoff", "n2"), ("http", "n1"), ("led", "")]
    assert parse("x", "# T.\n[set data.compress false]\n[open a a.db]").kind == "own"
    with pytest.raises(WorkloadError, match=r"x:2: \[handoff\] needs \[cluster lease\] before it"):
        parse("x", "# T.\n[handoff to n2]")


def test_there_are_more_than_twenty_and_all_can_be_read() -> None:
    workloads = all_workloads()
    assert len(workloads) > 20
    assert all(workload.title and workload.steps and workload.databases for workload in workloads)
    names = [name for workload in workloads for name in workload.databases if not workload.own_cluster]
    assert len(names) == len(set(names)), "those that share a cluster have databases of their own"


def test_slow_ones_are_run_only_when_asked_for() -> None:
    assert {one.name for one in chosen((), slow=True)} - {one.name for one in chosen((), slow=False)} == {
        "30-lock-page",
        "83-halt-kept",
    }
    assert [one.name for one in chosen(["04-wal"], slow=False)] == ["04-wal"]
    with pytest.raises(WorkloadError, match="no workload 'nobody'"):
        chosen(["nobody"], slow=False)
