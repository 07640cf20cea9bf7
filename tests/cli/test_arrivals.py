"""When each replica had a transaction, from events in any order."""

from pylitefs.cli.arrivals import Arrivals


def delays(arrivals: Arrivals, now: float) -> list[tuple[str, int, list[float | None]]]:
    return [
        (one.database, one.txid, [one.delay_ms(replica) for replica in arrivals.replicas])
        for one in arrivals.finished(now)
    ]


def test_a_transaction_is_told_once_every_replica_has_it() -> None:
    arrivals = Arrivals(["n2", "n3"])
    arrivals.on_primary("a.db", 1, 10, 100.0)
    arrivals.on_replica("n2", "a.db", 1, 100.25)
    assert delays(arrivals, 100.3) == []
    arrivals.on_replica("n3", "a.db", 1, 100.5)
    assert delays(arrivals, 100.6) == [("a.db", 1, [250.0, 500.0])]
    assert delays(arrivals, 100.7) == []


def test_a_replica_s_news_may_come_first() -> None:
    arrivals = Arrivals(["n2"])
    arrivals.on_replica("n2", "a.db", 1, 99.5)
    arrivals.on_replica("n2", "a.db", 2, 99.75)
    arrivals.on_primary("a.db", 1, 10, 100.0)
    arrivals.on_primary("a.db", 2, 10, 100.0)
    assert delays(arrivals, 100.0) == [("a.db", 1, [0.0]), ("a.db", 2, [0.0])]


def test_a_snapshot_stands_for_every_transaction_before() -> None:
    arrivals = Arrivals(["n2"])
    for txid in (1, 2, 3):
        arrivals.on_primary("a.db", txid, 10, 100.0)
    arrivals.on_replica("n2", "a.db", 3, 101.0)
    assert [txid for _, txid, _ in delays(arrivals, 101.0)] == [1, 2, 3]


def test_a_silent_replica_is_given_up_on() -> None:
    arrivals = Arrivals(["n2", "n3"], patience=3.0)
    arrivals.on_primary("a.db", 1, 10, 100.0)
    arrivals.on_replica("n2", "a.db", 1, 100.5)
    assert delays(arrivals, 103.0) == []
    assert delays(arrivals, 103.1) == [("a.db", 1, [500.0, None])]


def test_databases_do_not_wait_for_each_other() -> None:
    arrivals = Arrivals(["n2"])
    arrivals.on_primary("a.db", 1, 10, 100.0)
    arrivals.on_primary("b.db", 1, 10, 100.0)
    arrivals.on_replica("n2", "b.db", 1, 100.5)
    assert delays(arrivals, 100.6) == [("b.db", 1, [500.0])]


def test_without_replicas_every_transaction_is_told_at_once() -> None:
    arrivals = Arrivals([])
    arrivals.on_primary("a.db", 1, 10, 100.0)
    assert delays(arrivals, 100.0) == [("a.db", 1, [])]


def test_nobody_waits_for_a_replica_that_is_down() -> None:
    arrivals = Arrivals(["n2", "n3"])
    arrivals.on_primary("a.db", 1, 10, 100.0)
    arrivals.on_replica("n2", "a.db", 1, 100.5)
    assert delays(arrivals, 100.6) == []
    arrivals.away = frozenset({"n3"})
    assert delays(arrivals, 100.6) == [("a.db", 1, [500.0, None])]


def test_what_a_primary_that_is_none_any_more_has_written_is_told_at_once() -> None:
    arrivals = Arrivals(["n2"])
    arrivals.on_primary("a.db", 1, 10, 100.0)
    arrivals.on_primary("b.db", 1, 10, 100.0)
    assert [one.database for one in arrivals.rest()] == ["a.db", "b.db"]
    assert list(arrivals.rest()) == [] == delays(arrivals, 200.0)
