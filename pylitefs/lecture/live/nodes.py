"""The nodes of a lecture: which role each one has, the way to its primary, and its processes.

    n2 --follows--> link of n2 (a port of this process) --> port of the node it follows

The rule: a node is told of its role by its litefs.yml alone, as in earnest; changing the role is writing
another one and starting it again. Nothing is left behind: `destroy` ends processes and mounts at once.
"""

import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pylitefs.cluster.cluster import (
    START_SECONDS,
    Cluster,
    ClusterNode,
    Settings,
    is_mounted,
    node_facts,
    unmount,
)
from pylitefs.cluster.nursery import Nursery
from pylitefs.control.channel import Control
from pylitefs.errors import LessonError, RemoteError
from pylitefs.lecture.language.commands import MakeCluster
from pylitefs.lecture.live.links import Link
from pylitefs.lecture.live.stillness import Process, children
from pylitefs.lecture.model import Json

DATABASE = "data.db"
"""The database of every lesson."""
ARGUMENTS = ("--observed-locks",)
RECONNECT = "200ms"
HALT_WAIT = "1h"
"""Who wants the HALT lock waits for as long as a class may talk."""


@dataclass(frozen=True, slots=True)
class Role:
    """What a node is started as. `of` is the node that a replica follows, "" on a primary."""

    of: str = ""
    waits: bool = False
    """It follows nobody yet: who has the lease is not known to it."""

    @property
    def is_primary(self) -> bool:
        return not self.of and not self.waits

    def __str__(self) -> str:
        return "primary" if self.is_primary else f"replica of {self.of}" if self.of else "a candidate"


