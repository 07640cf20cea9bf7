"""The picture of one commit's way: made from the tracepoints of two real nodes."""

import pytest

from pylitefs.compare.bench.commit_timeline import Found, collect, measure, moments


@pytest.mark.fuse
def test_a_commit_goes_from_the_primary_s_wal_to_the_replica_s_position() -> None:
    """What happens before what does not hang on the machine."""
    steps = measure("wal", commits=3)
    place = {(step.lane, step.title): number for number, step in enumerate(steps)}
    primary = ["wal.commit", "ltx.encode", "ltx.commit", "pos.advance", "stream.send"]
    replica = ["stream.receive", "ltx.verify", "ltx.store", "page.apply", "pos.advance"]
    order = [place[0, name] for name in primary] + [place[1, name] for name in replica]
    assert order == sorted(order)
    assert place[0, "ltx.commit"] < place[0, "SQLite has answered"]


def test_an_event_belongs_to_the_commit_that_began_last_and_counts_once() -> None:
    found: Found = {}
    collect(
        found, 1, [(5, "early"), (1_010_000, "a"), (1_020_000, "a"), (2_500_000, "a")], [1_000_000, 2_000_000]
    )
    assert found == {(1, "a"): [10.0, 500.0]}


def test_what_few_commits_have_is_left_out() -> None:
    found: Found = {(0, "late"): [30.0, 10.0, 20.0], (0, "rare"): [1.0], (1, "first"): [5.0, 5.0]}
    assert [(step.lane, step.title, step.at) for step in moments(found, 3)] == [
        (1, "first", 5.0),
        (0, "late", 20.0),
    ]
