"""What the nodes of a cluster say of themselves, and what must hold once it has settled."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pylitefs.cluster.cluster import Cluster, ClusterNode, node_facts, wait_until
from pylitefs.errors import RemoteError
from pylitefs.ltx.checksum import page_checksum
from pylitefs.ltx.database import database_checksum
from pylitefs.ltx.decoder import verify_file
from pylitefs.ltx.header import parse_filename
from pylitefs.ltx.position import Pos
from pylitefs.store.checksums import PageChecksums
from tests.cluster.clients import Client, Clients


def position(node: ClusterNode, database: str) -> str:
    """The position as the node's `/debug/vars` shows it; "" if it has none, or does not answer."""
    try:
        databases = node_facts(node.url).get("databases", {})
    except RemoteError:
        return ""
    return str(databases.get(database, {}).get("pos", ""))


def txid(node: ClusterNode, database: str) -> int:
    text = position(node, database)
    return Pos.parse(text).txid if text else 0


def wait_txid(node: ClusterNode, database: str, goal: int, seconds: float = 30.0) -> None:
    eventually(lambda: txid(node, database) >= goal, f"TXID {goal} of {database} on {node.name}", seconds)


def eventually(condition: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    assert wait_until(condition, seconds), f"after {seconds:.0f} s still not: {what}"


def wait_level(cluster: Cluster, database: str, seconds: float = 15.0) -> None:
    """Wait until every node is at the primary's position. Nobody must be writing."""

    def level() -> bool:
        wanted = position(cluster.primary, database)
        return bool(wanted) and all(position(node, database) == wanted for node in cluster.replicas)

    if not wait_until(level, seconds):
        found = {node.name: position(node, database) or node.log_tail(5) for node in cluster}
        raise AssertionError(f"after {seconds:.0f} s the nodes are not level: {found}")


def checkpoint(client: Client, seconds: float = 15.0) -> None:
    """Empty the WAL, however often readers are in the way."""
    eventually(
        lambda: client.sql("PRAGMA wal_checkpoint(TRUNCATE)")[0][0] == 0, "a TRUNCATE checkpoint", seconds
    )


def assert_all_equal(cluster: Cluster, database: str, clients: Clients) -> None:
    """Settle, checkpoint, and hold the nodes against each other: bytes, positions, checksums, integrity."""
    wait_level(cluster, database)
    checkpoint(clients(cluster.primary, database, timeout=10.0))
    wait_level(cluster, database)
    files = {node.name: node.data / "dbs" / database / "database" for node in cluster}
    contents = {name: path.read_bytes() for name, path in files.items()}
    for node in cluster:
        at = Pos.parse(position(node, database))
        summed = database_checksum(files[node.name])
        assert summed == at.checksum, f"{node.name} is at {at}, its bytes give {summed:016x}"
        assert len(contents[node.name]) == len(contents[cluster.primary.name]), f"{node.name}: length"
        assert contents[node.name] == contents[cluster.primary.name], differing(contents, node.name)
        shell = clients(node, database, timeout=10.0)
        assert shell.sql("PRAGMA integrity_check") == [["ok"]], node.name
        shell.close()


def differing(contents: dict[str, bytes], name: str) -> str:
    """Which 512-byte pieces of a node's database differ from the primary's."""
    primary = next(iter(contents.values()))
    pieces = [
        at for at in range(0, len(primary), 512) if primary[at : at + 512] != contents[name][at : at + 512]
    ]
    return f"{name} differs at bytes {pieces[:20]}"


def assert_history_adds_up(node: ClusterNode, database: str) -> int:
    """Replay the LTX files the node keeps: each one's checksums are those of the pages. How many."""
    sums = PageChecksums()
    at: Pos | None = None
    spans = sorted(filter(None, (parse_filename(p.name) for p in ltx_files(node, database))))
    for low, high in spans:
        pages = PageSums()
        path = node.data / "dbs" / database / "ltx" / f"{low:016x}-{high:016x}.ltx"
        header, trailer = verify_file(path, pages.add)
        if at is None or header.is_snapshot:
            assert header.is_snapshot, f"{path} is the first and no snapshot"
            sums = PageChecksums()
        else:
            assert Pos(low - 1, header.pre_apply_checksum) == at, f"{path} does not continue {at}"
        sums.update(pages.found, header.commit)
        at = Pos(high, trailer.post_apply_checksum)
        assert sums.value == at.checksum, f"{path} says {at}, its pages give {sums.value:016x}"
    assert str(at) == position(node, database), node.name
    return len(spans)


class PageSums:
    """The checksums of the pages of one LTX file."""

    def __init__(self) -> None:
        self.found: dict[int, int] = {}

    def add(self, pgno: int, page: bytes) -> None:
        self.found[pgno] = page_checksum(pgno, page)


def ltx_files(node: ClusterNode, database: str) -> Sequence[Path]:
    return list((node.data / "dbs" / database / "ltx").glob("*.ltx"))