class Stage(Cluster):
    """A cluster whose nodes can change their roles, with a link for each. The first is the primary."""

    def __init__(
        self,
        base_dir: Path,
        made: MakeCluster,
        prepare: Callable[[str, Control], None],
        nursery: Nursery | None = None,
    ) -> None:
        super().__init__(base_dir, made.replicas, settings=_settings(made), controlled=True)
        self.made = made
        self.roles = {node.name: Role("" if node.is_primary else self.primary.name) for node in self.nodes}
        self.links: dict[str, Link] = {}
        self.by_name = {node.name: node for node in self.nodes}
        self._ids: dict[str, str] = {}
        self._started: set[str] = set()
        self._appliers: dict[str, tuple[int, list[int]]] = {}
        for node in self.nodes:
            node.arguments = ARGUMENTS
            node.nursery = nursery
            node.prepare = lambda control, name=node.name: prepare(name, control)  # type: ignore[misc]
            self.links[node.name] = Link(self.primary.port)

    @property
    def names(self) -> list[str]:
        return list(self.by_name)

    def node(self, name: str) -> ClusterNode:
        """A node by its name. LessonError if there is none."""
        if name not in self.by_name:
            raise LessonError(f"there is no node {name}; there is: {', '.join(self.by_name)}")
        return self.by_name[name]

    def running(self, name: str) -> ClusterNode:
        """A node that runs. LessonError if it does not."""
        node = self.node(name)
        if not node.pid:
            raise LessonError(f"{name} is down: start it again with `restart {name}`")
        return node

    def replica(self, name: str) -> Link:
        """The way of a replica to its primary. LessonError if the node is none."""
        self.node(name)
        if self.roles[name].is_primary:
            raise LessonError(f"{name} is a primary and follows nobody: name a replica")
        return self.links[name]

    @property
    def all_links(self) -> list[Link]:
        """All ways that something may be on."""
        return list(self.links.values())

    def cut(self, name: str) -> str:
        """Cut the way of a replica to its primary; what to tell of it."""
        self.links[name].cut()
        return f"The way between {self.roles[name].of} and {name} is cut"

    def is_cut(self, name: str) -> bool:
        return self.links[name].is_cut

    def heal(self, name: str) -> None:
        self.links[name].heal()

    def healable(self, name: str) -> list[str]:
        """Whose ways `heal` makes whole: this node's, or all. LessonError if it has none."""
        if name:
            self.replica(name)
        return [name] if name else self.replicas_by_role

    def over(self, name: str) -> list[str]:
        """The replicas whose streams go over the way of this name."""
        return [name]

    def lease_event(self, node: str, name: str) -> None:
        """A node has passed a tracepoint of its lease."""

    @property
    def alive(self) -> list[ClusterNode]:
        return [node for node in self.nodes if node.pid]

    @property
    def replicas_by_role(self) -> list[str]:
        return [name for name, role in self.roles.items() if not role.is_primary]

    # Starts and ends

    def start(self, seconds: float = START_SECONDS) -> None:
        super().start(seconds)
        self._started = set(self.names)

    def seen_started(self, name: str) -> None:
        self._started.add(name)

    def seen_ended(self, name: str) -> None:
        self._started.discard(name)

    def newly_ended(self) -> list[str]:
        """Nodes that were started, and are not known to have ended, but have."""
        return [name for name in self.names if name in self._started and not self.by_name[name].pid]

    def last_words(self, name: str) -> str:
        """Its exit code and the last line of its log."""
        process = self.by_name[name].process
        code = process.returncode if process is not None else None
        return f"exit code {code}: {self.by_name[name].log_tail(1).strip()}"

    # Roles

    def set_role(self, name: str, role: Role) -> None:
        """What the node is from its next start on; its link leads to the node that it follows.

        What was done to the link was done to the way to another node, so it is whole.
        """
        if role.of and role.of != self.roles[name].of:
            self.links[name].heal()
        self.roles[name] = role
        node = self.node(name)
        node.is_primary = role.is_primary
        if role.of:
            self.links[name].target_port = self.node(role.of).port
        self.write_config(node)

    def role_asked(self, name: str, role: str, of: str) -> Role:
        """The role that `restart NODE [as ROLE [of NODE]]` means. LessonError if it means none."""
        now = self.roles[self.node(name).name]
        if role == "primary":
            return Role()
        if not role and not of:
            return now
        if of:
            self.node(of)
        primaries = [other for other, one in self.roles.items() if one.is_primary and other != name]
        of = of or now.of or (primaries[0] if len(primaries) == 1 else "")
        if not of or of == name:
            raise LessonError(
                f"whom is {name} to follow? Write `restart {name} as replica of NODE`; "
                f"primaries: {', '.join(primaries) or 'none'}"
            )
        return Role(of)

    def role_shown(self, name: str) -> str:
        """primary, replica or down."""
        if not self.node(name).pid:
            return "down"
        return "primary" if self.roles[name].is_primary else "replica"

    def lease_of(self, node: ClusterNode) -> dict[str, object]:
        role = self.roles[node.name]
        return {
            "type": "static",
            "hostname": role.of or node.name,
            "advertise-url": node.url if role.is_primary else self.links[node.name].url,
            "candidate": role.is_primary,
            "reconnect-delay": RECONNECT,
            "halt-acquire-timeout": HALT_WAIT,
        }

    # What is known of the nodes

    def name_of_id(self, node_id: str) -> str | None:
        """The name of the node with this id (hex); a node's id is another after each start."""
        if node_id not in self._ids:
            for node in self.alive:
                try:
                    self._ids[str(node_facts(node.url, 1.0).get("nodeID", ""))] = node.name
                except RemoteError:
                    continue
        return self._ids.get(node_id)

    def processes(self) -> list[Process]:
        """The nodes that run, and their appliers."""
        found: list[Process] = []
        for node in self.alive:
            pid, appliers = self._appliers.get(node.name, (0, []))
            if pid != node.pid or not appliers or any(not Path(f"/proc/{one}").exists() for one in appliers):
                appliers = children(node.pid)
                self._appliers[node.name] = (node.pid, appliers)
            found += [Process(node.pid), *(Process(one, may_wait=True) for one in appliers)]
        return found

    def link_shown(self, name: str) -> Json | None:
        """As `node/NODE/link` has it; None on a primary."""
        of = self.roles[name].of
        if not of:
            return None
        link = self._way_to(of, name)
        state = (
            "cut"
            if self._is_parted(name)
            else "up"
            if self.by_name[of].pid and self.by_name[name].pid
            else "down"
        )
        return {"state": state, "delay_ms": link.delay_ms, "to": of}

    def _way_to(self, of: str, name: str) -> Link:
        del of
        return self.links[name]

    def _is_parted(self, name: str) -> bool:
        """Whether a cut way keeps this replica from its primary."""
        return self.links[name].is_cut

    def shown(self) -> Json:
        """The state's keys of all nodes: roles, mounts, links."""
        found: Json = {"nodes": self.names}
        for name, node in self.by_name.items():
            found[f"node/{name}/role"] = self.role_shown(name)
            found[f"node/{name}/mount"] = str(node.mount)
            found[f"node/{name}/link"] = self.link_shown(name)
        return found

    def should_be_connected(self, name: str) -> bool:
        """Whether nothing but time keeps this replica from its primary."""
        of = self.roles[name].of
        return bool(of and self.by_name[name].pid and self.by_name[of].pid and not self._is_parted(name))

    # Ends

    def close(self) -> None:
        """Stop every node in order, as `pylitefs mount` ends; the links too."""
        try:
            self.stop()
        finally:
            for link in self.all_links:
                link.close()

    def destroy(self) -> None:
        """End everything at once, and remove the nodes' folders: another cluster is to be there."""
        for node in self.nodes:
            node.signal(signal.SIGKILL)
        for node in self.nodes:
            node.stop()
        for link in self.all_links:
            link.close()
        remove(self.base_dir, self.names)


def remove(base_dir: Path, names: Sequence[str]) -> None:
    """Remove nodes' folders; never into a mount, which would drop its databases."""
    for name in names:
        mount = base_dir / name / "mnt"
        unmount(mount)
        if not is_mounted(mount):
            shutil.rmtree(base_dir / name, ignore_errors=True)


def _settings(made: MakeCluster) -> Settings:
    data: Mapping[str, object] = {
        "compress": made.compress,
        "retention": f"{made.retention:g}s",
        "retention-monitor-interval": "1s",
    }
    return {"data": data}
