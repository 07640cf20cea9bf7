"""A cluster under load for a while, with faults: `Soak(cluster, clients, links, seed).run(seconds, gap)`.

Two banks, one in WAL mode and one in DELETE mode, each with two writers on the primary and a reader on every
node. Each few seconds a fault is drawn. The primary and one replica keep their processes for the whole time:
their links are cut, delayed and damaged, they are stopped for a moment, their clients and appliers are
killed. What they hold is measured. The third node is killed, started again and emptied.
"""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from pylitefs.cluster.cluster import Cluster, ClusterNode
from pylitefs.lecture.live.links import Link
from tests.cluster.checks import assert_all_equal, txid, wait_txid
from tests.cluster.clients import Clients
from tests.cluster.test_kills import applier_of, kill_applier
from tests.cluster.workload import Workload, wait_seen
from tests.soak.growth import Growth, Sample, growth

BANKS = {"wal.db": "wal", "delete.db": "delete"}
RETENTION_S = 20
SETTINGS = {"data": {"retention": f"{RETENTION_S}s", "retention-monitor-interval": "5s"}}
SAMPLES = 100
"""In a run, however long it is."""
FAULT_EVERY_S = 3.0
PATIENCE_S = 120.0


class Soak:
    """One run."""

    def __init__(self, cluster: Cluster, clients: Clients, links: Mapping[str, Link], seed: int) -> None:
        self.cluster = cluster
        self.clients = clients
        self.links = links
        self.rng = random.Random(seed)
        self.primary, self.steady, self.victim = cluster.nodes
        self.samples: dict[str, list[Sample]] = {node.name: [] for node in (self.primary, self.steady)}
        self.faults: dict[str, int] = {}
        self.seed = seed
        self.work: list[Workload] = []

    def run(self, seconds: float, gap: float) -> None:
        """Load and faults for so long; then all must be level and add up. Writers rest `gap` seconds between
        two transactions."""
        for number, (name, mode) in enumerate(BANKS.items()):
            seed = self.seed + number
            work = Workload(self.cluster, self.clients, seed, mode, writers=2, gap=gap, name=name)
            self.work.append(work)
            for node in self.cluster:
                work.read(node, reopen=True, gap=max(gap, 0.05))
            work.write()
        ends = time.monotonic() + seconds
        next_sample = next_fault = time.monotonic()
        while (now := time.monotonic()) < ends:
            if now >= next_sample:
                next_sample += seconds / SAMPLES
                self._measure()
            if now >= next_fault:
                next_fault = now + self.rng.uniform(0.3, 2) * FAULT_EVERY_S
                self._fault()
            time.sleep(max(0.0, min(next_sample, next_fault, ends) - time.monotonic()))
        self._settle()

    def grown(self) -> dict[str, list[Growth]]:
        """By node."""
        return {name: growth(samples) for name, samples in self.samples.items()}

    def _measure(self) -> None:
        for node in (self.primary, self.steady):
            self.samples[node.name].append(Sample.of(node.pid))

    def _fault(self) -> None:
        faults: list[Callable[[], None]] = [
            self.cut_a_link, self.delay_a_link, self.flip_a_bit, self.stop_for_a_moment, self.kill_an_applier,
            self.kill_a_writer, self.restart_the_third, self.kill_the_third, self.empty_the_third,
        ]  # fmt: skip
        fault = self.rng.choice(faults)
        self.faults[fault.__name__] = self.faults.get(fault.__name__, 0) + 1
        fault()

    # The faults

    def _link(self) -> Link:
        return self.rng.choice(list(self.links.values()))

    def cut_a_link(self) -> None:
        link = self._link()
        link.cut()
        time.sleep(self.rng.uniform(0, 1))
        link.heal()

    def delay_a_link(self) -> None:
        self._link().delay_ms = self.rng.choice((0, 20, 200))

    def flip_a_bit(self) -> None:
        self._link().corrupt_next()

    def stop_for_a_moment(self) -> None:
        node = self.rng.choice(self.cluster.nodes)
        node.signal(signal.SIGSTOP)
        time.sleep(self.rng.uniform(0, 0.7))
        node.signal(signal.SIGCONT)

    def kill_an_applier(self) -> None:
        node = self.rng.choice(self.cluster.nodes)
        if applier_of(node):
            kill_applier(node)

    def kill_a_writer(self) -> None:
        self.rng.choice(self.work).replace_writer(self.rng.randrange(2))

    def restart_the_third(self) -> None:
        self.victim.stop()
        self._begin_again()

    def kill_the_third(self) -> None:
        if applier := applier_of(self.victim):
            with suppress(ProcessLookupError):
                os.kill(applier, signal.SIGKILL)
        self.victim.kill9()
        self._begin_again()

    def empty_the_third(self) -> None:
        """As after the loss of its disk."""
        self.victim.stop()
        shutil.rmtree(self.victim.data)
        self._begin_again()

    def _begin_again(self) -> None:
        self.victim.restart()
        for work in self.work:
            for reader in work.readers:
                if reader.path.is_relative_to(self.victim.mount):
                    reader.ask("reconnect", seconds=PATIENCE_S)

    def _settle(self) -> None:
        for link in self.links.values():
            link.heal()
        for work in self.work:
            goal = txid(self.primary, work.name) + 5
            for node in self.cluster:
                wait_txid(node, work.name, goal, PATIENCE_S)
        for work in self.work:
            work.stop()
        for work in self.work:
            assert_all_equal(self.cluster, work.name, self.clients)
            for reader in work.readers:
                # A node that was killed with its applier, in the middle of a transaction, says so in its log.
                if not reader.path.is_relative_to(self.victim.mount):
                    assert not reader.report()["wrong"], reader.report()
                    wait_seen(reader, work.seqs, PATIENCE_S)


def transactions(cluster: Cluster) -> int:
    """Of both banks."""
    return sum(txid(cluster.primary, name) for name in BANKS)


def own_errors(node: ClusterNode) -> list[str]:
    """Lines of its log that no fault explains."""
    return [line for line in node.log.read_text().splitlines() if "an error of pylitefs itself" in line]
