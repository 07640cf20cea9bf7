"""Short LTX files that are whole in memory: several are applied together, and a lone one goes the quick way.

    verified in memory --> written --> synced --------------------> applied --> the position moves
                                 `--> synced beside the apply -----------'       (one that comes alone)

What an apply costs is its locks and its hand-overs, and they are the same for all. So several are verified
one by one and kept one by one, and applied at once. Their pages go to the applier as they are here: no file
is read again.

The rule: the position moves once the pages are written *and* the LTX files are durable. Pages are written
earlier only where recovery brings back all that they overwrite (covered.py); so after a power failure in that
moment the node is where it was before, and the primary has the transaction. An LTX file that cannot be synced
once its pages may be written is written anew, again and again, until it is durable: as with pages that cannot
be written (the applier's `rest`), the database must not stay ahead of its position.
"""

import os
from collections.abc import Sequence
from io import BytesIO

from pylitefs.errors import ApplierError, LtxError
from pylitefs.limits import is_shortage
from pylitefs.ltx.blocks import Batch
from pylitefs.ltx.decoder import Decoder
from pylitefs.ltx.position import Pos
from pylitefs.ltx.short import as_one
from pylitefs.portable import BINARY
from pylitefs.store.applying import Applier
from pylitefs.store.checksums import Ahead, Changes
from pylitefs.store.database import Database
from pylitefs.store.files import check_room, let_go, sync_directory, write_all
from pylitefs.store.incoming import HeldUpError, Received, Stored, apply_or_wait
from pylitefs.store.privacy import FILE_MODE, make_directory
from pylitefs.store.state import DatabaseState

MOST_TOGETHER = 64
"""So many LTX files are received together, at most."""
_PAGES_TOGETHER = 16 << 20
"""Bytes of their pages, at most: what is short on the wire may be long."""
AGAIN_S = 0.5
"""An LTX file whose sync failed is written anew so often."""


def receive_together(
    database: Database, applier: Applier, contents: Sequence[bytes], patience: float | None = None
) -> Received | None:
    """Take in short LTX files, each of which continues the one before, and apply them at once.

    The last one's outcome; None, with nothing changed, where they have to be received one by one: one is not
    what it should be, or is a snapshot, or shrinks the database. HeldUpError as `receive`, for all of them.
    """
    state = database.state
    database.visitors.expect_apply()
    try:
        doubted = _doubt(state, contents)
        if doubted is None:
            return None
        try:
            files = _Files(state, doubted, contents)
        except FileExistsError:
            return None  # It came before, and may be half applied: incoming.py keeps it whole.
        except OSError as error:
            if is_shortage(error):
                return None  # Too few files can be open: one by one they need one.
            raise
        return _apply(database, applier, doubted, files, patience)
    finally:
        database.visitors.end_apply()


def _apply(
    database: Database, applier: Applier, doubted: Sequence[Stored], files: "_Files", patience: float | None
) -> Received:
    state, last = database.state, doubted[-1]
    try:
        last.settle = files.settle
        if len(doubted) == 1 and state.covered.rely(state.pos, last.header.commit, last.changes):
            last.meanwhile = files.sync_beside
        else:
            files.sync()
        return apply_or_wait(database, applier, last, patience)
    except HeldUpError:
        files.sync_or_undo()
        raise
    except BaseException:
        files.try_to_sync()
        raise
    finally:
        files.close()


def _doubt(state: DatabaseState, contents: Sequence[bytes]) -> list[Stored] | None:
    """Verify them, and that each continues the one before it; None if one does not, or is no ordinary one."""
    if state.halt is not None:
        return None
    pos, ahead = state.pos, Ahead(state.sums)
    doubted: list[Stored] = []
    batches: list[Batch] = []
    size = 0
    try:
        for content in contents:
            decoder = Decoder(BytesIO(content).read)
            header, changes = decoder.header, Changes()
            if header.is_snapshot or header.page_size != state.page_size or header.commit == 0:
                return None
            for batch in decoder.batches():
                changes.extend(batch.pgnos, batch.checksums())
                size += len(batch.pgnos) * header.page_size
                if size > _PAGES_TOGETHER:
                    return None
                batches.append(batch)
            if pos != header.pre_apply_pos:
                return None
            promised = decoder.trailer.post_apply_checksum
            if ahead.add(changes, header.commit) != promised:
                return None
            pos = Pos(header.max_txid, promised)
            path = state.ltx.path(header.min_txid, header.max_txid)
            doubted.append(Stored(header, decoder.trailer, len(content), path, ahead.pages, state.sums))
    except (LtxError, ValueError):
        return None
    last = doubted[-1]
    last.before, last.at_hand = doubted[:-1], as_one([one.header for one in doubted], batches)
    return doubted


