"""Backups in a history: the primary's databases in a folder on another disk, and plain files made of it.

    back_up            the backup's thread has its turn, while clients commit, a disk fails or the node dies
    reap_with_backup   LTX files past their retention go, but for those that the backup has not got
    restore            a plain file is made of the backup, as of one of its files

Task, sync and folder are the product's (pylitefs/backup). The folder's disk keeps what was synced, as every
disk here (disk.py). Only a static primary has a backup here: after a change of the primary the backup is the
authority over what is given up, and no oracle here knows that.

The rule: whatever happened, the folder holds a chain of transactions of the primary, never fewer than before;
and once nothing is in its way, all of them. No commit waits for it.
"""

import errno
import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pylitefs.backup import folder, merge, sync
from pylitefs.backup.decide import Action, Decision
from pylitefs.backup.folder import BackupFolder
from pylitefs.backup.task import Backup
from pylitefs.errors import BackupError, PylitefsError, RestoreError
from pylitefs.ltx.decoder import open_ltx, verify_file
from pylitefs.ltx.position import Pos
from pylitefs.ltx.restore import restore_files
from pylitefs.ltx.source import open_source, plan_source
from pylitefs.store.retention import Limits
from pylitefs.store.store import Store
from tests.sim import seam
from tests.sim.accidents import Accidents
from tests.sim.clients import Clients
from tests.sim.clock import Clock
from tests.sim.disk import Disk, Killed
from tests.sim.known import check_copy, rows_at
from tests.sim.node import Waiting
from tests.sim.oracle import Wrong
from tests.sim.program import DATABASES, statements
from tests.sim.roles import Locking
from tests.sim.world import World

_KINDS = (frozenset({"write"}), frozenset({"sync"}), frozenset({"open", "rename"}),
          frozenset({"write", "sync", "open", "rename", "unlink"}))  # fmt: skip
_TROUBLES = ("", "", "", "", "fault", "fault", "fault of the data", "dies", "dies", "dies afterwards")
_PIECE = 1024


class _Folder(Disk):
    """The backup's disk. In the middle of what is written there, somebody else does something."""

    def __init__(self, root: Path, clock: Clock) -> None:
        super().__init__(root, clock.time_ns)
        self.meanwhile: tuple[int, Callable[[], None]] | None = None
        """(how many calls go before, what is done then)"""

    def call(self, kind: str, name: str) -> None:
        super().call(kind, name)
        if self.meanwhile is not None:
            left, what = self.meanwhile
            self.meanwhile = (left - 1, what) if left else None
            if not left:
                what()


