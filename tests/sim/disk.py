"""A node's disk: a folder in memory, and what of it a power failure would leave.

The files are real, so SQLite reads and maps them by itself. Beside them stands what is durable: of each
file the content at its last sync, and each write since; and the names that were made, removed and renamed
since their folder was synced. A killed process changes nothing of the files. A power failure keeps what is
durable, and of the rest any part: a sector of 512 bytes stays as it was at some moment, a name survives by
the order of a file system's own journal or by none.

The rule: what was synced is kept, always. After `die` no call changes anything any more: a killed program's
clean-up never runs.
"""

import errno
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512


class Killed(BaseException):
    """The process that makes this call is dead."""


@dataclass
class Inode:
    """One file: its content at the last sync, and the writes since: (offset, bytes), or (size, None) for a
    change of its length."""

    durable: bytes = b""
    log: list[tuple[int, bytes | None]] = field(default_factory=list)
    mtime_ns: int = 0

    def now(self) -> bytes:
        """Its content as everybody sees it."""
        return self._with(lambda: True)

    def after_power_failure(self, chance: random.Random) -> bytes:
        """Any part of what was written since the last sync."""
        if not self.log:
            return self.durable
        share = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        content = self._with(lambda: share > 0 and (share == 1 or chance.random() < share))
        whole = len(self.now())
        # The length may survive without the data: then there are zeros.
        return content.ljust(whole, b"\0") if chance.random() < 0.3 else content

    def _with(self, survives: Callable[[], bool]) -> bytes:
        """Each sector as it was at some moment: the kernel writes a sector as it is then, with all that was
        written to it before. So what comes after a write that is lost is lost in this sector, too."""
        seen = bytearray(self.durable)
        """As everybody sees it."""
        stands: dict[int, bytes] = {}
        """The sectors of which a write was lost, by where they begin: as they were before it."""
        size = len(seen)
        for offset, data in self.log:
            if data is None:
                if survives():
                    size = offset
                    stands = {at: sector[: offset - at] for at, sector in stands.items() if at < offset}
                elif offset < len(seen):
                    # What lies past it stays; what is written there anew is elsewhere on the disk.
                    for at in range(offset - offset % SECTOR, len(seen), SECTOR):
                        stands.setdefault(at, bytes(seen[at : at + SECTOR]))
                seen = seen[:offset].ljust(offset, b"\0")
                continue
            seen = seen.ljust(offset, b"\0")
            at = offset
            while at < offset + len(data):
                start = at - at % SECTOR
                end = min(start + SECTOR, offset + len(data))
                if not survives():
                    stands.setdefault(start, bytes(seen[start : start + SECTOR]))
                elif start not in stands:
                    size = max(size, end)
                seen[at:end] = data[at - offset : end - offset]
                at = end
        for at, sector in stands.items():
            seen = seen.ljust(at, b"\0")
            seen[at : at + SECTOR] = sector.ljust(SECTOR, b"\0")
        return bytes(seen[:size].ljust(size, b"\0"))


@dataclass(frozen=True, eq=False)
class NameChange:
    """A name leads to this inode from now on, or to none (a removal); a rename is two that go together."""

    changes: tuple[tuple[str, int | None], ...]


