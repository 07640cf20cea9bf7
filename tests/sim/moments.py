"""Moments in a history: a node's database as it was after a TXID, read while clients go on.

What is asked is `StoredMoment`, as the mount's `DB@TXID` asks it. What is gone it
may refuse.

The rule: what is read is whole, has the checksum that the LTX file of that TXID says, and the rows that were
acknowledged by then.
"""

import random
import sqlite3
from contextlib import suppress

from pylitefs.errors import PylitefsError, RestoreError
from pylitefs.ltx.decoder import verify_file
from pylitefs.store.database import Database
from pylitefs.store.moments import StoredMoment
from tests.sim.clients import Clients
from tests.sim.known import rows_at, rows_if_whole
from tests.sim.node import Node
from tests.sim.oracle import Wrong
from tests.sim.program import statements
from tests.sim.world import World
from tests.store.support import checksum_of

_PIECE = 4096


class Moments:
    """The step of it."""

    def __init__(self, world: World, clients: Clients) -> None:
        self._world = world
        self._clients = clients

    def moment(self, chance: random.Random) -> str:
        """One moment of one node, any that it has."""
        world, name = self._world, self._clients.name(chance)
        up = [one for one in world.nodes if one.store is not None and not one.disk.dead]
        if not up:
            return "no node is up"
        node = chance.choice(up)
        assert node.store is not None
        database = node.store.get(name)
        if database is None or not (spans := database.ltx_files()):
            return f"{node.name} has nothing of {name}"
        if not node.primary:
            database.state.close()  # What is applied goes past the node: a file may be another one.
        span = chance.choice(spans)
        where = f"{name}@{span[1]} on {node.name}"
        try:
            content, said = self._read(node, database, span[1], chance)
        except (PylitefsError, OSError) as error:
            whole = span[0] == 1 and not isinstance(error, RestoreError)
            if whole and not node.disk.dead:
                raise Wrong(f"{where} is all in one LTX file, and it is refused: {error}") from error
            return f"{where}: refused ({error})"
        if database.ltx_path(*span).exists():
            self._check(node, database, span, content, where)
        return f"{where}: {len(content)} bytes{said}"

    def _read(self, node: Node, database: Database, txid: int, chance: random.Random) -> tuple[bytes, str]:
        moment, said = StoredMoment(database, txid), ""
        found = bytearray()
        meanwhile = chance.choice((0, 0, 1, 3)) if node.primary and chance.random() < 0.5 else -1
        try:
            while len(found) < moment.size:
                if meanwhile == len(found) // _PIECE:
                    meanwhile = -1
                    with suppress(sqlite3.Error):
                        db = self._clients.connection(chance, database.name)
                        outcome = self._clients.commit(db, database.name, statements(chance))
                        said = f", a commit meanwhile: {outcome}"
                found += moment.read(len(found), _PIECE)
        finally:
            moment.close()
        return bytes(found), said

    def _check(
        self, node: Node, database: Database, span: tuple[int, int], content: bytes, where: str
    ) -> None:
        header, trailer = verify_file(database.ltx_path(*span))
        in_wal_mode = content[:18] + b"\2\2" + content[20:]
        sums = {checksum_of(one, header.page_size) for one in (content, in_wal_mode)}
        if trailer.post_apply_checksum not in sums:
            raise Wrong(
                f"{where} does not have the checksum {trailer.post_apply_checksum:016x} of its LTX file"
            )
        rows = rows_if_whole(content, where)
        if database.name in node.strays or database.name in node.undone:
            return  # It is in a history that is given up.
        oracle = self._world.oracle(database.name)
        allowed = rows_at(oracle, span[1])
        # A commit that got no answer may have been a transaction, and the next one has taken it back.
        if rows not in {*allowed, *(one.rows for one in oracle.tried)}:
            raise Wrong(f"{where}: the rows are {rows}, allowed are {allowed}")
