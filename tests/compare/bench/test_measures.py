"""The measures, one by one, on plain SQLite: each gives a figure each time, or says it means nothing."""

from pathlib import Path

import pytest

from pylitefs.compare.bench.contestant import QUICK, Contestant, prepare
from pylitefs.compare.bench.measures import measures
from tests.compare.bench.test_contestant import TINY
from tests.compare.plain import PlainConnections

NEEDS_NODES = (
    "visible",
    "import",
    "join",
    "reopen",
    "memory",
    "databases",
    "behind",
    "applied",
    "one of them",
)


def test_every_measure_has_a_name_of_its_own_and_a_unit(tmp_path: Path) -> None:
    found = measures(QUICK, tmp_path)
    assert len({one.name for one in found}) == len(found) > 20
    assert all(one.is_rate == (one.unit == "1/s") for one in found)
    assert {one.name.rpartition(", ")[2] for one in found if one.name.startswith("commits")} == {
        *("DELETE", "TRUNCATE", "PERSIST", "WAL")
    }


def test_what_sqlite_alone_can_do_is_measured_of_it_too(tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    plain = Contestant("SQLite", folder, None, PlainConnections())  # type: ignore[arg-type]
    prepare(plain, tmp_path, TINY)
    for one in measures(TINY, tmp_path):
        for _ in range(2):
            value = one.run(plain)
            if any(word in one.name for word in NEEDS_NODES):
                assert value is None, one.name
            else:
                assert value and value > 0, one.name
    plain.clients.close()


def test_a_rate_of_commits_writes_and_a_rate_of_reads_does_not(tmp_path: Path) -> None:
    asked: list[dict[str, object]] = []

    class Asked:
        def ask(self, client: str, op: str, **arguments: object) -> float:
            asked.append({"client": client, "op": op, **arguments})
            return 1.0

    chosen = {one.name: one for one in measures(TINY, tmp_path)}
    for name in ("commits, WAL", "point reads on the replica, WAL"):
        assert chosen[name].run(Asked()) == 1.0  # type: ignore[arg-type]
    commit, read = asked
    assert commit["client"] == "wal" and str(commit["text"]).startswith("INSERT")
    assert read["client"] == "replica wal" and str(read["text"]).startswith("SELECT")
    with pytest.raises(KeyError):
        chosen["commits, NOBODY"]
