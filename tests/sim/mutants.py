"""Faults that were put in on purpose: how the simulator itself is tested.

Each is one small mistake, as a tired person makes it, in capture, publishing, apply, recovery, retention,
import, catch-up or a change of role. It is put in from outside, for as long as `applied` lasts; pylitefs
itself is never touched. Each has to be found by drawn histories alone.
"""

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from pylitefs.backup import folder
from pylitefs.ltx.position import Pos
from pylitefs.replication import catchup, intake, kept
from pylitefs.roles import change
from pylitefs.store import (
    applying,
    capture,
    database,
    group_sync,
    imports,
    incoming,
    lost,
    moments,
    recovery,
    recovery_gap,
    recovery_sides,
    restoring,
    retention,
    role_change,
    rollback,
    snapshot,
    state,
    super_journals,
    wal_tracker,
    wal_watch,
)
from pylitefs.store.marker import Left
from pylitefs.store.names import FileKind
from pylitefs.store.publisher import Publisher
from pylitefs.store.recovery_replay import Replay
from pylitefs.store.store import Store
from pylitefs.store.wal_watch import WalWatch

Change = tuple[Any, str, Any]
"""(owner, attribute, what it is instead)"""


@dataclass(frozen=True)
class Mutant:
    """One fault."""

    name: str
    where: str
    make: Callable[[], list[Change]]

    @contextmanager
    def applied(self) -> Iterator[None]:
        with ExitStack() as stack:
            for owner, name, value in self.make():
                stack.callback(setattr, owner, name, owner.__dict__[name])
                setattr(owner, name, value)
            yield


class _Without:
    """`os`, of which some calls do nothing."""

    def __init__(self, *calls: str) -> None:
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        return (lambda *arguments: None) if name in self._calls else getattr(os, name)


def _nothing(*arguments: Any, **options: Any) -> None:
    """What was to be done is forgotten."""


def _never(name: str) -> list[Change]:
    """A part of recovery that is never done, or never finds that there is something to do."""
    return [(recovery, name, lambda *arguments: False)]


def _no_syncs(module: Any) -> list[Change]:
    return [(module, "os", _Without("fsync", "fdatasync"))]


def _page_left_out() -> list[Change]:
    whole = capture.pages_in_file

    def some(fd: int, pgnos: Any, page_size: int) -> Any:
        return whole(fd, pgnos if len(pgnos) < 4 else [*pgnos[:-2], pgnos[-1]], page_size)

    return [(rollback, "pages_in_file", some)]


def _grown_forgotten() -> list[Change]:
    """Of a transaction that makes the database longer only the pages that were written are taken."""
    real = capture.commit_transaction

    def commit(its: Any, page_size: int, count: int, pages: Any, *rest: Any, **options: Any) -> Any:
        written = its_dirty[0]
        return real(its, page_size, count, (one for one in pages if one[0] in written), *rest, **options)

    its_dirty: list[set[int]] = [set()]
    plain = rollback.RollbackWatch._capture

    def noting(self: Any, fd: int, header: Any) -> Any:
        its_dirty[0] = set(self._dirty)
        return plain(self, fd, header)

    return [(rollback, "commit_transaction", commit), (rollback.RollbackWatch, "_capture", noting)]


def _shorter_retention() -> list[Change]:
    def all_old(its: Any, limit: float) -> list[tuple[int, int]]:
        return [span for span in its.ltx.ranges() if os.stat(its.ltx.path(*span)).st_mtime < limit]

    return [(retention, "_past_their_time", all_old)]


def _nothing_for_a_gap() -> list[Change]:
    real = catchup.decide

    def decide(replica: Pos, primary: Pos, next_file: Any, history: Any = None) -> Any:
        if next_file is None and 0 < replica.txid < primary.txid:
            return catchup.Nothing("it is up to date")
        return real(replica, primary, next_file, history)

    return [(kept, "decide", decide)]


def _wal_unchecked() -> list[Change]:
    """A WAL frame counts by its salts, whatever its checksum says."""

    def verify(self: Any, number: int, frame: Any, raw: memoryview, header: Any) -> bool:
        if (frame.salt1, frame.salt2) != (header.salt1, header.salt2) or frame.pgno == 0:
            return False
        self._chain.checksums.append((frame.checksum1, frame.checksum2))
        self._chain.pgnos.append(frame.pgno)
        return True

    return [(wal_tracker.WalTracker, "_verify", verify)]


def _torn_file_counts() -> list[Change]:
    return [(recovery, "is_unwritten", lambda path, error: False)]


def _only_as_it_lies() -> list[Change]:
    """Before a gap a replica's database counts only as it lies: no LTX file brings back what it lost."""
    real, its_own = recovery_gap.cut_back, vars(recovery_gap)
    replayed = its_own["replayed"]

    def as_it_lies(its: Any, last: Any, sums: Any) -> Any:
        return Replay([], last, sums, sums.copy(), {})

    def cut_back(its: Any, sums: Any) -> bool:
        its_own["replayed"] = as_it_lies
        try:
            return real(its, sums)
        finally:
            its_own["replayed"] = replayed

    return [(recovery, "cut_back", cut_back)]


