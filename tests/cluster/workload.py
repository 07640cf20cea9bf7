"""A bank on a cluster: writers on the primary, readers anywhere, and what all of them must say in the end."""

import random

from pylitefs.cluster.cluster import Cluster, ClusterNode
from tests.cluster.checks import assert_all_equal, assert_history_adds_up, eventually, wait_level
from tests.cluster.clients import Client, Clients

DB = "bank.db"
PAGE_SIZES = (512, 1024, 4096, 4096, 8192)


class Workload:
    """A bank and its clients. The seed decides about page size (where it is not given), auto_vacuum, and
    what the writers do; they pause for `gap` seconds between two transactions."""

    def __init__(
        self,
        cluster: Cluster,
        clients: Clients,
        seed: int,
        mode: str,
        *,
        writers: int = 3,
        gap: float = 0.0,
        page_size: int = 0,
        name: str = DB,
    ) -> None:
        self.cluster = cluster
        self.name = name
        self.gap = gap
        self.clients = clients
        self.rng = random.Random(seed)
        self.readers: list[Client] = []
        size, auto_vacuum = page_size or self.rng.choice(PAGE_SIZES), self.rng.choice((0, 0, 1, 2))
        print(f"page_size={size} auto_vacuum={auto_vacuum}")
        maker = clients(cluster.primary, name)
        maker.ask("make", mode=mode, page_size=size, auto_vacuum=auto_vacuum, writers=writers)
        maker.close()
        self.writers = [self._writer(number, gap) for number in range(writers)]
        wait_level(cluster, name)

    def _writer(self, number: int, gap: float) -> Client:
        more = {"number": number, "seed": self.rng.random(), "gap": gap, "reopen": True}
        return self.clients(self.cluster.primary, self.name, "writer", timeout=20.0, open="rw", **more)

    def replace_writer(self, number: int) -> None:
        """Kill a writer in the middle of whatever it does, and have another go on in its place."""
        self.writers[number].kill9()
        self.writers[number] = self._writer(number, self.gap)
        self.writers[number].run()

    def read(self, node: ClusterNode, **options: object) -> Client:
        """A reader that begins at once; `timeout`, `gap` and the like are options of client.py."""
        reader = self.clients(
            node, self.name, "reader", **({"timeout": 20.0, "gap": 0.05, "open": "rw"} | options)
        )
        reader.run()
        self.readers.append(reader)
        return reader

    def write(self, count: int = 1 << 60) -> None:
        """Have each writer make so many transactions."""
        for writer in self.writers:
            writer.run(count)

    def finish(self, seconds: float = 60.0, *, errors: bool = False) -> None:
        """Wait until the writers have done what they were told; without `errors`, nothing may go wrong."""

        def done() -> bool:
            reports = [writer.report() for writer in self.writers]
            assert errors or not any(report["errors"] for report in reports), reports
            return not any(report["running"] for report in reports)

        eventually(done, "the writers to finish", seconds)

    def stop(self) -> None:
        """Have the writers stop after the transaction at hand."""
        for writer in self.writers:
            writer.ask("pause")

    @property
    def seqs(self) -> dict[str, int]:
        """How many transactions of each writer are committed."""
        return {str(number): writer.report()["seq"] for number, writer in enumerate(self.writers)}

    def assert_settles(self) -> None:
        """All nodes end equal; every reader comes to see what was written last, and nobody saw anything
        wrong; each node's LTX files add up."""
        assert_all_equal(self.cluster, self.name, self.clients)
        seqs = self.seqs
        for reader in self.readers:
            wait_seen(reader, seqs)
        for node in self.cluster:
            assert_history_adds_up(node, self.name)

    def assert_saw_nothing_wrong(self) -> None:
        """No reader saw half a transaction, or one older than before, or (but for those that reopen) an
        error."""
        for reader in self.readers:
            assert_saw_nothing_wrong(reader)


def assert_saw_nothing_wrong(reader: Client) -> None:
    report = reader.report()
    assert not report["wrong"], f"{reader.name}: {report}"
    assert report["steps"] > 0, f"{reader.name} never read: {report}"
    assert reader.options.get("reopen") or not report["errors"], f"{reader.name}: {report}"


def wait_seen(reader: Client, seqs: dict[str, int], seconds: float = 15.0) -> None:
    """Wait until a reader sees each writer's newest transaction: what it reads is not stale."""
    eventually(lambda: reader.report()["seen"] == seqs, f"{reader.name} to see {seqs}", seconds)
