"""Several nodes on this machine that are candidates of one lease, with a lease service beside them.

    base/leases                what the lease service has said (a thread of this process)
    base/n1, n2, n3 …          the nodes; who has the lease is the primary

The rule: the node with the newest data starts first and takes the lease; the others start once it is the
primary. So no start of a cluster gives up what an earlier one had acknowledged.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from pylitefs.cluster.cluster import START_SECONDS, STOP_SECONDS, Cluster, ClusterNode
from pylitefs.http.lease_server import LeaseServer

TTL_S = 3.0
"""A killed primary has the lease for so long at most; a shorter one may be lost on a busy machine."""
LOCK_DELAY_S = 0.5
LOOK_S = 0.1
PAUSE_S = 2.0
KEY = "litefs/demo"
FOLDER = "leases"


class LeasedCluster(Cluster):
    """`count` candidates under `base_dir`, and their lease service. As a context manager it starts and stops
    them all. `note_primary` is told who has the lease, and nobody else knows it here."""

    def __init__(
        self,
        base_dir: Path,
        count: int = 3,
        *,
        ttl: float = TTL_S,
        node_settings: Mapping[str, Mapping[str, object]] | None = None,
        first_port: int | None = None,
    ) -> None:
        super().__init__(base_dir, count - 1, node_settings=node_settings, first_port=first_port)
        self.ttl = ttl
        self.service: LeaseServer | None = None

    @property
    def longest_gap(self) -> float:
        """Seconds without a primary after one was killed, at most, on a machine that is not too busy."""
        return self.ttl + LOCK_DELAY_S + 1.0

    @property
    def back_after(self) -> float:
        """Seconds after which a demo starts a killed node again: another is the primary long before."""
        return 2 * self.ttl + PAUSE_S

    @property
    def primary(self) -> ClusterNode:
        return next(node for node in self.nodes if node.is_primary)

    @property
    def replicas(self) -> list[ClusterNode]:
        return [node for node in self.nodes if not node.is_primary]

    def note_primary(self, name: str) -> None:
        """This node has the lease now."""
        for node in self.nodes:
            node.is_primary = node.name == name

    def start(self, seconds: float = START_SECONDS) -> None:
        self.service = LeaseServer(self.base_dir / FOLDER, ("127.0.0.1", 0))
        self.service.start()
        super().start(seconds)

    def launch(self, seconds: float) -> None:
        first, *others = sorted(self.nodes, key=lambda node: newest(node.data), reverse=True)
        self.note_primary(first.name)
        first.start()
        first.wait_ready(seconds)
        for node in others:
            node.start()
        for node in others:
            node.wait_ready(seconds)

    def stop(self, seconds: float = STOP_SECONDS) -> dict[str, int | None]:
        """Stop every node, together, and then the lease service."""
        codes = super().stop(seconds)
        service, self.service = self.service, None
        if service is not None:
            service.stop()
        return codes

    def lease_of(self, node: ClusterNode) -> dict[str, object]:
        assert self.service is not None
        return {
            "type": "consul",
            "hostname": node.name,
            "advertise-url": node.url,
            "candidate": True,
            "reconnect-delay": f"{round(LOOK_S * 1000)}ms",
            "consul": {
                "url": self.service.url,
                "key": KEY,
                "ttl": f"{round(self.ttl * 1000)}ms",
                "lock-delay": f"{round(LOCK_DELAY_S * 1000)}ms",
            },
        }


def newest(data: Path) -> tuple[int, int]:
    """How new what a node's data directory holds is: the newest primary's number, and its transactions."""
    try:
        term = int(json.loads((data / "terms.json").read_text())["term"])
    except (OSError, ValueError, KeyError, TypeError):
        term = 0
    last = (
        max((path.stem[-16:] for path in one.glob("*.ltx")), default="0") for one in data.glob("dbs/*/ltx")
    )
    return term, sum(int(txid, 16) for txid in last)