def _journal_unread() -> list[Change]:
    def only_removed(its: Any, mount_dir: Any, txid: int) -> Left:
        its.path(FileKind.JOURNAL).unlink(missing_ok=True)
        return Left.NOTHING

    return [(recovery, "roll_back_journal", only_removed)]


def _whole_wal() -> list[Change]:
    """Recovery takes all of the WAL, also what no LTX file holds."""
    return [(recovery_sides, "_end_in", lambda wal, ltx: 1 << 40)]


def _owes_nothing() -> list[Change]:
    """A WAL that begins again within a transaction is taken for the beginning of one."""
    return [(wal_tracker.WalTracker, "restart", wal_tracker.WalTracker._start)]


def _unsummed_reaped() -> list[Change]:
    return [(wal_watch.WalWatch, "unsummed_from", 0)]


def _told_early() -> list[Change]:
    return [(state.DatabaseState, "_is_late", lambda self, pos: False)]


def _pos_of_all() -> list[Change]:
    return [(database.Database, "pos", property(lambda self: self.state.pos))]


def _told_unseen() -> list[Change]:
    return [(Publisher, "_is_shown", lambda self, its, pending: True)]


def _keeps_overwritten() -> list[Change]:
    return [(wal_watch.WalWatch, "before_write", _nothing)]


def _drop_untold() -> list[Change]:
    return [(database, "commit_drop", _nothing)]


def _gathered_stays() -> list[Change]:
    return [(intake.Intake, "asking_anew", lambda self: self._held_up.asking_anew())]


def _forgets_at_the_end() -> list[Change]:
    """What came together with the stream's end."""
    real = intake.Intake.flush

    def flush(self: Any) -> None:
        if sys._getframe(1).f_code.co_name != "_stream":
            real(self)

    return [(intake.Intake, "flush", flush)]


def _stored_late() -> list[Change]:
    """Applied first, stored afterwards: here the apply comes before the file has its bytes."""
    real = incoming.store_file

    def first_applied(its: Any, chunks: Any, *, fresh: bool = True) -> Any:
        content = b"".join(chunks)
        path = its.state.directory / "early.tmp"
        path.write_bytes(content)
        if its.state.pos.txid and len(content) > 100 and content[:4] == b"LTX1":
            applying.DirectApplier(its.state.directory.parent.parent).apply(its.name, path)
        path.unlink()
        return real(its, iter([content]), fresh=fresh)

    return [(incoming, "store_file", first_applied)]


def _rolled_back_counts() -> list[Change]:
    """A rollback's journal end is taken for a commit of one page more."""
    real = rollback.RollbackWatch.end_journal
    count = itertools.count()

    def end(self: Any, how: str) -> Any:
        before = self.state.pos
        found = real(self, how)
        if found is None and before.txid and next(count) % 2 == 0:
            self.state.pos = Pos(before.txid + 1, before.checksum)
        return found

    return [(rollback.RollbackWatch, "end_journal", end)]


def _never_ahead() -> list[Change]:
    """Who is further than the new primary is taken to be level with it."""
    real = catchup.decide

    def decide(replica: Pos, primary: Pos, next_file: Any, history: Any = None) -> Any:
        if replica.txid > primary.txid > 0:
            return catchup.Nothing("it is up to date")
        return real(replica, primary, next_file, history)

    return [(kept, "decide", decide)]


def _by_number_alone() -> list[Change]:
    real = catchup.decide

    def decide(replica: Pos, primary: Pos, next_file: Any, history: Any = None) -> Any:
        if 0 < replica.txid == primary.txid:
            return catchup.Nothing("it is up to date")
        return real(replica, primary, next_file, history)

    return [(kept, "decide", decide)]


def _only_stopped(its: Any) -> None:
    its.state.follows = True


def _writers_go_on() -> list[Change]:
    """A handoff waits for writers, and then lets others begin."""
    real = role_change.stop_writes

    def stop(its: Any) -> None:
        real(its)
        its.state.follows = False

    return [(change, "stop_writes", stop)]


def _not_as_reader(its: Any, applier: Any, out: Any, patience: Any, begin: Any) -> Any:
    """A large copy is made beside writers and applies."""
    return snapshot._copy_locked(its, out, begin)


def _export_unsettled(self: Store, name: str, out: Any, patience: Any = None) -> Pos:
    """What SQLite's readers see, and the publisher has not looked at yet, is not in an export."""
    return snapshot.export_database(self.require(name), self.applier, out, patience)


def _reaped_before_backup() -> list[Change]:
    """Retention asks nobody how far the backup is."""
    never = property(lambda self: False, lambda self, value: None)
    return [(retention.Limits, "until_backed_up", never)]