class Disk:
    """The disk of one node. `seam.py` tells it of each call."""

    def __init__(self, root: Path, now_ns: Callable[[], int]) -> None:
        self.root = root
        self.journaled = False
        """Whether names become durable in the order of their changes, and with any sync, as on ext4; else
        each for itself."""
        self.dead = False
        self.calls = 0
        self.dies_at = 0
        """The call at which the process is killed; 0: none."""
        self.dies_when: tuple[frozenset[str], int] | None = None
        """(kinds of calls, how many go well before): the process is killed at that one."""
        self.fault: tuple[frozenset[str], int, int] | None = None
        """(kinds of calls, how many go well before, errno): that one fails."""
        self.faults = 0
        self.inodes: dict[int, Inode] = {}
        self._names: dict[str, int] = {}
        """Durable names."""
        self._pending: list[NameChange] = []
        self._now_ns = now_ns
        self._changed_ns = 0

    def call(self, kind: str, name: str) -> None:
        """The node is about to make this call."""
        if self.dead:
            raise Killed
        self.calls += 1
        if self.dies_when is not None and kind in self.dies_when[0]:
            self.dies_when = self.dies_when[0], self.dies_when[1] - 1
        if self.calls == self.dies_at or (self.dies_when is not None and self.dies_when[1] < 0):
            self.dead = True
            raise Killed
        if self.fault is not None and kind in self.fault[0]:
            kinds, left, code = self.fault
            if left:
                self.fault = kinds, left - 1, code
            else:
                self.fault = None
                self.faults += 1
                raise OSError(code, os.strerror(code), name)

    def dies_soon(self, chance: random.Random) -> None:
        """The process is killed at one of the next calls: any, or the first few of a kind, which are the
        ones that matter."""
        if chance.random() < 0.4:
            self.dies_at = self.calls + chance.randint(1, chance.choice((4, 12, 40)))
        else:
            self.dies_when = (
                frozenset({chance.choice(("sync", "sync", "open", "unlink"))}),
                chance.randrange(5),
            )

    # -- what the calls did ----------------------------------------------------------------------------

    def created(self, name: str, inode: int) -> None:
        self.inodes[inode] = Inode(mtime_ns=self._now_ns())
        self._changes(NameChange(((name, inode),)))

    def linked(self, name: str, inode: int) -> None:
        """A file has one more name, which is durable once its folder is synced."""
        self._changes(NameChange(((name, inode), (name, inode))))

    def wrote(self, inode: int, offset: int, data: bytes | None) -> None:
        known = self.inodes[inode]
        known.log.append((offset, data))
        known.mtime_ns = self._now_ns()

    def removed(self, name: str) -> None:
        self._changes(NameChange(((name, None),)))

    def renamed(self, old: str, new: str, inode: int) -> None:
        self._changes(NameChange(((old, None), (new, inode))))

    def _changes(self, change: NameChange) -> None:
        self._pending.append(change)
        self._changed_ns = max(self._now_ns(), self._changed_ns + 1)
        for folder in {os.path.dirname(name) for name, _ in change.changes}:
            # A folder tells when its names changed: each time another moment.
            os.utime(self.root / folder, ns=(self._changed_ns, self._changed_ns))

    def synced(self, inode: int, content: bytes) -> None:
        """The file is durable, and so is the name that it was made with (as ext4, XFS and btrfs do it). One
        that it was given by a rename is once its folder is synced, unless names have their order."""
        known = self.inodes[inode]
        known.durable, known.log = content, []
        self._settle(lambda change: change.changes[-1][1] == inode and len(change.changes) == 1)

    def synced_directory(self, folder: str) -> None:
        self._settle(lambda change: any(os.path.dirname(name) == folder for name, _ in change.changes))

    def _settle(self, is_durable: Callable[[NameChange], bool]) -> None:
        names: set[str] = set()
        left = []
        for change in reversed(self._pending):
            # What was done with the same name before is durable with it.
            if self.journaled or is_durable(change) or any(name in names for name, _ in change.changes):
                names.update(name for name, _ in change.changes)
            else:
                left.append(change)
        for change in self._pending:
            if change not in left:
                _apply(self._names, change)
        self._pending = left[::-1]

    # -- what is left ----------------------------------------------------------------------------------

    def stamp(self) -> None:
        """Give the files the times at which they were written, on the history's clock."""
        for path in self.root.rglob("*.ltx"):
            if known := self.inodes.get(path.stat().st_ino):
                os.utime(path, ns=(known.mtime_ns, known.mtime_ns))

    def power_failure(self, chance: random.Random) -> None:
        """The machine goes off; the folder is what the disk has kept."""
        names = dict(self._names)
        if self.journaled:
            kept = self._pending[: chance.randint(0, len(self._pending))]
        else:
            share = chance.random()
            kept = [change for change in self._pending if chance.random() < share]
        for change in kept:
            _apply(names, change)
        files = {
            name: (self.inodes[inode].after_power_failure(chance), self.inodes[inode].mtime_ns)
            for name, inode in sorted(names.items())
            if not name.endswith("/shm")
        }
        for path in sorted(self.root.rglob("*"), reverse=True):
            if path.is_file():
                _unlink(path)
        self.inodes, self._names, self._pending = {}, {}, []
        for name, (content, mtime_ns) in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            inode = path.stat().st_ino
            self.inodes[inode] = Inode(content, mtime_ns=mtime_ns)
            self._names[name] = inode

    def revive(self) -> None:
        """Another process has the disk now."""
        self.dead, self.dies_at, self.dies_when, self.fault = False, 0, None, None


def _apply(names: dict[str, int], change: NameChange) -> None:
    """Do it if it can be done: in a subset, what it stands on may be missing."""
    for name, inode in change.changes:
        if inode is None:
            names.pop(name, None)
        else:
            names[name] = inode


_unlink = os.unlink
"""Before `seam.py` has put its own in its place."""

NO_SPACE, BROKEN = errno.ENOSPC, errno.EIO
