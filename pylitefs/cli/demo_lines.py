"""What the demo prints: where the nodes are and what to type, then a line for every transaction.

The rule: everything on a line is the node's own word (its event) or read off the LTX file it wrote.
"""

import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from pylitefs.child_python import python_module
from pylitefs.cli.arrivals import Arrivals, Transaction
from pylitefs.cli.feed import NodeEvent
from pylitefs.cluster.cluster import Cluster, ClusterNode
from pylitefs.errors import LtxError
from pylitefs.ltx.decoder import open_ltx
from pylitefs.shown import shown, shown_lines


def count(number: int, what: str) -> str:
    """`1 page`, `1,204 pages`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def introduction(cluster: Cluster, database: str, status_options: str, more: str = "") -> str:
    """The mounts, and commands to copy; `more` goes before the last."""
    primary, replicas = cluster.primary, cluster.replicas
    lines = [""]
    lines += [f"  {role(node):<8} {node.name:<4} {node.mount}   {node.url}" for node in cluster]
    lines += ["", "In another terminal, write on the primary:", ""]
    statement = "UPDATE customers SET city = 'Oslo' WHERE id = 1;"
    lines += [f'  sqlite3 {primary.database(database)} "{statement}"']
    if replicas:
        path = replicas[0].database(database)
        lines += ["", "read on a replica:", ""]
        lines += [f'  sqlite3 {path} "SELECT name, city FROM customers WHERE id = 1;"']
    lines += ["", "and see where every node is:", "", f"  {program()} status{status_options}", ""]
    lines += [more] if more else []
    lines += ["Every transaction is a line from here on; Ctrl-C ends all of it.", ""]
    return "\n".join(lines)


def program() -> str:
    """What to type for `pylitefs`, here and now."""
    beside = Path(sys.executable).with_name("pylitefs")
    found = shutil.which("pylitefs")
    if found and Path(found).resolve() == beside.resolve():
        return "pylitefs"
    return str(beside) if beside.exists() else shlex.join(python_module("pylitefs"))


def role(node: ClusterNode) -> str:
    return "primary" if node.is_primary else "replica"


class Teller:
    """Turns the nodes' events into lines, and notices nodes that end (unless `ends` is False)."""

    def __init__(self, cluster: Cluster, *, ends: bool = True) -> None:
        self._cluster = cluster
        self._primary = cluster.primary
        self._nodes = list(cluster)
        self._arrivals = Arrivals([node.name for node in cluster.replicas])
        self._ended: set[str] = set()
        self._tells_ends = ends

    def tell(self, event: NodeEvent | None) -> Iterator[str]:
        """Take in an event, if there is one; the lines for what is known by now."""
        if self._cluster.primary is not self._primary:
            yield from map(self._line, self._arrivals.rest())
            self._primary = self._cluster.primary
            self._arrivals = Arrivals([node.name for node in self._cluster.replicas])
        self._arrivals.away = frozenset(node.name for node in self._nodes if not node.pid)
        if event and event.type == "tx":
            txid = int(str(event.data["txID"]), 16)
            if event.node == self._primary.name:
                page_count = int(str(event.data.get("commit", 0)))
                self._arrivals.on_primary(event.database, txid, page_count, event.at)
            else:
                self._arrivals.on_replica(event.node, event.database, txid, event.at)
        yield from map(self._line, self._arrivals.finished(time.monotonic()))
        if self._tells_ends:
            yield from self._ends()

    def _line(self, transaction: Transaction) -> str:
        pages, size = ltx_facts(self._primary.data, transaction)
        columns = [
            f"{shown(transaction.database):<10} TXID {transaction.txid:016x}",
            f"{pages:>10}",
            f"{size:>21}",
        ]
        for replica in self._arrivals.replicas:
            delay = transaction.delay_ms(replica)
            columns.append(f"{replica} {'not yet' if delay is None else f'+{delay:.1f} ms':>10}")
        return "  ".join(columns)

    def _ends(self) -> Iterator[str]:
        for node in self._nodes:
            if node.pid:
                self._ended.discard(node.name)
            elif node.name not in self._ended:
                self._ended.add(node.name)
                code = node.process.returncode if node.process else None
                log = shown_lines(node.log_tail())
                yield f"{node.name} has ended with exit code {code}; the end of its log:\n{log}"


def ltx_facts(data_dir: Path, transaction: Transaction) -> tuple[str, str]:
    """The pages in the transaction's LTX file, and the file's bytes, as text."""
    folder = data_dir / "dbs" / transaction.database / "ltx"
    path = next(folder.glob(f"*-{transaction.txid:016x}.ltx"), None)
    if path is None:
        return "", "LTX file reaped"
    try:
        size = path.stat().st_size
        with open_ltx(path) as decoder:
            pages = sum(1 for _ in decoder.pages())
    except (OSError, LtxError) as error:
        return "", f"unreadable: {error}"
    return "dropped" if transaction.page_count == 0 else count(pages, "page"), f"{size:,} bytes of LTX"
