"""Where a test file runs: a plain folder, or the primary's mount of a fresh cluster with one replica.

The rule: what a node promises is looked at after each file, whatever the test said. The replica gets to the
primary's positions, the bytes of both are those of the positions, and the node neither ended nor failed.
"""

import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

from pylitefs.cluster.cluster import Cluster, ClusterNode, is_mounted, wait_until
from pylitefs.cluster.nursery import Nursery
from pylitefs.compare import programs
from pylitefs.compare.nodes import System
from pylitefs.errors import PylitefsError
from pylitefs.http import client
from pylitefs.ltx.checksum import page_checksum
from pylitefs.ltx.database import database_checksum
from pylitefs.ltx.position import Pos
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE, DatabaseHeader
from pylitefs.store.capture import all_pgnos, pages_in_file
from pylitefs.store.checksums import PageChecksums
from tests.sqlite_suite.reading import OUT_OF_TIME, Outcome, read

PRELUDE = Path(__file__).parent / "prelude.tcl"
LEVEL_S = 60.0
SPECIAL = {".primary", ".lag"}
OWN_ERRORS = ("error of pylitefs itself", "Traceback (most recent call last)", "uncaught exception")


def run_test(testfixture: Path, test: Path, folder: Path, side: Path, seconds: float) -> Outcome:
    """Run `test` in `folder`. What testfixture prints is kept as `side`/output."""
    side.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "SQLITE_SUITE_SIDE": str(side), "SQLITE_TMPDIR": str(side)}
    begun = time.monotonic()
    output = side / "output"
    with output.open("wb") as out:
        process = subprocess.Popen(
            [str(testfixture), str(PRELUDE), str(test)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        ended = ""
        try:
            code = process.wait(seconds)
            if code < 0:
                ended = f"ended by signal {-code}"
        except subprocess.TimeoutExpired:
            ended = f"{OUT_OF_TIME} after {seconds:.0f} s"
        finally:
            _end_group(process)
    text = output.read_text(errors="replace")
    return read(text, ended, time.monotonic() - begun)


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    """What the test has started is in its process group, and ends with it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def cluster_for(place: str, base: Path, nursery: Nursery | None, litefs: Path | None) -> Cluster:
    """The cluster that `place` means: "mount", "observed" or "litefs"; not started yet."""
    if place == "litefs":
        return System(base, programs.find(litefs))
    cluster = Cluster(base, replicas=1, nursery=nursery)
    if place == "observed":
        for node in cluster:
            node.arguments = ("--observed-locks",)
    return cluster


def findings(cluster: Cluster, scratch: Path) -> list[str]:
    """What does not hold on the nodes, now that nobody uses their mounts."""
    found = [f"{node.name} ended by itself" for node in cluster if not node.pid]
    if found:
        return [*found, *_own_errors(cluster)]
    try:
        # What the test's end has left half-way may still become a transaction.
        if not wait_until(lambda: _is_level(cluster), LEVEL_S, 0.1):
            found.append("not level: " + " / ".join(f"{node.name} {node.positions()}" for node in cluster))
        for name, at in sorted(cluster.primary.positions().items()):
            # One that was removed still has a position; in a first transaction it has bytes and none.
            path = cluster.primary.mount / name
            if at.txid and path.exists() and path.stat().st_size:
                found += _database(cluster, name, scratch)
        found += _left(cluster.primary)
    except (PylitefsError, OSError) as error:
        found.append(f"a node does not answer: {error}")
    return [*found, *_own_errors(cluster)]


def _is_level(cluster: Cluster) -> bool:
    wanted, *others = (node.positions() for node in cluster)
    return all(other == wanted for other in others)


def _database(cluster: Cluster, name: str, scratch: Path) -> list[str]:
    """Whether the nodes' exports are the bytes of their positions, and whole if the primary's is."""
    found = []
    healths = []
    for node in cluster:
        copy = scratch / f"{node.name}.db"
        try:
            with copy.open("wb") as out:
                client.export(node.url, name, out)
            at = Pos.parse((node.mount / f"{name}-pos").read_text().strip())
            summed = sums(copy)
        except (PylitefsError, OSError) as error:
            found.append(f"{name} on {node.name}: {error}")
            continue
        if at.checksum not in summed:
            found.append(f"{name} on {node.name} is at {at}, its bytes give {summed[0]:016x}")
        healths.append(health(copy))
    if len(set(healths)) > 1:
        found.append(f"{name}: the nodes' databases are not alike: {' / '.join(healths)}")
    return found


def sums(path: Path) -> tuple[int, int]:
    """The checksum of as many pages as the header says, and of the whole file.

    They differ where SQLite makes a file longer than it needs (SQLITE_FCNTL_CHUNK_SIZE): in WAL mode its
    commits count the whole file.
    """
    with path.open("rb") as file:
        size = DatabaseHeader.parse(file.read(DATABASE_HEADER_SIZE)).page_size
        count = path.stat().st_size // size
        pages = pages_in_file(file.fileno(), all_pgnos(count, size), size)
        whole = PageChecksums()
        whole.update({pgno: page_checksum(pgno, page) for pgno, page in pages}, count)
    return database_checksum(path), whole.value


def health(path: Path) -> str:
    """What SQLite's own check says of a database: "ok", or the first complaint. The file is only read."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
        try:
            return str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
        except sqlite3.Error as error:
            return str(error)


def _left(node: ClusterNode) -> list[str]:
    """Take away what the test has left on the mount, by name, as its next run would."""
    found = []
    for name in sorted(os.listdir(node.mount)):
        if name in SPECIAL or name.endswith(("-pos", "-lock")):
            continue
        path = node.mount / name
        try:
            path.unlink()
        except FileNotFoundError:
            pass
        except OSError as error:
            found.append(f"rm {name}: {error.strerror}")
    return found


def _own_errors(cluster: Cluster) -> list[str]:
    return [
        f"{node.name}'s log: {line.strip()}"
        for node in cluster
        for line in node.log.read_text(errors="replace").splitlines()
        if any(words in line for words in OWN_ERRORS)
    ]


def stop(cluster: Cluster) -> list[str]:
    """End the nodes; what they leave behind."""
    codes = cluster.stop()
    return [
        *(f"{name} ended with exit code {code}" for name, code in codes.items() if code),
        *(f"{node.mount} is still mounted" for node in cluster if is_mounted(node.mount)),
    ]
