"""Three candidates under random faults, a writer on each: what was shipped stays, and one writes at a time.

    PYLITEFS_TEST_SEED=N pytest tests/cluster/test_random_failover.py      one schedule again

A fault hits the primary, or any node, and is over before the next one. So there is always a candidate that
has all that was shipped, and the history must hold: every row that a node showed that has not made it is
there at the end, once; every other acknowledged row is there, too, or in an LTX file that its maker has kept
aside; and no commit was begun on a node after another had become the primary.
"""

import random
import re
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from pylitefs.cluster.cluster import ClusterNode
from pylitefs.ltx.decoder import open_ltx
from tests.cluster.clients import Client, ClientHangs, Clients
from tests.cluster.leased import TTL_S, Leased, Way, sql

pytestmark = pytest.mark.fuse

SHORT_S, LONG_S = 4.0, 20.0
_LEADS = re.compile(r'time=(\S+) level=INFO msg="primary: (\w+) has the lease"')


@dataclass(frozen=True)
class Ack:
    """A row that SQLite has acknowledged."""

    row: str
    node: str
    begun: float
    done: float


class Writer:
    """A client on one node, while the node lives: it inserts rows of its own, and reads where it may not."""

    def __init__(self, clients: Clients, node: ClusterNode, mode: str) -> None:
        self.acks: list[Ack] = []
        self.seen: set[str] = set()
        """Rows that other nodes have made."""
        self._clients, self._node, self._mode = clients, node, mode
        self._count = 0
        self._client: Client | None = None
        self._pid = 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while not self.stop.is_set():
            try:
                if not self._step():
                    self.stop.wait(0.02)
            except (AssertionError, OSError, ClientHangs):
                self._drop()  # Its node is gone, or was for too long.
                self.stop.wait(0.05)

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(OSError):
                client.discard()

    def _step(self) -> bool:
        """Insert a row, or read; False if it is to rest."""
        pid = self._node.pid
        if not pid or pid != self._pid:
            self._drop()
        if self._client is None:
            if not pid:
                return False
            self._client, self._pid = self._clients(self._node, "a.db", timeout=2.0, open="rw"), pid
        self._count += 1
        row, begun = f"row-{self._node.name}-{self._count}-", time.time()
        if sql(self._client, f"INSERT INTO t VALUES('{row}')") == []:
            self.acks.append(Ack(row, self._node.name, begun, time.time()))
            return True
        sql(self._client, "ROLLBACK")
        found = sql(self._client, "SELECT n FROM t")
        if isinstance(found, list):
            self.seen |= {one[0] for one in found if f"-{self._node.name}-" not in one[0]}
        return False


class Faults:
    """What may happen, one after the other."""

    def __init__(self, leased: Leased, draw: random.Random) -> None:
        self.leased, self.draw = leased, draw
        self.told: list[str] = []

    def settled(self) -> bool:
        """There is a primary, and the others follow it."""
        facts = [self.leased.info(node) for node in self.leased.nodes]
        leaders = [one for one in facts if one.get("isPrimary")]
        return len(leaders) == 1 and all(one.get("primary") for one in facts)

    def one(self) -> None:
        """Draw a fault, have it, mend it, and wait until all is well again."""
        nodes = self.leased.nodes
        primary = next((node for node in nodes if self.leased.is_primary(node)), nodes[0])
        node = primary if self.draw.random() < 0.7 else self.draw.choice(nodes)
        what = self.draw.choice(
            ["kill", "stop", "pause", "no lease service", "no replicas", "lose", "promote"]
        )
        self.told.append(f"{what} {node.name}")
        seconds = self.draw.uniform(0.1, 2.5) * TTL_S
        match what:
            case "kill":
                node.kill9()
                time.sleep(seconds / 2)
                self.leased.restart(node)
            case "stop":
                node.stop()
                self.leased.restart(node)
            case "pause":
                node.signal(signal.SIGSTOP)
                time.sleep(seconds)
                node.signal(signal.SIGCONT)
            case "no lease service":
                self._cut(self.leased.lease_links[node.name], seconds)
            case "no replicas":
                self._cut(self.leased.api_links[node.name], seconds)
            case "lose":
                self.leased.api_links[node.name].cut()
                time.sleep(seconds / 4)
                node.signal(signal.SIGSTOP)
                time.sleep(seconds)
                self.leased.api_links[node.name].heal()
                node.signal(signal.SIGCONT)
            case "promote":
                self.leased.post(node, "/promote")
        self.leased.until(self.settled, f"a primary and two replicas after {self.told}", 30.0)

    @staticmethod
    def _cut(link: Way, seconds: float) -> None:
        link.cut()
        time.sleep(seconds)
        link.heal()


