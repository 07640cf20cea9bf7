"""What a history is about: the primary, its replicas, the oracles, and what must hold of them.

The rule: a check looks at bytes and asks SQLite; it believes nothing that the node has worked out.
"""

import itertools
import random
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pylitefs.store.database import Database
from pylitefs.store.names import FileKind
from tests.sim.clock import Clock
from tests.sim.network import Link
from tests.sim.node import Node
from tests.sim.oracle import Oracle, Wrong, blob, opened, rows_of
from tests.sim.program import DATABASES, SCHEMA
from tests.sim.wal import committed_by_readers
from tests.store.support import assert_files_continue, checksum_of, replayed


@dataclass
class Told:
    """A step for a lesson: what happened in words, and the commands that do as much of it as they can."""

    text: str = ""
    commands: list[str] = field(default_factory=list)


class World:
    """The nodes of one history, in a folder of its own."""

    def __init__(
        self,
        root: Path,
        seed: int,
        fixed: Mapping[str, tuple[Any, ...]] | None = None,
        pragmas: Mapping[str, tuple[Any, ...]] | None = None,
        *,
        leased: bool = False,
    ) -> None:
        """`fixed`: what some settings are chosen from instead, in a scenario; `pragmas`: those of each
        connection. `leased`: the primary changes in this history, so there is somebody to be it."""
        self.root = root
        self.clock = Clock()
        self.chance = random.Random(f"world {seed}")
        self.log: list[str] = []
        """What happened, a line for each step and each of its outcomes."""
        self.story: list[Told] = []
        """The same for a lesson, by step."""
        self.pragmas = pragmas or {}

        def choose(name: str, *among: Any) -> Any:
            return self.chance.choice((fixed or {}).get(name, among))

        self.page_size = choose("page_size", 512, 512, 1024, 4096)
        self.auto_vacuum = choose("auto_vacuum", 0, 0, 1, 2)
        self.mode = choose("mode", "delete", "truncate", "persist", "wal", "wal", "wal")
        self.synchronous = choose("synchronous", 0, 1, 1, 1, 2, 2, 3)
        retention = choose("retention", 1.0, 1.0, 5.0, 600.0)
        self.primary = Node(root, "primary", self.clock, primary=True, retention_s=retention)
        self.links = [
            Link(
                Node(root, f"replica{at}", self.clock, primary=False, retention_s=retention),
                self.primary,
                self.clock,
            )
            for at in range(max(choose("replicas", 0, 1, 1, 2), int(leased)))
        ]
        self.oracles: dict[str, Oracle] = {}
        self.connections: list[tuple[str, sqlite3.Connection]] = []
        self.readers: list[sqlite3.Connection] = []
        self.left: list[tuple[Node, str, sqlite3.Connection]] = []
        """Those on a node that was the primary."""
        self._checked: dict[str, tuple[int, ...]] = {}
        """How far each node was when it was looked at."""
        self.pair: tuple[str, str] | None = None
        """The rows of both databases after a transaction over the two that got no answer, and that SQLite
        makes in both or in none."""

    @property
    def nodes(self) -> list[Node]:
        return [self.primary, *(link.node for link in self.links)]

    def start(self) -> None:
        for node in self.nodes:
            node.disk.journaled = self.chance.random() < 0.5
            node.start()

    def close(self) -> None:
        """Whatever has happened, nothing is left of it."""
        for link in self.links:
            link.close()
        for node in self.nodes:
            with suppress(Exception):
                node.die()
        shutil.rmtree(self.root, ignore_errors=True)

    def say(self, text: str) -> None:
        self.log.append(text)

    def tell(self, *commands: str) -> None:
        """Commands of a lesson that do what happens now."""
        if self.story:
            self.story[-1].commands += commands

    @property
    def cluster(self) -> str:
        """The command that makes such nodes."""
        retention = self.primary.retention.seconds
        return (f"cluster replicas {len(self.links)} page-size {self.page_size} journal {self.mode} "
                f"retention {retention:g}")  # fmt: skip

    # -- clients ---------------------------------------------------------------------------------------

    def connect(self, name: str, *pragmas: str) -> sqlite3.Connection:
        """A connection of a client's on the primary."""
        assert self.primary.served is not None
        db = self.primary.served.connect(name, *pragmas)
        db.create_function("blob", 2, blob, deterministic=True)
        return db

    def oracle(self, name: str) -> Oracle:
        return self.oracles.setdefault(name, Oracle())

    def unlocked(self, name: str) -> Database | None:
        store = self.primary.store
        return store.get(name) if store is not None else None

    # -- what must hold --------------------------------------------------------------------------------

    def seen(self, node: Node, name: str) -> bytes:
        """A database as a new connection on this node reads it; b"" if there is none."""
        assert node.served is not None and node.store is not None
        database = node.store.get(name)
        if database is None or not database.exists or not database.path(FileKind.DATABASE).stat().st_size:
            return b""
        if not node.primary:
            return committed_by_readers(database.dir)
        db = node.served.connect(name)
        try:
            return db.serialize()
        except sqlite3.OperationalError:
            if not database.path(FileKind.DATABASE).stat().st_size:
                return b""  # Its roll-back has left nothing.
            if not self.readers:
                raise
            # A killed writer's journal is rolled back once its readers are gone.
            for reader in self.readers:
                reader.close()
            self.readers = []
            return db.serialize()
        finally:
            db.close()
            node.served._connections.remove(db)

    def check(self, node: Node, name: str, *, whole: bool = False, back: bool = False) -> None:
        """Bytes, position and rows of one database."""
        if node.store is None:
            return
        where = f"{name} on {node.name}"
        if name in node.store.set_aside:
            raise Wrong(f"{where} is set aside: {node.store.set_aside[name]}")
        database = node.store.get(name)
        content = self.seen(node, name)
        if database is None or (not database.pos.txid and not content):
            if node.primary:
                self.oracle(name).found(rows_of(opened(b"")), back=back, where=where)
            return
        if node.store.later_on or database.rollback_watch.unjournaled:
            node.work()
        begun = bool(node.store.later_on) or database.rollback_watch.journal_live
        if begun and not node.primary and any(one[0] is node for one in self.left):
            return  # It is rolled back once its clients let go.
        if node.primary and name in self.oracles:
            self._check_rows(content, name, back=back, where=where)
        if database.state.pending is None:
            self._check_position(database, content, where)
        if not node.primary and database.pos.txid:
            self._check_history(node, database, where)
        if whole:
            self._check_whole(database, content, where)

    def _check_rows(self, content: bytes, name: str, *, back: bool, where: str) -> None:
        db = opened(content)
        try:
            rows = rows_of(db)
        except sqlite3.DatabaseError as error:
            raise Wrong(f"{where}: {error}") from None
        finally:
            db.close()
        self.oracle(name).found(rows, back=back, where=where)

    def _check_history(self, node: Node, database: Database, where: str) -> None:
        """It is where the primary was; or, until it follows another one, in the history that is given up."""
        pos, strays = str(database.pos), node.strays.get(database.name)
        # Two histories may begin with the same transaction, to the byte: who still has one to tell of its own
        # goes on in the one that is given up.
        has_more = database.state.pending is not None and strays is not None
        if pos in self.primary.positions.get(database.name, ()) and not has_more:
            node.strays.pop(database.name, None)
            self._check_kept_aside(node, database, where)
            return
        header = database.ltx_header(*database.ltx_files()[-1])
        assert header is not None and node.store is not None
        is_own = node.store.terms.is_own(header.node_id)
        # Until it notices, an old primary goes on by itself.
        if strays is None or not (is_own or any(pos in one for one in strays)):
            raise Wrong(f"{where} is at {pos}, where the primary never was")
        if is_own:
            node.own[database.name] = header.filename, pos

    def _check_kept_aside(self, node: Node, database: Database, where: str) -> None:
        """What it made itself, and nobody else has had, lies in `lost` now."""
        assert node.store is not None
        was, handed = node.own.pop(database.name, None), node.store.terms.handed.get(database.name)
        if (
            was is None
            or was[1] in self.primary.positions[database.name]
            or (handed and str(handed) == was[1])
        ):
            return
        if not list((node.disk.root / "lost" / database.name).glob(f"*/{was[0]}")):
            raise Wrong(f"{where} has given up {was[0]}, and has not kept it aside")

    @staticmethod
    def _check_position(database: Database, content: bytes, where: str) -> None:
        state = database.state
        if len(content) != database.page_count * database.page_size:
            pages = f"{database.page_count} pages of {database.page_size}"
            raise Wrong(f"{where} has {len(content)} bytes, its position says {pages}")
        found = checksum_of(content, database.page_size)
        if found != state.pos.checksum:
            raise Wrong(f"{where} has checksum {found:016x}, its position is {state.pos}")

    @staticmethod
    def _check_whole(database: Database, content: bytes, where: str) -> None:
        if content:
            db = opened(content)
            said = db.execute("PRAGMA integrity_check").fetchall()
            db.close()
            if said != [("ok",)]:
                raise Wrong(f"{where}: integrity_check says {said[:3]}")
        spans = database.ltx_files()
        if not spans or max(high for _, high in spans) != database.state.pos.txid:
            raise Wrong(f"{where} is at {database.state.pos}, its LTX files end with {spans[-1:]}")
        assert_files_continue(database)
        # A power failure may bring back some of those that were reaped: then there are gaps.
        gap = any(one[1] + 1 != two[0] for one, two in itertools.pairwise(spans))
        if spans[0][0] == 1 and not gap and database.state.pending is None and replayed(database) != content:
            raise Wrong(f"{where}: its LTX files make another database")

    def check_all(self, node: Node, *, whole: bool = False, back: bool = False) -> None:
        # All that changes a file is a call: without one there is nothing new to look at.
        now = (node.disk.calls, *(id(one.now) for one in self.oracles.values()))
        if whole or back or self._checked.get(node.name) != now:
            if node.store is not None and not node.primary:
                for database in node.store.databases():
                    database.state.close()  # What is applied goes past the node: a file may be another one.
            for name in sorted(self.oracles):
                self.check(node, name, whole=whole, back=back)
            self._checked[node.name] = (node.disk.calls, *(id(one.now) for one in self.oracles.values()))
        pair, self.pair = self.pair, None
        if pair is not None:
            there = [self.oracle(name).now.rows == rows for name, rows in zip(DATABASES, pair, strict=True)]
            if there[0] != there[1]:
                raise Wrong(f"half of a transaction over two databases is there: {there}")

    def look_anew(self) -> None:
        """Another node is the primary: all are looked at again."""
        self._checked.clear()

    def statements_of_new(self, name: str) -> Sequence[str]:
        """What a database needs before the first row: nothing, if it is there."""
        return () if self.oracle(name).now.content else SCHEMA
