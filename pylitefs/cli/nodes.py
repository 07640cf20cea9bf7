"""Which nodes a command is about, and what each of them says of itself.

The rule: a node that does not answer is a row too, with the reason; nothing here waits longer than a
few seconds for one.
"""

import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pylitefs.cluster import own_folder
from pylitefs.cluster.cluster import node_facts
from pylitefs.config import load_config
from pylitefs.errors import ConfigError, PylitefsError, RemoteError
from pylitefs.http import client

LAG_NEVER_SYNCED = 2147483647
SKEW_S = 2.0
"""A difference of two nodes' clocks that is worth being shown."""


@dataclass(frozen=True)
class ReplicaBehind:
    """What a connected replica lacks of one database, as its primary says."""

    node_id: str
    database: str
    transactions: int
    size: int
    """In bytes."""
    seconds: float

    def told(self, names: Mapping[str, str]) -> str:
        """For people; `names` are the nodes' by their ids."""
        replica = names.get(self.node_id, self.node_id)
        return (
            f"replica {replica} lacks {self.transactions:,} transactions of {self.database} "
            f"({self.size:,} bytes), the oldest is {self.seconds:,.1f} s old"
        )


@dataclass(frozen=True)
class NodeReport:
    """What one node said, or why it said nothing (`error`)."""

    name: str
    url: str
    error: str = ""
    is_primary: bool = False
    primary_hostname: str | None = None
    lag_ms: int | None = None
    """None where the node does not tell."""
    clock_ahead_ms: int | None = None
    """How far its clock is ahead of its primary's; None where it does not tell."""
    disk: str = ""
    """What is wrong with its disk; "" if nothing is."""
    databases: Mapping[str, client.DatabaseFacts] = field(default_factory=dict)
    set_aside: Mapping[str, str] = field(default_factory=dict)
    """Databases that the node does not serve, and why."""
    node_id: str = ""
    behind: tuple[ReplicaBehind, ...] = ()
    """What its connected replicas lack."""
    lease_ttl: float = 0.0
    """Seconds of a lease that changes hands; 0 where there is none."""
    lease_left: float | None = None
    """For how many seconds it has the lease; None where another has it."""
    role_changes: tuple[str, ...] = ()
    """Since its start, oldest first, for people."""
    halted: Mapping[str, str] = field(default_factory=dict)
    """On a primary: databases whose HALT lock a replica has, and that replica's node id."""
    backup: Mapping[str, str] = field(default_factory=dict)
    """What is wrong with its backup, by database; "" is the backup as a whole."""
    backup_told: str = ""
    """How far its backup is, for people; "" where it makes none."""

    @property
    def lease_told(self) -> str:
        """For people; "" where it has no lease."""
        if self.lease_left is None:
            return ""
        return f"{self.name} has the lease of {self.lease_ttl:g} s for another {self.lease_left:.1f} s"

    @property
    def roles_told(self) -> str:
        """For people; "" where the lease does not change hands."""
        changes = "; ".join(self.role_changes)
        return f"{self.name} was: {changes}" if self.lease_ttl and changes else ""

    @property
    def role(self) -> str:
        if self.error:
            return "unreachable"
        return "primary" if self.is_primary else "replica"

    @property
    def lag(self) -> str:
        """For people: empty on the primary."""
        if self.error or self.is_primary:
            return ""
        if self.lag_ms is None:
            return "unknown"
        if self.lag_ms >= LAG_NEVER_SYNCED:
            return "never synced"
        return f"{self.lag_ms:,} ms{self._skew}"

    @property
    def _skew(self) -> str:
        seconds = (self.clock_ahead_ms or 0) / 1000
        if abs(seconds) < SKEW_S:
            return ""
        return f" (clock {abs(seconds):,.0f} s {'ahead' if seconds > 0 else 'behind'})"


def ask(name: str, url: str, token: str = "") -> NodeReport:
    """Ask one node; `token` where it is not the environment's."""
    try:
        facts = node_facts(url, token=token)
        info = client.info(url, token=token)
        databases = client.databases(url, token=token)
    except RemoteError as error:
        return NodeReport(name, url, error=str(error))
    lag, ahead = facts.get("lagMs"), facts.get("clockAheadMs")
    aside, lease = facts.get("setAside"), facts.get("lease")
    ttl, left = (
        (lease.get(key) for key in ("ttlSeconds", "leftSeconds")) if isinstance(lease, dict) else (0, 0)
    )
    return NodeReport(
        name,
        url,
        is_primary=info.is_primary,
        primary_hostname=info.primary_hostname,
        lag_ms=lag if isinstance(lag, int) else None,
        clock_ahead_ms=ahead if isinstance(ahead, int) else None,
        disk=str(facts.get("disk") or ""),
        databases=databases,
        set_aside=aside if isinstance(aside, dict) else {},
        node_id=str(facts.get("nodeID") or ""),
        behind=tuple(_behind(facts.get("streams"))),
        lease_ttl=float(ttl) if isinstance(ttl, int | float) else 0.0,
        lease_left=float(left) if ttl and isinstance(left, int | float) else None,
        role_changes=tuple(_role_changes(facts.get("roleChanges"))),
        halted=_halted(facts.get("databases")),
        backup=_backup_troubles(facts.get("backup")),
        backup_told=_backup_told(facts.get("backup"), databases),
    )