class _Through:
    """A file whose every write is a call, in small pieces; else Python's buffer would be one that is never
    seen."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> "_Through":
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._fd)

    def write(self, data: bytes) -> int:
        for at in range(0, len(data), _PIECE):
            os.write(self._fd, data[at : at + _PIECE])
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def fileno(self) -> int:
        return self._fd

    def tell(self) -> int:
        return os.lseek(self._fd, 0, os.SEEK_CUR)


def _opened(path: Path, mode: str, opener: Callable[[str, int], int]) -> _Through:
    assert mode == "wb"
    return _Through(opener(os.fspath(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC))


class Backups:
    """The backup of one history's primary."""

    def __init__(self, world: World, clients: Clients, accidents: Accidents) -> None:
        self._world = world
        self._clients = clients
        self._accidents = accidents
        self._disk = _Folder(world.root / "backup", world.clock)
        self._keeps = False
        """Whether LTX files stay until the backup has them."""
        self._of: tuple[Waiting, Backup] | None = None
        """The task of the node as it runs now."""
        self._had: dict[str, int] = {}
        """The TXIDs that it said the backup has: that is durable."""
        self._rows: dict[tuple[str, str], list[str]] = {}
        """By name and position: what was acknowledged when the backup got there."""

    def begin(self, seed: int) -> None:
        """Before the nodes start."""
        chance = random.Random(f"backup {seed}")
        self._disk.root.mkdir()
        self._disk.journaled = chance.random() < 0.5
        seam.attach(self._disk)
        self._keeps = chance.random() < 0.6
        primary = self._world.primary
        primary.retention = Limits(seconds=primary.retention.seconds, until_backed_up=self._keeps)

    def end(self) -> None:
        """All is well again: the backup comes level, and leads to what the primary has."""
        if self._disk.root.exists():
            self._run(random.Random(0), "")
            for name in DATABASES:
                self._restored(name, None)

    def close(self) -> None:
        self._note()
        if self._of is not None:
            self._of[1]._folder.leave()
        self._of = None

    # -- steps -----------------------------------------------------------------------------------------

    def back_up(self, chance: random.Random) -> str:
        """The backup's thread has its turn."""
        if not self._world.primary.is_up:
            return "no primary"
        if chance.random() < 0.2:
            # What was found is not durable for that: a file has its name, and the name is lost later.
            said = self._run(chance, "dies at the name")
            return f"{said}; then {self._run(chance, 'dies afterwards')}"
        return self._run(chance, chance.choice(_TROUBLES))

    def reap_with_backup(self, chance: random.Random) -> str:
        """Time passes, and the primary removes what is old."""
        store = self._world.primary.store
        if store is None:
            return "no primary"
        before = {one.name: one.ltx_files() for one in store.databases()}
        said = self._accidents.reap(chance)
        for name, spans in before.items():
            database, had = store.get(name), self._had.get(name, 0)
            assert database is not None
            gone = [span for span in spans if span[1] > had and not database.ltx_path(*span).exists()]
            if self._keeps and gone:
                raise Wrong(f"{name}: the backup is at TXID {had}, and {gone[0]} is gone")
        return said

    def restore(self, chance: random.Random) -> str:
        """Somebody makes a database of the backup."""
        name = self._clients.name(chance)
        paths = BackupFolder(self._disk.root).paths(name)
        if not paths:
            return f"the backup has nothing of {name}"
        at = None if chance.random() < 0.5 else chance.randrange(len(paths))
        return self._restored(name, at)

    # -- into the backup -------------------------------------------------------------------------------

    def _run(self, chance: random.Random, trouble: str) -> str:
        world, node = self._world, self._world.primary
        store = node.store
        assert store is not None
        self._arm(chance, trouble)
        commits: list[str] = []
        if chance.random() < 0.4:
            self._disk.meanwhile = chance.randrange(6), lambda: self._commit(chance, commits)
        decided: list[Action] = []
        failed: object = ""
        try:
            with self._in_its_thread(decided):
                failed = self._turn(store, all_of_it=chance.random() < 0.5)
        except Killed:
            self._disk.dead = node.disk.dead = True
        except (PylitefsError, OSError) as error:
            failed = error
            self.close()
        disarmed = self._disk.fault is not None
        self._disk.fault = node.disk.fault = self._disk.meanwhile = None
        if Action.RESTORE in decided:
            raise Wrong(f"the backup wants to restore {DATABASES}: {decided}")
        if failed and not trouble and not world.readers:
            raise Wrong(f"the backup fails: {failed}")
        said = [f"{trouble or 'well'}{' (not met)' if disarmed else ''}", *(one.value for one in decided)]
        said += [f"a commit meanwhile: {one}" for one in commits] + ([f"failed ({failed})"] if failed else [])
        if not (trouble or failed or node.disk.dead):
            self._check_level(store)
        self._note()
        said += self._dies(chance, trouble)
        self._look()
        return ", ".join(said)

    def _arm(self, chance: random.Random, trouble: str) -> None:
        fault = (chance.choice(_KINDS), chance.randrange(5), chance.choice((errno.ENOSPC, errno.EIO)))
        if trouble == "fault":
            self._disk.fault = fault
        elif trouble == "fault of the data":
            self._world.primary.disk.fault = fault
        elif trouble == "dies at the name":
            self._disk.dies_when = frozenset({"sync"}), chance.choice((1, 1, 2))
        elif trouble == "dies" and chance.random() < 0.8:
            self._disk.dies_at = self._disk.calls + chance.randint(1, chance.choice((4, 10, 20)))
        elif trouble == "dies":
            self._world.primary.disk.dies_soon(chance)

    def _turn(self, store: Waiting, *, all_of_it: bool) -> str:
        """Backup._back_up, once round its loop; what failed."""
        if self._of is None or self._of[0] is not store:
            self.close()
            task = Backup(store, self._disk.root, delay=1.0, full_sync_interval=10.0, compress=True)
            self._of = store, task
            task._folder.take()
            task._sync.begins()
            store.subscribe(task._notify)
            all_of_it = True
        task = self._of[1]
        if all_of_it:
            task._folder.check_there()
            task._folder.look_again()
            names = {*task._folder.names(), *(one.name for one in store.databases())}
        else:
            names = task._take_dirty()
        failed = task._bring_level(names)
        while task._dirty and not failed:
            failed = task._bring_level(task._take_dirty())
        task._dirty.update(failed)
        return " ".join(f"{name}: {task.state._troubles[name][0]}" for name in sorted(failed))

    def _commit(self, chance: random.Random, outcomes: list[str]) -> None:
        """A client commits while the backup is written: nothing of that is in its way."""
        name = self._clients.name(chance)
        try:
            db = self._clients.connection(chance, name)
            outcomes.append(self._clients.commit(db, name, statements(chance, 2)))
        except Exception as error:
            outcomes.append(f"none ({error})")
        if "locked" in outcomes[-1] and not self._world.readers:
            raise Wrong(f"a commit is held up by the backup: {outcomes[-1]}")

    def _dies(self, chance: random.Random, trouble: str) -> list[str]:
        """The node, and perhaps the power of the backup's disk, if that was to be."""
        node = self._world.primary
        store, disk = node.store, self._disk
        failed = store is not None and any(one.state.sync_failure is not None for one in store.databases())
        if not (node.disk.dead or failed or trouble == "dies afterwards"):
            disk.revive()
            node.disk.dies_at, node.disk.dies_when = 0, None
            return []
        self.close()
        disk.dead = True
        said = [self._accidents._dies(node, chance, power=not failed and chance.random() < 0.4)]
        if trouble != "dies at the name" and chance.random() < 0.5:
            disk.power_failure(chance)
            said.append("the backup's power off")
        disk.revive()
        return said

    # -- what must hold --------------------------------------------------------------------------------

    def _check_level(self, store: Store) -> None:
        """Nothing was in the way: the backup has all of it."""
        fresh = BackupFolder(self._disk.root)
        for database in store.databases():
            if fresh.position(database.name) != database.pos:
                raise Wrong(f"the backup of {database.name} is at {fresh.position(database.name)}, and the "
                            f"primary at {database.pos}")  # fmt: skip

    def _note(self) -> None:
        """What it says is had."""
        for name, txid in self._of[1].state.positions.items() if self._of is not None else ():
            self._had[name] = max(txid, self._had.get(name, 0))

    def _look(self) -> None:
        """Whole, and never less than before."""
        fresh = BackupFolder(self._disk.root)
        for name in DATABASES:
            try:
                pos, paths = fresh.position(name), fresh.paths(name)
            except BackupError as error:
                raise Wrong(f"the backup of {name} is broken: {error}") from error
            if pos.txid < self._had.get(name, 0):
                raise Wrong(f"the backup of {name} was at TXID {self._had[name]}, and is at {pos}")
            for path in paths:
                header, trailer = verify_file(path)
                one = Pos(header.max_txid, trailer.post_apply_checksum)
                if str(one) not in self._world.primary.positions.get(name, ()):
                    raise Wrong(f"the backup of {name} has {one}, where the primary never was")
                rows = rows_at(self._world.oracle(name), one.txid)
                self._rows.setdefault((name, str(one)), rows)

    # -- out of the backup -----------------------------------------------------------------------------

    def _restored(self, name: str, at: int | None) -> str:
        """A plain file as of one of the backup's files; of the newest, as a node would restore it as well."""
        paths = BackupFolder(self._disk.root).paths(name)
        if not paths:
            return "nothing"
        header, trailer = verify_file(paths[-1 if at is None else at])
        pos = Pos(header.max_txid, trailer.post_apply_checksum)
        where = f"a restore of {name} of TXID {pos.txid}"
        content = self._plain(paths[0].parent, pos.txid, dropped=header.commit == 0, newest=at is None)
        check_copy(content, pos, self._rows[name, str(pos)], where)
        if at is None and self._as_a_node(paths, header.commit * header.page_size) != content:
            raise Wrong(f"{where} is another database on a node")
        return f"{name}, {len(content)} bytes at {pos}"

    def _plain(self, source: Path, txid: int, *, dropped: bool, newest: bool) -> bytes:
        """What `pylitefs ltx restore` writes."""
        out = self._world.root / "restored.db"
        plan = plan_source(open_source(source), txid=None if newest else txid, before_ms=None)
        try:
            restore_files([step.file for step in plan.steps], out)
        except RestoreError:
            if dropped:
                return b""
            raise
        content = out.read_bytes()
        out.unlink()
        return content

    def _as_a_node(self, paths: list[Path], size: int) -> bytes:
        """What a node makes of it that has no such database."""
        temporary = (self._world.root / f"restored{number}.ltx" for number in range(1000))
        path = merge.snapshot_of(paths, lambda: next(temporary))
        content = bytearray(size)
        with open_ltx(path) as decoder:
            for pgno, page in decoder.pages():
                content[(pgno - 1) * len(page) : pgno * len(page)] = page
        path.unlink()
        return bytes(content)

    # -- its thread ------------------------------------------------------------------------------------

    @contextmanager
    def _in_its_thread(self, decided: list[Action]) -> Iterator[None]:
        """Within, what is decided is noted, each write is a call, and a dead writer's journal is no lock."""
        node = self._world.primary
        assert node.store is not None and node.served is not None
        applier: Any = node.store.applier
        decide = vars(sync)["decide"]

        def noting(local: Pos, remote: Pos, following: int | None) -> Decision:
            found: Decision = decide(local, remote, following)
            decided.append(found.action)
            return found

        roll_back = Locking(node.store, node.served).rollback_hot_journal
        with ExitStack() as stack:
            stack.callback(vars(sync).update, decide=decide)
            vars(sync)["decide"] = noting
            vars(folder)["open"] = _opened
            stack.callback(vars(folder).pop, "open")
            if "rollback_hot_journal" not in vars(applier):
                applier.rollback_hot_journal = roll_back
                stack.callback(delattr, applier, "rollback_hot_journal")
            yield
