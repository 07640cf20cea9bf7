"""A primary and its replica, driven by SQLite, and what must hold after whatever SQLite did.

The rule: `check` is called at the end of every scenario. The replica is where the primary is, holds the
same rows, and on both the database's bytes have the checksum that the position says.
"""

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from pylitefs.cluster.cluster import Cluster, ClusterNode, wait_until
from pylitefs.ltx.checksum import EMPTY_CHECKSUM
from pylitefs.ltx.database import database_checksum
from pylitefs.ltx.position import Pos

SHELL = "/usr/bin/sqlite3"
TROUBLE = ("level=ERROR", "Traceback", "malformed", "unexpected")


class ShellError(AssertionError):
    """The sqlite3 shell, or another command, ended with an error."""


def run(*command: str | Path, stdin: str | bytes = "") -> str:
    """A command's standard output; ShellError with what it said if it fails or complains."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run([str(part) for part in command], input=data, capture_output=True, timeout=60)
    if done.returncode or done.stderr:
        raise ShellError(f"{command}: exit code {done.returncode}: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode()


def shell(database: Path | str, *lines: str) -> str:
    """What the sqlite3 shell prints for these lines of SQL and dot commands; it stops at an error."""
    return run(SHELL, "-bail", database, stdin="\n".join(lines) + "\n").rstrip("\n")


def connect(path: Path, timeout: float = 5.0) -> sqlite3.Connection:
    """A connection of Python's, in autocommit mode."""
    return sqlite3.connect(path, timeout=timeout, isolation_level=None)


class Pair:
    """The two nodes of a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.primary, self.replica = cluster.nodes
        self.http = httpx.Client(timeout=30, trust_env=False)

    def path(self, name: str) -> Path:
        """A database on the primary's mount."""
        return self.primary.database(name)

    def copy(self, name: str) -> Path:
        """The same database on the replica's mount."""
        return self.replica.database(name)

    def make(self, name: str, *sql: str, rows: int = 0) -> Path:
        """Make a database with SQL, and with a table `t(a, b)` of `rows` rows if there are any."""
        path = self.path(name)
        with connect(path) as db:
            for statement in sql:
                db.execute(statement)
            if rows:
                db.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
                db.execute(fill(rows))
        db.close()
        return path

    def pos(self, name: str) -> Pos:
        """Where the primary is; TXID 0 for a database without a transaction."""
        return position_on(self.primary, name)

    def txid(self, name: str) -> int:
        return self.pos(name).txid

    def wait_replica(self, name: str, seconds: float = 10.0) -> Pos:
        """Wait until the replica is where the primary is, by what its API says.

        (`-pos` of a database that is not there yet may be remembered as missing for a second.)
        """
        wanted = self.pos(name)
        assert wait_until(lambda: self.api_pos(self.replica, name) == wanted, seconds), (
            f"{name}: the replica is at {self.api_pos(self.replica, name)}, the primary at {wanted}:\n"
            f"{self.replica.log_tail()}"
        )
        return wanted

    def api_pos(self, node: ClusterNode, name: str) -> Pos:
        """Where a node says over HTTP that the database is."""
        facts = self.http.get(f"{node.url}/debug/vars").json()["databases"].get(name)
        return Pos.parse(facts["pos"]) if facts else Pos()

    def export(self, node: ClusterNode, name: str) -> bytes:
        answer = self.http.get(f"{node.url}/export", params={"name": name})
        assert answer.status_code == httpx.codes.OK, answer.text
        return answer.content

    def check(self, name: str) -> Pos:
        """What holds after every scenario; the position."""
        pos = self.wait_replica(name)
        assert position_on(self.replica, name) == pos
        if pos.checksum == EMPTY_CHECKSUM:
            assert not self.path(name).exists() and not self.copy(name).exists()
            return pos
        dumps = [content(node.database(name)) for node in self.cluster]
        assert dumps[0] == dumps[1]
        exports = [self.export(node, name) for node in self.cluster]
        assert exports[0] == exports[1]
        saved = self.cluster.base_dir / "export.db"
        saved.write_bytes(exports[0])
        assert database_checksum(saved) == pos.checksum
        assert shell(saved, "PRAGMA integrity_check;", ".dump") == "ok\n" + dumps[0]
        assert self.pos(name) == pos, "looking made a transaction"
        return pos

    @contextmanager
    def refusals(self, *wanted: str) -> Iterator[None]:
        """The primary refuses something meanwhile: as many log lines as given, each with its words."""
        with refusals_of(self.primary, *wanted):
            yield


@contextmanager
def refusals_of(node: ClusterNode, *wanted: str) -> Iterator[None]:
    """A node logs one line for each of `wanted`, with all of its words (split at `|`)."""
    start = node.log.stat().st_size

    def refused() -> list[str]:
        with node.log.open("rb") as log:
            log.seek(start)
            return [line for line in log.read().decode().splitlines() if "refused on" in line]

    yield
    assert wait_until(lambda: len(refused()) >= len(wanted), 5), f"{wanted} is not in the log: {refused()}"
    lines = refused()
    assert len(lines) == len(wanted), lines
    for line, words in zip(lines, wanted, strict=True):
        assert all(word in line for word in words.split("|")), f"{words!r} is not in {line}"


def fill(rows: int, size: int = 400, table: str = "t") -> str:
    """SQL that inserts rows of about `size` bytes, each with other bytes."""
    return (
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<{rows}) "
        f"INSERT INTO {table}(b) SELECT i||hex(randomblob({size // 2})) FROM n"
    )


def position_on(node: ClusterNode, name: str) -> Pos:
    """Where a node is; TXID 0 where it knows no such database."""
    try:
        return Pos.parse((node.mount / f"{name}-pos").read_text().strip())
    except FileNotFoundError:
        return Pos()


def content(path: Path) -> str:
    """Everything in a database, as SQL."""
    return shell(path, ".timeout 5000", ".dump")


def trouble(node: ClusterNode) -> list[str]:
    """Lines of a node's log that should not be there."""
    return [line for line in node.log.read_text().splitlines() if any(word in line for word in TROUBLE)]


class Client:
    """A sqlite3 shell in a process of its own that is told one thing at a time, and can be killed."""

    def __init__(self, database: Path) -> None:
        self._process = subprocess.Popen(
            [SHELL, str(database)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, *lines: str) -> str:
        """What it prints for these lines, errors too; returns once it is through with them."""
        self.send(*lines, ".print ---")
        assert self._process.stdout
        printed: list[str] = []
        while (line := self._process.stdout.readline().rstrip("\n")) != "---":
            assert self._process.poll() is None, printed
            printed.append(line)
        return "\n".join(printed)

    def send(self, *lines: str) -> None:
        """Say something and do not wait for it."""
        assert self._process.stdin
        self._process.stdin.write("\n".join(lines) + "\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """As a crash would: nothing is rolled back or closed."""
        self._process.kill()
        self.end()

    def end(self) -> None:
        """End of input; it closes the database. Waits for its end."""
        with self._process:
            pass
