"""The nodes of a lecture that are candidates of one lease, and their lease service.

    n1, n2, n3 --each over a way of its own--> the lease service, a thread of this process
    the others --over one way--> whoever is the primary

The rule: who is the primary is what the nodes tell of their lease, and nothing else. Time on the lease's
clocks, the service's and the nodes', stands still, and passes when the lesson says so: a class may talk for
longer than a lease lasts.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx

from pylitefs.cluster.cluster import START_SECONDS, ClusterNode
from pylitefs.cluster.nursery import Nursery
from pylitefs.control.channel import Control
from pylitefs.errors import LessonError
from pylitefs.http.lease_server import LeaseServer
from pylitefs.lecture.language.commands import MakeCluster
from pylitefs.lecture.live.links import Link
from pylitefs.lecture.live.nodes import HALT_WAIT, RECONNECT, Role, Stage
from pylitefs.lecture.model import Json

KEY = "litefs/lecture"
LOCK_DELAY_S = 1.0
FOLDER = "leases"
ANSWER_S = 5.0
FENCED = 0.96
"""This share of a lease's time is more than a node uses of it, and less than the service grants."""


class LeasedStage(Stage):
    """The first node takes the lease; then the others follow it."""

    def __init__(
        self,
        base_dir: Path,
        made: MakeCluster,
        prepare: Callable[[str, Control], None],
        nursery: Nursery | None = None,
    ) -> None:
        super().__init__(base_dir, made, prepare, nursery)
        for node in self.nodes:
            self.links[node.name].target_port = node.port
        self.lease_links = {name: Link(0) for name in self.names}
        self.service: LeaseServer | None = None
        self._now = 0.0

    # Starts and ends

    def start(self, seconds: float = START_SECONDS) -> None:
        shutil.rmtree(self.base_dir / FOLDER, ignore_errors=True)
        self.service = LeaseServer(self.base_dir / FOLDER, ("127.0.0.1", 0), clock=lambda: self._now)
        self.service.start()
        for link in self.lease_links.values():
            link.target_port = self.service.server.port
        super().start(seconds)

    def launch(self, seconds: float) -> None:
        first, *others = self.nodes
        first.start()
        first.wait_ready(seconds)
        for node in others:
            node.start()
        for node in others:
            node.wait_ready(seconds)

    def seen_ended(self, name: str) -> None:
        super().seen_ended(name)
        if self.roles[name].is_primary:
            self._leads_no_more(name)

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._end_service()

    def destroy(self) -> None:
        super().destroy()
        self._end_service()

    def _end_service(self) -> None:
        service, self.service = self.service, None
        if service is not None:
            service.stop()
        shutil.rmtree(self.base_dir / FOLDER, ignore_errors=True)

    # The lease

    def lease_of(self, node: ClusterNode) -> dict[str, object]:
        return {
            "type": "consul",
            "hostname": node.name,
            "advertise-url": self.links[node.name].url,
            "candidate": True,
            "reconnect-delay": RECONNECT,
            "halt-acquire-timeout": HALT_WAIT,
            "consul": {
                "url": self.lease_links[node.name].url,
                "key": KEY,
                "ttl": f"{round(self.made.lease * 1000)}ms",
                "lock-delay": f"{round(LOCK_DELAY_S * 1000)}ms",
            },
        }

    @property
    def holder(self) -> tuple[str, str]:
        """Who has the lease, as the service says, and with which session; "" if nobody has it."""
        entry = self.service.service.state.keys.get(KEY) if self.service is not None else None
        if entry is None or not entry.session:
            return "", ""
        return str(json.loads(entry.value)["hostname"]), entry.session

    def pass_service_time(self) -> None:
        """The lease's time passes for the service, and then the lock-delay."""
        for seconds in (self.made.lease, LOCK_DELAY_S):
            self._now += seconds
            assert self.service is not None
            # It looks at its clock when it is asked something.
            httpx.get(f"{self.service.url}/v1/status/leader", timeout=ANSWER_S, trust_env=False)

    @property
    def leader(self) -> str:
        """The node that last said that it is the primary; "" if it says so no longer."""
        return next((name for name, role in self.roles.items() if role.is_primary), "")

    def lease_event(self, node: str, name: str) -> None:
        if name == "lease.acquire":
            for other in self.names:
                self.roles[other] = Role() if other == node else Role(of=node)
                self.by_name[other].is_primary = other == node
        elif name in {"lease.lose", "lease.handoff"} and self.roles[node].is_primary:
            self._leads_no_more(node)

    def _leads_no_more(self, name: str) -> None:
        self.roles[name] = Role(waits=True)
        self.by_name[name].is_primary = False

    # Roles and ways

    def role_asked(self, name: str, role: str, of: str) -> Role:
        if role or of:
            raise LessonError(
                f"the lease decides who is the primary: write `restart {name}`, and, where it is to be the "
                f"primary, `promote {name}` after it"
            )
        return self.roles[self.node(name).name]

    def set_role(self, name: str, role: Role) -> None:
        self.write_config(self.node(name))

    def replica(self, name: str) -> Link:
        """The way to the primary, which is one for all."""
        self.node(name)
        if name != self.leader:
            whom = self.leader or "the node that has the lease"
            raise LessonError(f"in a cluster with a lease the way to the primary is one for all: name {whom}")
        return self.links[name]

    @property
    def all_links(self) -> list[Link]:
        return [*self.links.values(), *self.lease_links.values()]

    def cut(self, name: str) -> str:
        self.links[name].cut()
        self.lease_links[name].cut()
        return f"{name} is cut off from the other nodes, and from the lease service"

    def is_cut(self, name: str) -> bool:
        return self.links[name].is_cut or self.lease_links[name].is_cut

    def heal(self, name: str) -> None:
        self.links[name].heal()
        self.lease_links[name].heal()

    def healable(self, name: str) -> list[str]:
        return [self.node(name).name] if name else self.names

    def over(self, name: str) -> list[str]:
        return [one for one, role in self.roles.items() if role.of == name] or [name]

    def _way_to(self, of: str, name: str) -> Link:
        del name
        return self.links[of]

    def _is_parted(self, name: str) -> bool:
        return self.is_cut(name) or self.links[self.roles[name].of].is_cut

    def shown(self) -> Json:
        holder, session = self.holder
        lease = {"holder": holder, "session": session[:8], "ttl_s": self.made.lease}
        cut = {f"node/{name}/lease": "cut" if link.is_cut else "" for name, link in self.lease_links.items()}
        return {**super().shown(), "lease": lease, **cut}
