"""What a client process measures: figures of its own work, which is really done."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.compare.bench.client_measures import Measures


@pytest.fixture
def measures(tmp_path: Path) -> Iterator[Measures]:
    one = Measures()
    one.connection = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    one.connection.execute("PRAGMA synchronous=off")
    one.connection.execute("CREATE TABLE t(a)")
    yield one
    one.connection.close()


def count(measures: Measures) -> int:
    assert measures.connection is not None
    return int(measures.connection.execute("SELECT count(*) FROM t").fetchone()[0])


def test_a_rate_is_how_often_a_second(measures: Measures) -> None:
    value = measures.rate({"text": "INSERT INTO t VALUES (1)", "for_seconds": 0.05})["value"]
    assert count(measures) >= value * 0.05 > 0, "it ran for at least so long"


def test_a_duration_is_of_all_its_statements(measures: Measures) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20000)"
    slow = f"{numbers} SELECT count(*) FROM n"
    texts = ["INSERT INTO t VALUES (1)", slow, "INSERT INTO t VALUES (2)"]
    assert measures.duration({"texts": texts})["value"] > 0.5, "milliseconds"
    assert count(measures) == 2


@pytest.mark.parametrize("cold", [True, False])
def test_a_scan_reads_through_a_connection_of_its_own(measures: Measures, tmp_path: Path, cold: bool) -> None:
    request = {"path": str(tmp_path / "a.db"), "cold": cold, "text": "SELECT count(*) FROM t"}
    assert measures.scan(request)["value"] > 0
    with pytest.raises(sqlite3.OperationalError):
        measures.scan({**request, "text": "SELECT * FROM nobody"})


def test_visible_waits_until_the_replica_s_position_is_the_primary_s(
    measures: Measures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The primary's position is read after the commit, the replica's again and again."""
    primary, replica = tmp_path / "primary-pos", tmp_path / "replica-pos"
    primary.write_bytes(b"0000000000000002/".ljust(34))
    replica.write_bytes(b"0000000000000001/".ljust(34))
    looked: list[int] = []
    pread = os.pread

    def counted(fd: int, size: int, offset: int) -> bytes:
        looked.append(fd)
        if len(looked) == 5:
            replica.write_bytes(primary.read_bytes())
        return bytes(pread(fd, size, offset))

    monkeypatch.setattr("pylitefs.compare.bench.client_measures.os.pread", counted)
    places = {"primary": str(primary), "replica": str(replica)}
    request = {"text": "INSERT INTO t VALUES (1)", "times": 3, "part": 0.5, **places}
    assert measures.visible(request)["value"] > 0
    assert count(measures) == 3 and len(looked) == 5 + 2 * 2, "until it is there, then once"


def test_of_ten_the_slowest_is_no_less_than_the_half(measures: Measures, tmp_path: Path) -> None:
    place = tmp_path / "pos"
    place.write_bytes(b"0000000000000002/".ljust(34))
    request = {"text": "INSERT INTO t VALUES (1)", "times": 1, "primary": str(place), "replica": str(place)}
    assert measures.visible({**request, "part": 0.9})["value"] > 0


def test_a_sustained_load_says_how_far_behind_the_replica_is_and_waits_for_it(
    measures: Measures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, replica = tmp_path / "primary-pos", tmp_path / "replica-pos"
    primary.write_bytes(b"00000000000000ff/".ljust(34))
    replica.write_bytes(b"00000000000000f0/".ljust(34))
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            replica.write_bytes(primary.read_bytes())

    monkeypatch.setattr("pylitefs.compare.bench.client_measures.time.sleep", sleep)
    request = {
        "text": "INSERT INTO t VALUES (1)",
        "times": 20,
        "primary": str(primary),
        "replica": str(replica),
    }
    found = measures.sustained(request)
    assert found["behind"] == 15 and found["applied"] > 0 and len(slept) == 3 and count(measures) == 20
