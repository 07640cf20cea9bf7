"""Which node answers, and how far it is: read from the files that LiteFS shows beside a database.

The rule: only for show. Nothing in the application depends on it, and where the files are not there (a
plain SQLite database) it says so.
"""

import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Node:
    name: str
    role: str
    """primary, replica, or alone where the database is an ordinary file."""
    txid: str
    """16 hex digits; empty if the database is not there yet."""
    lag_ms: int
    """How long ago the primary's last word was sent: a transaction, or the heartbeat of each second."""

    @property
    def lag(self) -> str:
        """How old the newest state is that this node knows of."""
        if self.role in {"alone", "primary"}:
            return "–"
        return "not synced yet" if self.lag_ms >= 2**31 - 1 else f"{self.lag_ms / 1000:.1f} s ago"

    def as_json(self) -> dict[str, object]:
        return {**asdict(self), "lag": self.lag}


def this_node(database: Path) -> Node:
    """The facts of the node whose mount holds `database`, as they are now."""
    name = os.environ.get("NODE") or socket.gethostname()
    position = _read(database.with_name(f"{database.name}-pos"))
    lag = _read(database.with_name(".lag"))
    if not lag:
        return Node(name, "alone", "", 0)
    role = "replica" if int(lag) != 0 or _read(database.with_name(".primary")) else "primary"
    return Node(name, role, position.partition("/")[0], max(int(lag), 0))


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
