"""Who is measured, with what is prepared for it, and what a figure is worth beside another's."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from pylitefs.cluster.cluster import ClusterError
from pylitefs.compare.bench.contestant import (
    JOURNAL_MODES,
    Contestant,
    Line,
    Measure,
    Size,
    large_file,
    prepare,
)
from tests.compare.plain import PlainConnections

TINY = Size(rounds=1, seconds=0.01, megabytes=1, visible=1, databases=1, commits=5)


@pytest.fixture
def plain(tmp_path: Path) -> Contestant:
    """Plain SQLite."""
    folder = tmp_path / "plain"
    folder.mkdir()
    return Contestant("SQLite", folder, None, PlainConnections())  # type: ignore[arg-type]


def line(*, is_rate: bool) -> Line:
    one = Line(Measure("x", "u", is_rate, lambda contestant: None))
    one.figures = {"ours": [9.0, 2.0, 4.0], "theirs": [8.0]}
    return one


def test_a_ratio_above_1_is_better_for_rates_and_for_times() -> None:
    assert line(is_rate=True).median("ours") == 4.0
    assert line(is_rate=True).ratio("ours", "theirs") == 0.5
    assert line(is_rate=False).ratio("ours", "theirs") == 2.0
    assert line(is_rate=True).ratio("ours", "nobody") is None and line(is_rate=True).median("nobody") is None


def test_every_mode_has_a_database_with_rows_to_read_and_megabytes_to_change(
    plain: Contestant, tmp_path: Path
) -> None:
    prepare(plain, tmp_path, TINY)
    for mode in JOURNAL_MODES:
        client = plain.clients.get(mode)
        assert client.ask("sql", text="PRAGMA journal_mode")["rows"] == [[mode]]
        rows = client.ask("sql", text="SELECT (SELECT count(*) FROM r), (SELECT sum(length(b)) FROM big)")
        assert rows["rows"] == [[1000, 4_000_000]]
        assert plain.clients.get(f"replica {mode}").ask("sql", text="SELECT count(*) FROM t")["rows"] == [[0]]
    assert plain.path("large.db").stat().st_size > 900_000
    plain.clients.close()


def test_the_large_database_is_made_once(tmp_path: Path) -> None:
    made = large_file(tmp_path, 1)
    at = made.stat().st_mtime_ns
    assert large_file(tmp_path, 1) == made and made.stat().st_mtime_ns == at
    assert 900_000 < made.stat().st_size < 1_300_000


def test_what_a_client_cannot_do_ends_the_measuring(plain: Contestant) -> None:
    plain.clients.get("c").ask("open", path=str(plain.path("a.db")))
    assert plain.ask("c", "duration", texts=["SELECT 1"]) > 0
    with pytest.raises(ClusterError, match=r"SQLite: duration .*no such table"):
        plain.ask("c", "duration", texts=["SELECT * FROM nobody"])
    plain.clients.close()


def test_a_system_has_settled_once_the_replica_shows_the_primary_s_positions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = [SimpleNamespace(mount=tmp_path / name) for name in ("n1", "n2")]
    for node in pair:
        node.mount.mkdir()
        (node.mount / "a.db-pos").write_text("1")
    (pair[0].mount / "a.db-pos").write_text("2")
    looks: list[bool] = []

    def wait_until(condition: object, seconds: float) -> bool:
        assert callable(condition)
        looks.append(condition())
        (pair[1].mount / "a.db-pos").write_text("2")
        looks.append(condition())
        return True

    monkeypatch.setattr("pylitefs.compare.bench.contestant.wait_until", wait_until)
    contestant = Contestant("x", tmp_path, SimpleNamespace(pair=pair))  # type: ignore[arg-type]
    contestant.settle()
    assert looks == [False, True]
    assert contestant.path("b.db", "replica") == tmp_path / "n2" / "b.db"
