"""Nodes of pylitefs and of real LiteFS as candidates of one lease, which our lease service keeps.

For who has `litefs` v0.5.14 on the PATH: it is looked for as `pylitefs compare` does.
"""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import ClusterNode, is_mounted
from pylitefs.compare.programs import Program, ProgramError, find
from pylitefs.errors import RemoteError
from pylitefs.http import client
from tests.cluster.clients import Client, Clients
from tests.cluster.leased import READONLY, Leased, opened, put, rows
from tests.cluster.test_handoff import handoffs

pytestmark = [pytest.mark.fuse, pytest.mark.full]


class RealNode(ClusterNode):
    """A node of real LiteFS."""

    program: Program

    def command(self) -> list[str]:
        return self.program.mount_command(self.config, self.mount)

    def is_ready(self) -> bool:
        try:
            facts = client.info(self.url)
        except RemoteError:
            return False
        return is_mounted(self.mount) and (facts.is_primary or facts.primary_hostname is not None)


@pytest.fixture(scope="module")
def litefs() -> Program:
    try:
        return find(None)
    except ProgramError as error:
        pytest.skip(str(error))


@pytest.fixture
def mixed(tmp_path: Path, litefs: Program) -> Iterator[Callable[[int], Leased]]:
    """Makes a pair; the node of that number (0 or 1) is real LiteFS."""
    made: list[Leased] = []

    def make(which: int) -> Leased:
        leased = Leased(tmp_path, 2, ttl=3.0)
        own = leased.nodes[which]
        real = RealNode(own.name, own.dir, own.port, is_primary=False)
        real.program = litefs
        leased.nodes[which] = leased.cluster.nodes[which] = real
        made.append(leased)
        return leased.__enter__()

    yield make
    for leased in made:
        for node in leased.nodes:
            node.signal(signal.SIGCONT)
        leased.stop()
        for node in leased.nodes:
            print(f"--- {node.name}\n{node.log_tail(60)}")


@pytest.fixture
def clients(mixed: Callable[[int], Leased]) -> Iterator[Clients]:
    """They end before the cluster does."""
    del mixed
    found = Clients()
    yield found
    found.discard_all()


def wait_rows(leased: Leased, on: list[Client], wanted: list[int]) -> None:
    leased.until(lambda: all(rows(one) == wanted for one in on), f"everyone has {wanted}", 20.0)


@pytest.mark.parametrize("real_first", [True, False])
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_the_lease_goes_to_and_fro_between_the_two_programs(
    mixed: Callable[[int], Leased], clients: Clients, mode: str, real_first: bool
) -> None:
    """Ten handoffs, a write after each; then the primary is killed, and the other one takes over."""
    leased = mixed(0 if real_first else 1)
    a, b = leased.nodes
    leased.wait_primary(a)
    on_a = opened(clients, a, mode)
    leased.until(lambda: bool(client.databases(b.url)), "the database is on both")
    on_b = clients(b, "a.db", timeout=5.0)
    wanted: list[int] = []
    for number in range(10):
        target, on_target, other = ((b, on_b, on_a), (a, on_a, on_b))[number % 2]
        leased.until(lambda target=target: leased.post(target, "/promote").status_code == 200, "asked")  # type: ignore[misc]
        leased.wait_primary(target)
        leased.until(lambda on=on_target, n=number: put(on, n) == [], "a write")  # type: ignore[misc]
        wanted.append(number)
        wait_rows(leased, [on_a, on_b], wanted)
        assert put(other, -1) in READONLY
    a.kill9()
    on_a.discard()
    leased.wait_primary(b, 30.0)
    leased.until(lambda: put(on_b, 100) == [], "a write")
    leased.restart(a)
    wait_rows(leased, [on_b, clients(a, "a.db", timeout=5.0)], [*wanted, 100])


@pytest.mark.timeout(300)
def test_fifty_handoffs_between_the_two_programs_under_writes(
    mixed: Callable[[int], Leased], clients: Clients
) -> None:
    """What our node acknowledged is there, once. Real LiteFS goes on taking writes while it hands over: some
    that it acknowledged then are gone, in the rollback modes. (In WAL mode it ends itself.)"""
    leased = mixed(1)
    ours, real = leased.nodes
    leased.wait_primary(ours)
    opened(clients, ours)

    def promote(leased: Leased, target: ClusterNode) -> None:
        """Real LiteFS does not wait for a primary that is coming just now."""
        leased.until(lambda: leased.post(target, "/promote").status_code == 200, "asked")

    leased.until(lambda: bool(client.databases(real.url)), "the database is on both")
    by_ours, by_real = handoffs(leased, clients, 50, promote)
    on = [clients(node, "a.db", timeout=5.0) for node in leased.nodes]
    leased.until(lambda: rows(on[0]) == rows(on[1]), "the same rows", 20.0)
    found = rows(on[0])
    assert len(set(found)) == len(found) and set(by_ours.acknowledged) <= set(found)
    lost = sorted(set(by_real.acknowledged) - set(found))
    assert len(lost) <= 50, "more than one a handoff"
    counts = f"{len(by_ours.acknowledged)} and {len(by_real.acknowledged)} rows"
    print(f"50 handoffs: {counts}; lost by real LiteFS: {lost}")
    assert not leased.lost(ours)
