"""What `pylitefs demo --failover` prints besides transactions: how to kill the primary, and each change of
role as it happens.

The rule: a change is told from what the nodes themselves say (`GET /events`) and from which processes run.
Times are those at which this process heard of it, from one clock.
"""

import signal
import time
from collections.abc import Iterator

from pylitefs.cli.feed import NodeEvent
from pylitefs.cluster.cluster import ClusterNode
from pylitefs.cluster.leased import LOCK_DELAY_S, LeasedCluster
from pylitefs.shown import shown, shown_lines


def invitation(cluster: LeasedCluster, program: str) -> str:
    """What can be done to the primary, to copy, and what follows from it."""
    other = cluster.replicas[0]
    gap, ttl = f"{cluster.longest_gap:g} s", f"{cluster.ttl:g} s"
    return f"""\
Who has the lease is the primary, and renews it all the time. One that is not renewed ends after {ttl};
{LOCK_DELAY_S:g} s later another node may take it. Kill the primary as a crash would:

  {kill_line(cluster.primary)}

Then nobody can write, for up to {gap}. The next primary is told here, with the path to write to.
The killed node is started again {cluster.back_after:g} s after its end, and joins as a replica.
Or have the primary hand its lease over, which takes less than a second:

  {program} run -url {other.url} -promote -- echo {other.name} is the primary
"""


def kill_line(node: ClusterNode) -> str:
    return f"kill -9 {node.pid}"


class RoleTeller:
    """Follows who is the primary of a cluster, and who runs; a line for each change."""

    def __init__(self, cluster: LeasedCluster, database: str, *, kill_lines: bool = True) -> None:
        """`kill_lines`: whether the line that kills the next primary is told, too."""
        self._cluster = cluster
        self._database = database
        self._kill_lines = kill_lines
        self._died: dict[str, float] = {}
        """When nodes that are down now ended."""
        self._follows = {node.name: cluster.primary.name for node in cluster.replicas}
        self._lost = {node.name: _lost(node) for node in cluster}

    def tell(self, event: NodeEvent | None) -> Iterator[str]:
        """Take in an event, if there is one; the lines for what is known by now."""
        yield from self._ends()
        if event is None or event.type not in {"init", "primaryChange"}:
            return
        if event.data.get("isPrimary") is True:
            yield from self._leads(event)
        else:
            yield from self._does_not_lead(event)

    def due(self, back_after: float) -> list[ClusterNode]:
        """The nodes that ended so long ago."""
        now = time.monotonic()
        return [node for node in self._cluster if now - self._died.get(node.name, now) >= back_after]

    def started_again(self, node: ClusterNode) -> str:
        """The demo has started it."""
        self._died.pop(node.name, None)
        return f"{node.name} is started again, with what it has on its disk."

    def _ends(self) -> Iterator[str]:
        for node in self._cluster:
            if node.pid or node.name in self._died:
                continue
            self._died[node.name] = time.monotonic()
            self._follows.pop(node.name, None)
            code = node.process.returncode if node.process else None
            if code == -signal.SIGKILL:
                how = "was killed"
            else:
                how = (
                    f"has ended with exit code {code}; the end of its log:\n{shown_lines(node.log_tail())}\n"
                )
            told = f"{node.name} {how}".rstrip()
            if node.is_primary:
                gap = f"{self._cluster.longest_gap:g} s"
                told += f": nobody can write until another node has the lease, for up to {gap}."
            yield told

    def _leads(self, event: NodeEvent) -> Iterator[str]:
        before, node = self._cluster.primary, self._node(event.node)
        if node is before:
            return
        died = self._died.get(before.name)
        how = f"lease taken {event.at - died:.1f} s after {before.name}'s death" if died else ""
        how = how or f"{before.name} has the lease no longer"
        self._cluster.note_primary(node.name)
        self._follows.pop(node.name, None)
        path = shown(str(node.database(self._database)))
        yield f"{node.name} is the primary now: {how}; writes go to {path}"
        if self._kill_lines:
            yield f"  (its process: {kill_line(node)})"

    def _does_not_lead(self, event: NodeEvent) -> Iterator[str]:
        name, of = event.node, event.data.get("hostname")
        if not isinstance(of, str):
            self._follows.pop(name, None)
        elif self._follows.get(name) != of:
            self._follows[name] = of
            yield f"{name} is a replica of {shown(of)} now."
            yield from self._kept_aside(self._node(name))

    def _kept_aside(self, node: ClusterNode) -> Iterator[str]:
        """What it had committed, and no other node had got."""
        found = _lost(node)
        new = sorted(found - self._lost[node.name])
        self._lost[node.name] = found
        if new:
            number = f"{len(new)} transaction{'' if len(new) == 1 else 's'}"
            folder = shown(str(node.data / "lost"))
            yield f"{node.name} had {number} that no other node had got: kept aside in {folder}"

    def _node(self, name: str) -> ClusterNode:
        return next(node for node in self._cluster if node.name == name)


def _lost(node: ClusterNode) -> set[str]:
    return {str(path) for path in (node.data / "lost").glob("*/*/*.ltx")}