def leads(nodes: list[ClusterNode]) -> list[tuple[float, str]]:
    """When each node became the primary, by its own log."""
    found = [one for node in nodes for one in _LEADS.findall(node.log.read_text())]
    return sorted((datetime.fromisoformat(at).astimezone(UTC).timestamp(), name) for at, name in found)


def reigning(changes: list[tuple[float, str]], begun: float, done: float) -> set[str]:
    """Who was the primary at any time between; the log's times are rounded to milliseconds."""
    before = [name for at, name in changes if at <= begun - 0.002]
    return {*before[-1:], *(name for at, name in changes if begun - 0.002 < at <= done + 0.002)}


def kept_rows(leased: Leased) -> str:
    """All that lies in the LTX files that were kept aside."""
    content = bytearray()
    for node in leased.nodes:
        for path in leased.lost(node):
            with open_ltx(path) as decoder:
                for _, page in decoder.pages():
                    content += page
    return content.decode("latin-1")


def live(leased: Leased, clients: Clients, seed: int, seconds: float) -> None:
    draw = random.Random(seed)
    mode = draw.choice(["delete", "wal", "persist", "truncate"])
    first = clients(leased.nodes[0], "a.db", timeout=5.0)
    assert sql(first, f"PRAGMA journal_mode={mode}", "CREATE TABLE t(n TEXT)") == []
    first.discard()
    leased.wait_same()
    faults = Faults(leased, draw)
    writers = [Writer(clients, node, mode) for node in leased.nodes]
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            faults.one()
    finally:
        for writer in writers:
            writer.stop.set()
        for writer in writers:
            writer.thread.join(60)
        print(f"seed {seed}, {mode}: {', '.join(faults.told)}")
    leased.wait_same()
    check(leased, clients, writers)


def check(leased: Leased, clients: Clients, writers: list[Writer]) -> None:
    found: list[list[str]] = []
    for node in leased.nodes:
        client = clients(node, "a.db", timeout=5.0)
        rows = sql(client, "SELECT n FROM t ORDER BY n")
        assert isinstance(rows, list) and sql(client, "PRAGMA integrity_check") == [["ok"]]
        found.append([row[0] for row in rows])
    assert found[0] == found[1] == found[2]
    there = set(found[0])
    assert len(there) == len(found[0]), "a row is there twice"
    shipped = set[str]().union(*(writer.seen for writer in writers))
    acks = [ack for writer in writers for ack in writer.acks]
    print(f"{len(acks)} rows acknowledged, {len(shipped)} seen elsewhere, {len(there)} there")
    assert shipped <= there, f"shipped and gone: {sorted(shipped - there)[:5]}"
    gone = [ack.row for ack in acks if ack.row not in there]
    kept = kept_rows(leased)
    assert all(row in kept for row in gone), (
        f"gone and not kept: {[row for row in gone if row not in kept][:5]}"
    )
    changes = leads(leased.nodes)
    for ack in acks:
        assert ack.node in reigning(changes, ack.begun, ack.done), f"{ack}: {changes}"


def test_a_random_failover(made: Callable[..., Leased], clients: Clients, seed: int) -> None:
    """One short schedule."""
    live(made(3), clients, seed, SHORT_S)


@pytest.mark.full
@pytest.mark.timeout(180)
@pytest.mark.parametrize("number", range(50))
def test_random_failovers(made: Callable[..., Leased], clients: Clients, number: int) -> None:
    """Fifty schedules of 20 seconds, always the same."""
    live(made(3), clients, number, LONG_S)