MUTANTS = (
    Mutant("the LTX file of a commit is not synced", "capture", lambda: _no_syncs(capture)),
    Mutant("a page of a transaction is left out", "capture", _page_left_out),
    Mutant("a rollback counts as a commit", "capture", _rolled_back_counts),
    Mutant("a drop is no transaction", "capture", _drop_untold),
    Mutant("a WAL frame's checksum is not compared", "capture", _wal_unchecked),
    Mutant("a commit is told before SQLite's readers see it", "publish", _told_unseen),
    Mutant("a position is told before its file is durable", "publish", _told_early),
    Mutant("the group's files are not synced", "publish", lambda: _no_syncs(group_sync)),
    Mutant("a replica's file is not synced", "apply", lambda: _no_syncs(incoming)),
    Mutant("apply before store", "apply", _stored_late),
    Mutant("a torn LTX file is not dropped", "recovery", _torn_file_counts),
    Mutant("a hot journal is removed, not rolled back", "recovery", _journal_unread),
    Mutant("the WAL past the last LTX file counts", "recovery", _whole_wal),
    Mutant("what was written without a journal is forgotten", "recovery",
           lambda: [(recovery, "read_marker", lambda directory, txid: Left.NOTHING)]),
    Mutant("a gap in a burst is not noticed", "recovery", lambda: _never("cut_burst")),
    Mutant("a killed node's files are not synced at the start", "recovery", lambda: _never("sync_newest")),
    Mutant("the end of retention is one too early", "retention", _shorter_retention),
    Mutant("a super-journal's end is not durable", "commit of two",
           lambda: [(super_journals, "sync_directory", _nothing)]),
    Mutant("a name of a commit with the HALT lock is not durable", "capture",
           lambda: [(capture, "sync_directory", _nothing)]),
    Mutant("an import's pages come without its position", "import",
           lambda: [(imports, "publish", _nothing)]),
    Mutant("whose next file is gone gets nothing", "catch-up", _nothing_for_a_gap),
    Mutant("an old primary keeps what the new one never had", "roles", _never_ahead),
    Mutant("who follows is compared by TXID alone", "roles", _by_number_alone),
    Mutant("a handoff lets a pending transaction go untold", "roles",
           lambda: [(change, "stop_writes", _only_stopped)]),
    Mutant("writers go on while the lease is handed over", "roles", _writers_go_on),
    Mutant("what is given up is not kept aside", "roles", lambda: [(lost, "keep_aside", _nothing)]),
    Mutant("pages that joined without a write are left out", "capture", _grown_forgotten),
    Mutant("frames that are written over are kept", "capture", _keeps_overwritten),
    Mutant("a burst is shipped before it is durable", "publish", _pos_of_all),
    Mutant("a page is written before its LTX file is durable", "publish",
           lambda: [(database, "sync_all", _nothing), (wal_watch, "sync_all", _nothing)]),
    Mutant("a gap among stored files is not noticed", "recovery", lambda: _never("cut_back")),
    Mutant("free pages after a rollback contradict", "recovery", lambda: _never("may_be_free_pages")),
    Mutant("what is reaped is durable nowhere else", "retention",
           lambda: [(retention, "sync_database", _nothing)]),
    Mutant("what was gathered is forgotten at a stream's end", "catch-up", _forgets_at_the_end),
    Mutant("what was gathered stays over a cut", "catch-up", _gathered_stays),
    Mutant("a copy is made without a reader's locks", "export",
           lambda: [(snapshot, "_copy_as_reader", _not_as_reader)]),
    Mutant("an export does not wait for what readers see", "export",
           lambda: [(Store, "export", _export_unsettled)]),
    Mutant("a backup's file is not synced", "backup", lambda: _no_syncs(folder)),
    Mutant("the name of a backup's file is not durable", "backup",
           lambda: [(folder, "sync_directory", _nothing)]),
    Mutant("a backup's name that was found is taken for durable", "backup",
           lambda: [(folder._Known, "is_durable", property(lambda self: True, lambda self, value: None))]),
    Mutant("what the backup has not got is reaped", "backup", _reaped_before_backup),
    Mutant("a restore that failed is not taken back", "restore",
           lambda: [(restoring, "_take_back", _nothing)]),
    Mutant("a restore's pages come without its position", "restore",
           lambda: [(restoring, "_publish", _nothing)]),
)  # fmt: skip
"""Each is found within a minute of two processors, the last eight by scenarios (scenarios.py)."""

RARE = (
    Mutant("a transaction of one's own is known by its number", "apply",
           lambda: [(incoming, "_is_here", lambda state, header, trailer:
                     header.node_id == state.node.node_id and header.max_txid <= state.pos.txid)]),
    Mutant("a WAL that begins again owes no checksums", "capture", _owes_nothing),
    Mutant("what was lost before a gap is not replayed", "recovery", _only_as_it_lies),
    Mutant("what lies beneath a WAL is believed", "recovery", lambda: _never("lay_beneath")),
    Mutant("a moment has pages from before a gap", "moments",
           lambda: [(moments, "_leading_to", lambda spans, txid: spans)]),
    Mutant("what a WAL holds without checksums is reaped", "retention", _unsummed_reaped),
    Mutant("a name that a killed node gave is not durable at the start", "recovery",
           lambda: [(recovery_gap, "sync_names_left", _nothing)]),
    Mutant("of an old WAL the checksums alone tell", "roles",
           lambda: [(WalWatch, "known", property(lambda self: None))]),
)  # fmt: skip
"""Found only now and then: what they need comes together too seldom in drawn histories."""