def _role_changes(changes: object) -> Iterator[str]:
    """Of `/debug/vars`, each with its time of day here."""
    for one in changes if isinstance(changes, list) else ():
        try:
            moment = time.localtime(int(one["atMs"]) / 1000)
            yield f"{time.strftime('%H:%M:%S', moment)} {one['text']}"
        except (LookupError, TypeError, ValueError, OverflowError, OSError):
            continue


def _backup_told(backup: object, databases: Mapping[str, client.DatabaseFacts]) -> str:
    """Where a primary backs up, and what the backup lacks."""
    if not isinstance(backup, dict) or not backup.get("isRunning"):
        return ""
    found = backup.get("databases")
    lacking = []
    for name, facts in sorted(databases.items()):
        text = found.get(name, "0") if isinstance(found, dict) else "0"
        if (behind := facts.pos.txid - int(str(text), 16)) > 0:
            lacking.append(f"{behind:,} transactions of {name}")
    now = f" (now: {backup['now']})" if backup.get("now") else ""
    return f"backs up into {backup.get('url')}: {'lacks ' + ', '.join(lacking) if lacking else 'level'}{now}"


def _backup_troubles(backup: object) -> dict[str, str]:
    """Of `/debug/vars`; nothing of a program that does not tell."""
    troubles = backup.get("troubles") if isinstance(backup, dict) else None
    return {str(key): str(text) for key, text in troubles.items()} if isinstance(troubles, dict) else {}


def _halted(databases: object) -> dict[str, str]:
    """Of `/debug/vars`; nothing of a program that does not tell."""
    found: dict[str, str] = {}
    for name, facts in databases.items() if isinstance(databases, dict) else ():
        by = facts.get("haltedBy") if isinstance(facts, dict) else None
        if isinstance(by, str):
            found[str(name)] = by
    return found


def _behind(streams: object) -> Iterator[ReplicaBehind]:
    """Of `/debug/vars`; nothing of a program that does not tell."""
    for stream in streams if isinstance(streams, list) else ():
        behind = stream.get("behind") if isinstance(stream, dict) else None
        for name, one in behind.items() if isinstance(behind, dict) else ():
            try:
                numbers = int(one["transactions"]), int(one["bytes"]), float(one["seconds"])
            except (LookupError, TypeError, ValueError):
                continue
            yield ReplicaBehind(str(stream.get("nodeID")), str(name), *numbers)


def ask_all(nodes: Mapping[str, str], token: str = "") -> list[NodeReport]:
    """Ask every node of `nodes` (name → URL), at once."""
    with ThreadPoolExecutor(max_workers=max(len(nodes), 1)) as pool:
        return list(pool.map(partial(ask, token=token), nodes.keys(), nodes.values()))


def nodes_of_cluster(directory: Path) -> dict[str, str]:
    """Name → URL of the nodes of a running demo. Raises PylitefsError if there is none, or another user's."""
    path = directory / "cluster.json"
    try:
        own_folder.check(directory.resolve())
        own_folder.check(path)
        nodes = json.loads(path.read_text())["nodes"]
        return {str(node["name"]): str(node["url"]) for node in nodes}
    except FileNotFoundError:
        raise PylitefsError(f"no demo in {directory}: start one, or name nodes with --url") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PylitefsError(f"{path} cannot be read: {error}") from None


def nodes_of_config(path: Path) -> tuple[dict[str, str], str]:
    """The node that runs with this config, and the primary that it names; and the token of both."""
    config = load_config(path).config
    host, port = config.http.host_port
    own = f"http://{'127.0.0.1' if host in {'', '0.0.0.0', '::'} else host}:{port}"
    nodes = {"this node": own}
    lease = config.lease
    if lease.type == "static" and not lease.candidate:
        if not lease.advertise_url:
            raise ConfigError(f"{path}: lease.advertise-url: required with candidate: false")
        nodes[lease.shown_hostname or "primary"] = lease.advertise_url.rstrip("/")
    return nodes, config.http.token
