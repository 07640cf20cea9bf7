"""A primary and a replica, each of pylitefs or of the other program, as processes on this machine.

The rule is `cluster/cluster.py`'s: nothing is left behind. What differs is how a node that is not pylitefs is
started (under a guard), and how one tells that it serves (it has no `ready` of its own to ask for).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pylitefs.cluster.cluster import Cluster, ClusterError, ClusterNode, Settings, is_mounted
from pylitefs.cluster.ports import free_ports
from pylitefs.compare.programs import Program
from pylitefs.errors import RemoteError
from pylitefs.http import client

NEVER_SYNCED = b"+2147483647"
BACKUP = "backup"


def lag_is_known(mount: Path) -> bool:
    """Whether a replica has caught up once."""
    return (mount / ".lag").read_bytes() != NEVER_SYNCED


@dataclass
class ProgramNode(ClusterNode):
    """A node of any program."""

    program: Program | None = None

    @property
    def role(self) -> str:
        return "primary" if self.is_primary else "replica"

    @property
    def databases_dir(self) -> Path:
        return self.data / "dbs"

    def command(self) -> list[str]:
        assert self.program is not None
        return self.program.mount_command(self.config, self.mount)

    def is_ready(self) -> bool:
        assert self.program is not None
        if self.program.is_pylitefs:
            return super().is_ready()
        if not self.pid:
            code = self.process.returncode if self.process else None
            raise ClusterError(f"{self.program.name} ended with exit code {code}:\n{self.log_tail()}")
        if not is_mounted(self.mount):
            return False
        try:
            facts = client.info(self.url)
        except RemoteError:
            return False
        return self.has_its_role(facts)

    def has_its_role(self, facts: client.NodeInfo) -> bool:
        """Whether it serves as what it is to be."""
        if self.is_primary:
            return facts.is_primary
        return facts.primary_hostname is not None and lag_is_known(self.mount)

    def node_id(self) -> str:
        """The node's id, new at each start: 16 upper-case hex digits."""
        return client.info(self.url).node_id

    def ltx_files(self, database: str) -> dict[str, Path]:
        """The database's LTX files in the data directory, by name."""
        folder = self.databases_dir / database / "ltx"
        return {path.name: path for path in sorted(folder.glob("*.ltx"))}


class System(Cluster):
    """A primary `n1` and a replica `n2`; for a mixed one each of another program."""

    def __init__(
        self,
        base_dir: Path,
        primary: Program,
        replica: Program | None = None,
        *,
        settings: Settings | None = None,
        node_settings: Mapping[str, Settings] | None = None,
    ) -> None:
        super().__init__(base_dir, 0, settings=settings, node_settings=node_settings)
        programs = (primary, replica or primary)
        self.program = primary
        self.pair = [
            ProgramNode(f"n{n}", self.base_dir / f"n{n}", port, is_primary=n == 1, program=program)
            for n, (program, port) in enumerate(zip(programs, free_ports(2), strict=True), start=1)
        ]
        self.nodes = list(self.pair)

    @property
    def backup(self) -> Path:
        """The folder of a backup of type `file`."""
        return self.base_dir / BACKUP

    @property
    def name(self) -> str:
        return self.program.name

    def restart(self, number: int) -> None:
        """Stop node `number` (0 the primary) and start it again on the same files."""
        self.pair[number].stop()
        self.pair[number].restart()
        # A replica whose primary was away tries again after a second.
        self.pair[1].wait_ready()
