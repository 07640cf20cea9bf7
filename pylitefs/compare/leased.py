"""Two candidates of one lease, each of any program, and the lease service that is theirs alone.

The rule: the service is ours, for both programs, and keeps nothing on a disk. It notes every request; a node
shows its name as the token, so each is told from the others.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pylitefs.cluster.cluster import START_SECONDS, STOP_SECONDS, ClusterError, Settings, unmount, wait_until
from pylitefs.cluster.ports import free_ports
from pylitefs.compare.lease_log import Request
from pylitefs.compare.nodes import ProgramNode, System, lag_is_known
from pylitefs.compare.programs import Program
from pylitefs.errors import RemoteError
from pylitefs.http import client
from pylitefs.http.client import NodeInfo
from pylitefs.http.lease_server import LeaseApp
from pylitefs.http.server import HttpServer
from pylitefs.lease.service import Service, State
from pylitefs.store.status import lease_clock

PREFIX, KEY = "compare", "litefs/primary"
TTL, LOCK_DELAY, RECONNECT = "3s", "2500ms", "1s"
"""The lock-delay is longer than the pause between two questions: after a crash everybody is refused once."""
SETTLE_SECONDS = 30.0


class RecordedLeases:
    """A lease service on a port of its own that notes what it is asked. `start()`, `stop()`."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._inner: ASGIApp = LeaseApp(Service(State(), lease_clock, lambda state: None)).app
        self.app: ASGIApp = self._recorded
        self._server = HttpServer(self, ("127.0.0.1", 0))

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def end_streams(self) -> None:
        """There are none."""

    def url(self, node: str) -> str:
        """Where this node finds the service: its name is its token."""
        return f"http://:{node}@127.0.0.1:{self._server.port}/{PREFIX}"

    @property
    def acquired(self) -> int:
        """How often somebody has become the primary."""
        return sum(one.is_acquired for one in list(self.requests))

    async def _recorded(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        body, answer, status = bytearray(), bytearray(), 0

        async def receive_noting() -> Message:
            message = await receive()
            body.extend(message.get("body", b""))
            return message

        async def send_noting(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            answer.extend(message.get("body", b""))
            if message["type"] == "http.response.body" and not message.get("more_body"):
                self.requests.append(_request(scope, bytes(body), status, bytes(answer)))
            await send(message)

        await self._inner(scope, receive_noting, send_noting)


def _request(scope: Scope, body: bytes, status: int, answer: bytes) -> Request:
    headers = {name.lower().decode(): value.decode("latin-1") for name, value in scope["headers"]}
    query = scope["query_string"].decode()
    return Request(
        node=headers.get("x-consul-token", "?"),
        method=scope["method"],
        path=scope["path"] + (f"?{query}" if query else ""),
        content_type=headers.get("content-type", ""),
        body=body.decode("utf-8", "replace"),
        status=status,
        answer=answer.decode("utf-8", "replace"),
    )


class Candidate(ProgramNode):
    """A node that may become the primary; `is_primary` is what it was when it was last looked at."""

    def has_its_role(self, facts: NodeInfo) -> bool:
        return facts.is_primary or (facts.primary_hostname is not None and lag_is_known(self.mount))

    def facts(self) -> NodeInfo | None:
        """What it says of itself; None if it says nothing."""
        try:
            return client.info(self.url) if self.pid else None
        except RemoteError:
            return None


class LeasedSystem(System):
    """Candidates `n1` and `n2`. `pair` is the primary and then the other one, whichever is which just now."""

    def __init__(
        self,
        base_dir: Path,
        first: Program,
        second: Program | None = None,
        *,
        settings: Settings | None = None,
        node_settings: Mapping[str, Settings] | None = None,
        reconnect: str = RECONNECT,
    ) -> None:
        super().__init__(base_dir, first, second, settings=settings)
        self.leases = RecordedLeases()
        self.candidates = [
            Candidate(f"n{n}", self.base_dir / f"n{n}", port, is_primary=n == 1, program=program)
            for n, (program, port) in enumerate(zip((first, second or first), free_ports(2), strict=True), 1)
        ]
        self.pair = list(self.candidates)
        self.nodes = list(self.candidates)
        self._reconnect = reconnect
        self._own = node_settings or {}

    def start(self, seconds: float = START_SECONDS) -> None:
        """One after the other: the first is the primary."""
        self.leases.start()
        self._node_settings = {node.name: self._settings_of(node) for node in self.candidates}
        try:
            for node in self.candidates:
                node.dir.mkdir(parents=True, exist_ok=True)
                self.write_config(node)
                node.start()
                node.wait_ready(seconds)
        except BaseException:
            self.stop()
            raise

    def stop(self, seconds: float = STOP_SECONDS) -> dict[str, int | None]:
        codes = super().stop(seconds)
        self.leases.stop()
        return codes

    def _settings_of(self, node: ProgramNode) -> Settings:
        lease: dict[str, Any] = {
            "type": "consul",
            "hostname": node.name,
            "advertise-url": node.url,
            "candidate": True,
            "reconnect-delay": self._reconnect,
            "consul": {
                "url": self.leases.url(node.name),
                "key": KEY,
                "ttl": TTL,
                "lock-delay": LOCK_DELAY,
            },
        }
        own = self._own.get(node.name, {})
        more = own.get("lease", {})
        assert isinstance(more, Mapping)
        return {**own, "lease": {**lease, **more}}

    def node(self, name: str) -> Candidate:
        return next(node for node in self.candidates if node.name == name)

    def leader(self) -> Candidate | None:
        """The primary, if there is one and every other node that runs follows it."""
        told = {node.name: facts for node in self.candidates if (facts := node.facts()) is not None}
        leaders = [name for name, facts in told.items() if facts.is_primary]
        others = [facts.primary_hostname for name, facts in told.items() if name not in leaders]
        if len(leaders) != 1 or others != leaders * len(others):
            return None
        return self.node(leaders[0]) if len(told) == sum(bool(node.pid) for node in self.candidates) else None

    def settle(self, *, after: int = 0, seconds: float = SETTLE_SECONDS) -> Candidate | None:
        """Wait until one node leads and the others follow, after so many had the lease; who leads.

        None if it does not come to that in time.
        """

        def is_settled() -> bool:
            return self.leases.acquired > after and self.leader() is not None

        if not wait_until(is_settled, seconds) or (leader := self.leader()) is None:
            return None
        for node in self.candidates:
            node.is_primary = node is leader
        self.order()
        return leader

    def order(self) -> None:
        """Who is asked for what the primary has: the primary, or while it does not run the other one."""
        self.pair = sorted(self.candidates, key=lambda node: (not node.pid, not node.is_primary))

    def crash(self, node: Candidate) -> None:
        """End it as `kill -9` does, and wait until the others have noticed."""
        node.kill9()
        self.order()
        others = [one for one in self.candidates if one is not node and one.pid]

        def is_noticed() -> bool:
            told = [one.facts() for one in others]
            return all(facts is not None and facts.primary_hostname != node.name for facts in told)

        if not wait_until(is_noticed, SETTLE_SECONDS):
            raise ClusterError(f"nobody notices that {node.name} is gone")

    def start_again(self, node: Candidate) -> None:
        """After `stop` or `crash`, on the same files."""
        unmount(node.mount)
        node.restart()
