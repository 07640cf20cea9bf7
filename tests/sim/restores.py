"""Restores into a node: a snapshot takes a database's place on the primary (store/restoring.py).

    keep aside --> doubt --> the snapshot alone under its final name --> its pages --> told to everyone

At any call the disk fails, or the node is killed, or the power goes.
It is a backup's snapshot of another history, as after the loss of a disk, and never behind the node.

The rule: the database is what it was or what the snapshot holds, whole; what was replaced lies in `kept`.
"""

import errno
import os
import random
import sqlite3
from pathlib import Path

from pylitefs.errors import BusyError, PylitefsError
from pylitefs.ltx.decoder import open_ltx
from pylitefs.ltx.encoder import encode
from pylitefs.ltx.header import Header
from pylitefs.ltx.position import Pos
from pylitefs.store.restoring import drop_hidden, keep_aside, restore
from tests.sim.accidents import Accidents
from tests.sim.clients import Clients
from tests.sim.disk import Killed
from tests.sim.oracle import State, Wrong, blob, rows_of
from tests.sim.program import SCHEMA, statements
from tests.sim.world import World
from tests.store.support import checksum_of

_KINDS = (frozenset({"write"}), frozenset({"sync"}), frozenset({"open", "rename", "unlink"}))


class Restores:
    """The step of it."""

    def __init__(self, world: World, clients: Clients, accidents: Accidents) -> None:
        self._world = world
        self._clients = clients
        self._accidents = accidents

    def put_back(self, chance: random.Random) -> str:
        """One restore, and what comes in between."""
        world, clients, node = self._world, self._clients, self._world.primary
        name = clients.name(chance)
        assert node.store is not None
        clients.let_go(chance)
        clients.close_all(name)  # As for an import: the applier here has no locks that keep them out.
        node.work()
        drop_hidden(node.store)
        after = _another(chance)
        database = node.store.get(name)
        before = database.pos if database is not None else Pos()
        trouble = chance.choice(("", "", "fault", "fault", "dies", "dies", "power"))
        if trouble == "fault":
            fault = errno.ENOSPC if chance.random() < 0.5 else errno.EIO
            node.disk.fault = chance.choice(_KINDS), chance.randrange(8), fault
        elif trouble:
            node.disk.dies_soon(chance)
        try:
            self._kept(keep_aside(node.store, name), name)
            path = node.store.temp_path(".restore")
            pos = _write(path, after.content, max(1, before.txid + chance.choice((0, 1, 1, 2, 9))))
            found = restore(node.store, name, path, before, node.store._stopping.wait)
        except BusyError as error:
            said = f"refused ({error})"
        except (OSError, PylitefsError, Killed) as error:
            said = f"failed ({error})"
            world.oracle(name).unanswered(after)
        else:
            said = f"{found}"
            if found != pos:
                raise Wrong(f"{name} was restored at {pos}, and is at {found}")
            clients.answered(name, after, "unanswered" if node.disk.dead else "done")
        node.disk.fault = None
        if (there := world.unlocked(name)) is not None:
            there.state.close()  # The applier removes a WAL past the node.
        return f"{trouble}: {said}{self._dies(chance, trouble)}"

    def _kept(self, path: Path | None, name: str) -> None:
        """What is kept aside is what was there."""
        there = self._world.oracle(name).now
        if path is None:
            if there.content and not self._world.oracle(name).maybe:
                raise Wrong(f"{name} is not kept aside")
            return
        with open_ltx(path) as decoder:
            pages = b"".join(bytes(page) for _, page in decoder.pages())
        db = sqlite3.connect(":memory:")
        image = bytearray(pages)
        image[18] = image[19] = 1
        db.deserialize(bytes(image))
        rows = rows_of(db)
        db.close()
        if rows not in {there.rows, *(one.rows for one in self._world.oracle(name).maybe)}:
            raise Wrong(f"{name}: what is kept aside has the rows {rows}, and not {there.rows}")

    def _dies(self, chance: random.Random, trouble: str) -> str:
        node = self._world.primary
        assert node.store is not None
        broken = any(one.state.sync_failure is not None for one in node.store.databases())
        if not (broken or node.disk.dead or trouble in {"dies", "power"}):
            return ""
        return f"; {self._accidents._dies(node, chance, power=trouble == 'power')}"


def _another(chance: random.Random) -> State:
    """A database that has nothing to do with the one that is there."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.create_function("blob", 2, blob, deterministic=True)
    for text in (f"PRAGMA page_size={chance.choice((512, 1024))}", *SCHEMA, *statements(chance)):
        db.execute(text)
    content, rows = db.serialize(), rows_of(db)
    db.close()
    return State(rows, content, 0)


def _write(path: Path, content: bytes, txid: int) -> Pos:
    """The snapshot LTX file of it."""
    size = int.from_bytes(content[16:18], "big")
    checksum = checksum_of(content, size)
    header = Header(0, size, len(content) // size, 1, txid, 0)
    pages = [(at // size + 1, content[at : at + size]) for at in range(0, len(content), size)]
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.write(fd, encode(header, pages, checksum))
    os.close(fd)
    return Pos(txid, checksum)
