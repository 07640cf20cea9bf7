"""One database brought level with its backup: what `decide` says is done here.

The rule: what a restore replaces is kept aside first, and a database is restored once in a run. A backup that
goes another way a second time has another writer, and following it would undo commit after commit.
"""

import logging
from collections.abc import Callable

from pylitefs.backup import merge
from pylitefs.backup.decide import Action, Decision, decide
from pylitefs.backup.folder import BackupFolder, Span
from pylitefs.errors import BackupError
from pylitefs.ltx.header import Trailer
from pylitefs.ltx.position import Pos
from pylitefs.store.backup_state import BackupState
from pylitefs.store.database import Database
from pylitefs.store.restoring import drop_hidden, keep_aside, restore
from pylitefs.store.snapshot import SnapshotInfo
from pylitefs.store.store import Store

MOST_FILES = 256
"""So many LTX files become one file of the backup, at most, as in LiteFS."""
MOST_BYTES = 16 << 20
"""And so many bytes of them: what is merged is in memory up to three times."""

log = logging.getLogger("pylitefs")


class Sync:
    """Brings databases level with the folder. For one thread."""

    def __init__(
        self,
        store: Store,
        folder: BackupFolder,
        state: BackupState,
        *,
        compress: bool,
        may_write: Callable[[], bool],
        stopping: Callable[[float], bool],
    ) -> None:
        self._store = store
        self._folder = folder
        self._state = state
        self._compress = compress
        self._may_write = may_write
        self._stopping = stopping
        self._restored: set[str] = set()

    def bring_level(self, name: str) -> None:
        """Until the backup has all that this database has, or the other way round."""
        if name in self._store.set_aside:
            return
        while self._may_write():
            database = self._store.get(name)
            local = database.current_pos() if database else Pos()
            remote = self._folder.position(name)
            decision = decide(local, remote, self._next_pre_apply(database, remote))
            if decision.action is Action.NOTHING:
                self._reached(name, remote)
                return
            self._state.now = f"{name}: {decision.action.value}"
            try:
                self._do(name, database, local, remote, decision)
            finally:
                self._state.now = ""

    def _next_pre_apply(self, database: Database | None, remote: Pos) -> int | None:
        span = database.ltx_next(remote.txid) if database else None
        header = database.ltx_header(*span) if database and span else None
        return header.pre_apply_checksum if header else None

    def _do(self, name: str, database: Database | None, local: Pos, remote: Pos, decision: Decision) -> None:
        if decision.action is Action.RESTORE or database is None:
            self._restore(name, local, remote, decision.reason)
        elif decision.action is Action.FILES:
            self._write_files(database, local, remote)
        else:
            self._write_whole(database, remote)

    # Into the backup

    def _write_files(self, database: Database, local: Pos, remote: Pos) -> None:
        spans = _continuing(database, local, remote)
        if not spans:
            return  # Retention has reaped them just now: it is decided anew.
        paths = [database.ltx_path(*span) for span in spans]
        try:
            self._write(
                database.name,
                (spans[0][0], spans[-1][1]),
                remote,
                lambda write: merge.merge(paths, write, compress=self._compress),
            )
        except FileNotFoundError:
            if all(path.exists() for path in paths):
                raise  # It is not what retention has reaped just now.

    def _write_whole(self, database: Database, remote: Pos) -> None:
        """A snapshot, under a header that continues the backup where it has something already."""
        path = self._store.temp_path(".backup")
        try:
            info = self._store.snapshot(database.name, path)
            if info.pos.txid <= remote.txid:
                return
            self._write(
                database.name,
                (remote.txid + 1, info.pos.txid),
                remote,
                lambda write: self._copy(info, remote, write),
            )
        finally:
            path.unlink(missing_ok=True)

    def _copy(self, info: SnapshotInfo, remote: Pos, write: merge.Write) -> Trailer:
        if remote.txid:
            header = merge.continuation(info.header, remote.txid, remote.checksum, compress=self._compress)
            return merge.begun_anew(info.path, header, write)
        return merge.copied(info.path, write)

    def _write(self, name: str, span: Span, after: Pos, produce: Callable[[merge.Write], Trailer]) -> None:
        pos, size = self._folder.write(name, span, after, produce, self._may_write)
        self._state.files += 1
        self._state.size += size
        self._reached(name, pos)

    def _reached(self, name: str, pos: Pos) -> None:
        """The backup has the database up to here: retention and the streams go by it."""
        if pos.txid:
            self._state.positions[name] = pos.txid
        if database := self._store.get(name):
            database.state.high_water_mark = pos.txid

    # Out of the backup

    def _restore(self, name: str, local: Pos, remote: Pos, reason: str) -> None:
        if name in self._restored:
            raise BackupError(
                f"{reason}, for a second time since this node became the primary: something else writes into "
                f"{self._folder.path / name}; stop it, then restart this node"
            )
        log.warning("%s is restored from the backup: %s", name, reason)
        path = merge.snapshot_of(self._folder.paths(name), lambda: self._store.temp_path(".restore"))
        try:
            kept = None if self._has(name, local) else keep_aside(self._store, name)
            if not self._may_write():
                return
            found = restore(self._store, name, path, local, self._stopping)
        finally:
            path.unlink(missing_ok=True)
        self._restored.add(name)
        self._state.restores += 1
        self._reached(name, found)
        if kept:
            log.warning(
                "%s: what this node had, at %s, and the backup has not, is kept in %s; look at it with "
                "`pylitefs ltx apply --db COPY.db %s`",
                name,
                local,
                kept,
                kept,
            )
        log.warning("%s is restored, at %s", name, found)

    def _has(self, name: str, pos: Pos) -> bool:
        """Whether the backup has passed this very position, so that nothing is lost by a restore."""
        return pos.txid == 0 or self._folder.pre_apply_at(name, pos.txid + 1) == pos.checksum

    def begins(self) -> None:
        """This node became the primary: each database may be restored once more."""
        self._restored.clear()
        drop_hidden(self._store)


def _continuing(database: Database, local: Pos, remote: Pos) -> list[Span]:
    """The LTX files that continue the backup, as many as go together: of one page size, and bounded."""
    spans: list[Span] = []
    size, page_size, at = 0, 0, remote.txid
    while len(spans) < MOST_FILES and at < local.txid:
        span = database.ltx_next(at)
        header = database.ltx_header(*span) if span else None
        if span is None or header is None or (spans and header.page_size != page_size):
            break
        size += database.state.ltx.size(*span)
        if spans and size > MOST_BYTES:
            break
        spans.append(span)
        page_size, at = header.page_size, span[1]
    return spans
