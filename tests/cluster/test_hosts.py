"""The failovers once more, between hosts: what is cut there is silent, as between machines."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import forked
from tests.cluster import test_failover as failover
from tests.cluster.clients import Clients
from tests.cluster.hosts import Hosts, Housed, hosts, why_not
from tests.cluster.leased import Leased
from tests.cluster.test_random_failover import LONG_S, live

WHY_NOT = why_not()
pytestmark = [pytest.mark.fuse, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "there are")]

CASES: list[Callable[..., None]] = [
    failover.test_a_killed_primary_is_replaced_and_comes_back_as_a_replica,
    failover.test_a_primary_that_is_stopped_gives_the_lease_back_at_once,
    failover.test_a_paused_primary_is_none_when_it_wakes_and_its_last_commits_are_kept_aside,
    failover.test_a_primary_without_replicas_stays_the_primary,
]


@pytest.fixture
def three() -> Iterator[Hosts]:
    forked.shared()  # What it forks has its network: it must not be begun on a host that goes.
    with hosts(["watch", "lease", "n1", "n2", "n3"]) as made:
        yield made


def play(three: Hosts, base: Path, case: Callable[..., None], **more: Any) -> None:
    """A test of loopback clusters, on hosts."""
    clusters: list[Housed] = []
    clients = Clients()

    def made(count: int = 2, **options: Any) -> Leased:
        clusters.append(Housed(three, base, count, **options))
        return clusters[-1].__enter__()

    def work() -> None:
        try:
            case(made, clients, **more)
        finally:
            clients.discard_all()
            for cluster in clusters:
                cluster.stop()
                for node in cluster.nodes:  # Shown where the test fails.
                    lines = node.log_tail(100_000).splitlines()
                    print(f"--- {node.name}", *(line for line in lines if "refused on" not in line), sep="\n")

    three.run(work)


def test_a_primary_whose_lease_service_falls_silent_stops_before_another_begins(
    three: Hosts, tmp_path: Path
) -> None:
    """No connection breaks, and no request is refused: nothing comes back."""
    play(three, tmp_path, failover.test_a_primary_without_its_lease_service_stops_before_another_begins)


@pytest.mark.full
@pytest.mark.parametrize("case", CASES)
def test_each_failover_between_hosts(three: Hosts, tmp_path: Path, case: Callable[..., None]) -> None:
    modes = {"mode": "wal"} if "mode" in case.__annotations__ else {}
    play(three, tmp_path, case, **modes)


@pytest.mark.full
@pytest.mark.timeout(180)
@pytest.mark.parametrize("number", range(10))
def test_random_failovers_between_hosts(three: Hosts, tmp_path: Path, number: int) -> None:
    """Ten schedules of 20 seconds, with clients on each node, and the whole history looked at."""
    play(three, tmp_path, lambda made, clients: live(made(3), clients, number, LONG_S))
