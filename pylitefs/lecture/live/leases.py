"""What can be done with the lease of a lecture's nodes: let it run out, or have it handed over.

The rule: the nodes decide, as in earnest; here the time passes, or a node is asked. A command ends when what
follows from it has happened, as far as that is not held.
"""

import time
from collections.abc import Callable, Mapping

from pylitefs.cluster.cluster import node_facts
from pylitefs.errors import LessonError
from pylitefs.http import client
from pylitefs.lecture.language import commands
from pylitefs.lecture.language.commands import Command
from pylitefs.lecture.live.faults import Reconnects
from pylitefs.lecture.live.leased_stage import FENCED, LeasedStage
from pylitefs.lecture.live.scene import Scene
from pylitefs.lecture.live.settling import Settling

TAKEN_S = 5.0
"""So long a command waits until a node that can have the lease has it, or is held on the way."""
REFUSED = "handoff unsuccessful"
"""What a primary's log says that goes on as the primary."""


class Leases:
    def __init__(self, scene: Scene, settling: Settling) -> None:
        self._scene = scene
        self._settling = settling
        self.doing: Mapping[type[Command], Callable[..., None]] = {
            commands.ExpireLease: self._expire,
            commands.Promote: self._promote,
            commands.Handoff: self._hand_off,
        }

    @property
    def _nodes(self) -> LeasedStage:
        nodes = self._scene.nodes
        if not isinstance(nodes, LeasedStage):
            raise LessonError("these nodes have no lease: begin with `cluster replicas 2 lease 10s`")
        return nodes

    def _expire(self, command: commands.ExpireLease) -> None:
        del command
        scene, nodes = self._scene, self._nodes
        holder, session = nodes.holder
        if not holder:
            raise LessonError("nobody has the lease: there is nothing that could end")
        scene.born += 1
        ttl = f"{nodes.made.lease:g} s"
        scene.tell("fault", "expire-lease", f"{ttl} pass, and the lease of {holder} is not renewed", holder)
        # The holder's own clock first: it stops before the service gives the lease to another.
        for node in nodes.alive:
            try:
                if node.control is not None:
                    node.control.pass_lease_time(FENCED * nodes.made.lease)
            except EOFError:
                continue
        self._settling.settle()
        with Reconnects(scene, self._settling, nodes.names):
            if nodes.holder[1] == session:
                nodes.pass_service_time()
                scene.tell(
                    "command", "expire-lease", f"For the lease service the session of {holder} is over"
                )
            self._wait(lambda: nodes.leader not in {"", holder} or self._all_held())
        self._settling.settle()

    def _promote(self, command: commands.Promote) -> None:
        node = self._nodes.running(command.node)
        told = f"{command.node} asks the primary for its lease"
        self._change("promote", command.node, told, lambda: client.promote(node.url))

    def _hand_off(self, command: commands.Handoff) -> None:
        nodes = self._nodes
        node = nodes.running(command.node)
        if not nodes.leader:
            raise LessonError("nobody has the lease, so nobody can hand it over")
        primary = nodes.running(nodes.leader)
        id = str(node_facts(node.url).get("nodeID", ""))
        told = f"{primary.name} is told to hand its lease to {command.node}"
        self._change("handoff", command.node, told, lambda: client.hand_off(primary.url, id))

    def _change(self, verb: str, target: str, told: str, ask: Callable[[], None]) -> None:
        scene, nodes = self._scene, self._nodes
        primary = nodes.by_name[nodes.leader] if nodes.leader else None
        before = primary.log.read_text(errors="replace").count(REFUSED) if primary else 0

        def refused() -> bool:
            return primary is not None and primary.log.read_text(errors="replace").count(REFUSED) > before

        scene.born += 1
        scene.tell("command", verb, told, target)
        with Reconnects(
            scene, self._settling, [name for name in nodes.names if name != target]
        ) as reconnects:
            ask()
            self._wait(lambda: nodes.leader == target or refused() or self._is_held())
            if refused() and primary is not None:
                reconnects.wanted = []
                why = next(line for line in reversed(primary.log_tail(50).splitlines()) if REFUSED in line)
                why = why.partition("continuing as primary: ")[2].rstrip('"')
                text = f"{primary.name} goes on as the primary: {why}"
                scene.tell("command", verb, text, primary.name)
        self._settling.settle()

    def _is_held(self) -> bool:
        return any(held.name.startswith("lease.") for held in self._scene.holds.on())

    def _all_held(self) -> bool:
        """Whether every node that could take the lease is held on the way to it."""
        nodes, holds = self._nodes, self._scene.holds
        able = [node.name for node in nodes.alive if not nodes.is_cut(node.name)]
        return all(any(held.name.startswith("lease.") for held in holds.on(name)) for name in able)

    def _wait(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TAKEN_S
        self._settling.refresh()
        while not done() and time.monotonic() < deadline:
            self._scene.check_open()
            time.sleep(0.005)
            self._settling.refresh()
