"""A cluster whose nodes are candidates of one lease, and the faults that can befall it.

Each node reaches the lease service, and is reached by the others, through links of its own that can be cut.
The rule: the test's own process touches no mount; its clients do.
"""

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import httpx

from pylitefs.cluster.cluster import Cluster, ClusterNode, Settings, unmount, wait_until
from pylitefs.cluster.nursery import Nursery
from pylitefs.http.lease_server import LeaseServer
from pylitefs.lecture.live.links import Link
from tests.cluster.clients import Client, Clients

TTL_S = 2.0
"""Shorter ones are lost for nothing on a busy machine."""
LOCK_DELAY_S = 0.2
ANSWER_S = 2.0
READONLY = ("attempt to write a readonly database", "disk I/O error")


class Way(Protocol):
    """A connection that can be cut."""

    @property
    def url(self) -> str: ...
    def cut(self) -> None: ...
    def heal(self) -> None: ...
    def close(self) -> None: ...


class Stops(Protocol):
    def stop(self) -> object: ...


class Leased:
    """`count` candidates of one lease, and links around them. As a context manager it starts and stops
    them."""

    def __init__(
        self,
        base: Path,
        count: int = 2,
        *,
        nursery: Nursery | None = None,
        ttl: float = TTL_S,
        node_settings: Mapping[str, Settings] | None = None,
    ) -> None:
        service = LeaseServer(base / "leases", ("127.0.0.1", 0))
        service.start()
        self.service: Stops = service
        self.cluster = Cluster(base / "nodes", count - 1, nursery=nursery)
        self.nodes = list(self.cluster)
        self.lease_links: Mapping[str, Way] = {node.name: Link(service.server.port) for node in self.nodes}
        self.api_links: Mapping[str, Way] = {node.name: Link(node.port) for node in self.nodes}
        own = node_settings or {}
        settings = {node.name: self._settings(node, ttl, own.get(node.name, {})) for node in self.nodes}
        self.cluster._node_settings = settings

    def _settings(self, node: ClusterNode, ttl: float, own: Settings) -> Settings:
        lease: dict[str, Any] = {
            "type": "consul",
            "hostname": node.name,
            "advertise-url": self.api_links[node.name].url,
            "candidate": True,
            "reconnect-delay": "100ms",
            "consul": {
                "url": self.lease_links[node.name].url,
                "key": "litefs/test",
                "ttl": f"{round(ttl * 1000)}ms",
                "lock-delay": f"{round(LOCK_DELAY_S * 1000)}ms",
            },
        }
        more = own.get("lease", {})
        assert isinstance(more, Mapping)
        return {**own, "lease": {**lease, **more}}

    def __enter__(self) -> "Leased":
        """Started one after the other: the first one is the primary."""
        try:
            for node in self.nodes:
                node.dir.mkdir(parents=True, exist_ok=True)
                self.cluster.write_config(node)
                node.start()
                node.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            for node in self.nodes:
                print(f"--- {node.name}\n{node.log_tail(60)}")
        self.stop()

    def stop(self) -> None:
        for node in self.nodes:
            node.signal(signal.SIGCONT)
        codes = self.cluster.stop()
        for link in (*self.lease_links.values(), *self.api_links.values()):
            link.close()
        self.service.stop()
        for node in self.nodes:
            assert codes[node.name] != -signal.SIGABRT, f"{node.name} did not stop:\n{node.log_tail(200)}"

    @classmethod
    def fixture(cls, base: Path, nursery: Nursery | None) -> "Iterator[Callable[..., Leased]]":
        """For a fixture: a function that makes a cluster, which runs until the test's end."""
        clusters: list[Leased] = []

        def make(count: int = 2, **options: Any) -> Leased:
            clusters.append(cls(base, count, nursery=nursery, **options))
            return clusters[-1].__enter__()

        yield make
        for leased in clusters:
            leased.stop()
            for node in leased.nodes:  # Shown where the test fails.
                print(f"--- {node.name}\n{node.log_tail(60)}")

    # What a node says

    def info(self, node: ClusterNode) -> dict[str, Any]:
        """`GET /info`; {} if there is no answer."""
        try:
            facts = httpx.get(f"{node.url}/info", timeout=ANSWER_S, trust_env=False).json()
        except (httpx.HTTPError, json.JSONDecodeError):
            return {}
        assert isinstance(facts, dict)
        return facts

    def is_primary(self, node: ClusterNode) -> bool:
        return bool(self.info(node).get("isPrimary"))

    def wait_primary(self, node: ClusterNode, seconds: float = 15.0) -> float:
        """Wait until it is the primary; how long that took."""
        started = time.monotonic()
        assert wait_until(lambda: self.is_primary(node), seconds, 0.01), f"{node.name} is not the primary"
        return time.monotonic() - started

    def wait_follows(self, node: ClusterNode, primary: ClusterNode, seconds: float = 15.0) -> None:
        """Wait until a node follows this primary."""

        def follows() -> bool:
            facts = self.info(node)
            return not facts.get("isPrimary", True) and facts.get("primary") == {"hostname": primary.name}

        assert wait_until(follows, seconds), f"{node.name} does not follow {primary.name}"

    def wait_same(self, seconds: float = 15.0) -> None:
        """Wait until every node that runs has the same positions."""
        running = [node for node in self.nodes if node.pid]

        def same() -> bool:
            first, *others = (node.positions() for node in running)
            return all(other == first for other in others)

        assert wait_until(same, seconds), {node.name: node.positions() for node in running}

    def post(self, node: ClusterNode, path: str, **params: str) -> httpx.Response:
        return httpx.post(f"{node.url}{path}", params=params, timeout=20.0, trust_env=False)

    def restart(self, node: ClusterNode) -> None:
        """Start a killed node again."""
        unmount(node.mount)
        node.start()
        node.wait_ready()

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
        assert wait_until(condition, seconds, 0.01), f"after {seconds:.0f} s still not: {what}"

    def lost(self, node: ClusterNode) -> list[Path]:
        """The LTX files that the node has kept aside."""
        return sorted((node.data / "lost").glob("*/*/*.ltx"))


def sql(client: Client, *statements: str) -> object:
    """The rows of the last statement, or SQLite's error."""
    answer = client.ask("sql", sql=list(statements))
    return answer.get("error", answer.get("rows"))


def opened(clients: Clients, node: ClusterNode, mode: str = "delete") -> Client:
    """A connection that is there for good, with the table."""
    client = clients(node, "a.db", timeout=5.0)
    sql(client, f"PRAGMA journal_mode={mode}", "CREATE TABLE IF NOT EXISTS t(n INTEGER)")
    return client


def rows(client: Client) -> list[int]:
    found = sql(client, "SELECT n FROM t ORDER BY n")
    assert isinstance(found, list), found
    return [row[0] for row in found]


def put(client: Client, n: int) -> object:
    return sql(client, f"INSERT INTO t VALUES({n})")
