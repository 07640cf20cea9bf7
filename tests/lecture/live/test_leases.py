"""What is done with the lease of a lecture's nodes, on real mounts; the lessons do the rest."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.errors import LessonError
from tests.lecture.conducted import Conducted

pytestmark = pytest.mark.fuse


@pytest.fixture
def lecture(tmp_path: Path) -> Iterator[Conducted]:
    with Conducted(tmp_path) as one:
        yield one
    assert not (tmp_path / "leases").exists()


def test_time_passes_when_it_is_said_and_a_primary_that_slept_is_none(lecture: Conducted) -> None:
    """It reaches everybody, and gives its lease back as soon as it wakes; the other one takes it."""
    lecture.run("cluster replicas 1 lease 1s", "sql n1 CREATE TABLE t(a)", "expect same n1 n2")
    session = lecture.state["lease"]["session"]
    assert lecture.state["lease"] == {"holder": "n1", "session": session, "ttl_s": 1.0} and len(session) == 8
    lecture.run("pause lease", "expire-lease", "expect n1 held lease.lose", "expect n2 held lease.ask")
    assert lecture.state["lease"]["holder"] == "" and lecture.state["node/n1/role"] == "replica"
    with pytest.raises(LessonError, match="nobody has the lease"):
        lecture.run("expire-lease")
    with pytest.raises(LessonError, match="nobody can hand it over"):
        lecture.run("handoff n2")
    lecture.run("step n2", "expect n2 held lease.acquire")
    assert lecture.state["lease"]["holder"] == "n2" and lecture.state["lease"]["session"] != session
    lecture.run(
        "run", "expect n1 role replica", "expect n2 role primary", "promote n1", "expect n1 role primary"
    )
    assert not lecture.events("lease.renew", "n1"), "its clock stands still"


def test_nodes_without_a_lease_say_how_to_have_one(lecture: Conducted) -> None:
    lecture.run("cluster replicas 0")
    for line in ("expire-lease", "promote n1", "handoff n1"):
        with pytest.raises(LessonError, match="begin with `cluster replicas 2 lease 10s`"):
            lecture.run(line)