class _Files:
    """The LTX files, written under their names and not synced yet.

    Before any of several is durable none is applied. A power failure may leave any of them torn or missing:
    the database is where it was, and recovery goes back to that (recovery_gap.py).
    """

    def __init__(self, state: DatabaseState, doubted: Sequence[Stored], contents: Sequence[bytes]) -> None:
        """Raises FileExistsError, or OSError if they cannot be written; then none of them is left."""
        self._state = state
        self._files = list(zip(doubted, contents, strict=True))
        self._fds: list[int] = []
        self._failure: OSError | None = None
        self._is_durable = False
        last = doubted[-1].header
        growth = (last.commit - state.sums.page_count) * last.page_size
        if growth > 0:
            check_room(state.directory.parent, growth, f"{last.filename} of {state.name}")
        try:
            for stored, content in self._files:
                self._fds.append(_make(state, stored))
                write_all(self._fds[-1], content)
        except BaseException:
            self._undo()
            raise

    def sync(self) -> None:
        """Make them durable, before the apply. OSError: none of them is left."""
        try:
            for fd in self._fds:
                os.fdatasync(fd)
        except BaseException:
            self._undo()
            raise
        self._durable()

    def sync_beside(self) -> None:
        """Make the one durable while its pages are written; once, for a second sync says that all is well. An
        error is kept for `settle`: pages may be written by now."""
        if self._is_durable or self._failure is not None:
            return
        try:
            os.fdatasync(self._fds[0])
        except OSError as error:
            self._failure = error
        else:
            self._durable()

    def settle(self) -> None:
        """After the apply: the position may move once this returns. ApplierError if the node ends before."""
        while self._failure is not None:
            self._state.node.disk.note(self._failure)
            try:
                self._write_anew()
            except OSError as error:
                self._failure = error
                if self._state.node.ending.wait(AGAIN_S):
                    raise ApplierError(
                        f"this node ends: its next start finishes {self._state.name}"
                    ) from error
            else:
                self._failure = None
                self._durable()

    def sync_or_undo(self) -> None:
        """Nothing was applied: what cannot be made durable is not kept. OSError, then."""
        if self._failure is not None:
            self._undo()
            raise self._failure
        if not self._is_durable:
            self.sync()

    def try_to_sync(self) -> None:
        """Nobody knows what was applied. It will come again, and is kept whole then (incoming.py)."""
        if self._fds:
            self.sync_beside()

    def _write_anew(self) -> None:
        """Another file: after a sync that failed the kernel may take the old one's bytes for written."""
        stored, content = self._files[0]
        temporary = self._state.ltx.directory / "receiving.tmp"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | BINARY, FILE_MODE)
        try:
            write_all(fd, content)
            os.fsync(fd)
        finally:
            let_go(fd)
        os.rename(temporary, stored.path)
        sync_directory(stored.path.parent)

    def _durable(self) -> None:
        self._is_durable = True
        self._state.covered.durable()
        for stored, content in self._files:
            self._state.ltx.add(stored.header.min_txid, stored.header.max_txid, content)

    def _undo(self) -> None:
        made = [stored.path for stored, _ in self._files[: len(self._fds)]]
        for path in reversed(made):
            path.unlink()  # From the newest on: what is left meanwhile has no gap.
        self._state.covered.durable()
        self.close()
        if made:
            # None may come back over transactions that this node makes itself one day.
            sync_directory(made[0].parent)

    def close(self) -> None:
        while self._fds:
            let_go(self._fds.pop())


def _make(state: DatabaseState, stored: Stored) -> int:
    """The new file of one of them; a sync of it makes its name durable as well."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY
    try:
        return os.open(stored.path, flags, FILE_MODE)
    except FileNotFoundError:
        make_directory(state.ltx.directory)
        return os.open(stored.path, flags, FILE_MODE)
