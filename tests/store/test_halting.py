"""The HALT locks that a primary gives: who gets them, what they let in, and how they end."""

import errno
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import wait_until
from pylitefs.errors import (
    ApplierError,
    BusyError,
    DatabaseNotFoundError,
    HaltError,
    LtxError,
    PositionMismatchError,
    ReadOnlyReplicaError,
)
from pylitefs.store import halting, incoming, status
from pylitefs.store.applying import DirectApplier, HaltLock, KnownWal
from pylitefs.store.capture import commit_transaction
from pylitefs.store.halting import Halts
from pylitefs.store.store import Store
from pylitefs.store.turns import Patience
from pylitefs.trace import Event
from tests.replication.stores import PAGE, Writer, database_bytes, opened


class Locks(DirectApplier):
    """Counts the locks; `error` is what an apply ends with, once."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.held = 0
        self.error: Exception | None = None

    @contextmanager
    def halt_lock(self, database: str, timeout: float) -> Iterator[HaltLock]:
        with super().halt_lock(database, timeout) as lock:
            self.held += 1
            try:
                yield _Failing(self, lock)
            finally:
                self.held -= 1


class _Failing:
    def __init__(self, locks: Locks, lock: HaltLock) -> None:
        self._locks, self._lock = locks, lock

    def apply(
        self, ltx_path: Path, *, timeout: float, verified: bool = False, known: KnownWal | None = None
    ) -> None:
        error, self._locks.error = self._locks.error, None
        if error is not None:
            raise error
        self._lock.apply(ltx_path, timeout=timeout, verified=verified, known=known)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "node", primary=True) as made:
        made.applier = Locks(made.data_dir)
        yield made


def locks(store: Store) -> Locks:
    assert isinstance(store.applier, Locks)
    return store.applier


def patience(seconds: float = 5.0) -> Patience:
    return Patience("a HALT lock", seconds)


def test_who_asks_first_comes_first_and_sqlite_s_lock_is_held_meanwhile(store: Store) -> None:
    Writer(store).commit({1: 1})
    halts = Halts(store)
    halts.acquire("made.db", 1, patience())
    got: list[int] = []
    threads = []
    waiting = halts._turns["made.db"]._waiting

    def take(number: int) -> None:
        got.append(halts.acquire("made.db", number, patience(30)).id)

    for number in (2, 3):
        threads.append(threading.Thread(target=take, args=(number,)))
        threads[-1].start()
        assert wait_until(partial(lambda n: len(waiting) == n, number - 1), 10)
    with pytest.raises(BusyError, match="a HALT lock is under way"):
        halts.acquire("made.db", 9, patience(0.05))
    for number in (1, 2, 3):
        assert locks(store).held == 1
        assert halts.release("made.db", number) and not halts.release("made.db", number)
        if number < 3:
            assert wait_until(partial(lambda n: got == list(range(2, n + 2)), number), 10)
    for thread in threads:
        thread.join()
    assert locks(store).held == 0 and not halts.held()


def test_nothing_is_left_of_a_transaction_that_cannot_be_applied(store: Store) -> None:
    """Readers in its way, a file that is cut, one that does not continue, one of this node's own, and the
    node's end as the primary: the position, the database and the LTX files are as before."""
    writer = Writer(store)
    writer.commit({1: 1})
    halts = Halts(store)
    halts.acquire("made.db", 1, patience())
    good = writer.next_file({1: 2})
    before, files = database_bytes(store, "made.db"), store.require("made.db").ltx_files()
    locks(store).error = BusyError("made.db is locked by a reader")
    for content, error in (
        (good, BusyError),
        (good[:-3], LtxError),
        (b"", LtxError),
        (good[:15] + b"\x09" + good[16:], LtxError),
        (bytes(100), LtxError),
    ):
        with pytest.raises(error):
            halts.take_in("made.db", 1, [content] if content else [])
    with pytest.raises(DatabaseNotFoundError):
        halts.take_in("none.db", 1, [good])
    with pytest.raises(HaltError):
        halts.take_in("made.db", 2, [good])
    store.require("made.db").state.follows = True
    with pytest.raises(OSError):
        halts.take_in("made.db", 1, [good])
    store.require("made.db").state.follows = False
    assert (database_bytes(store, "made.db"), store.require("made.db").ltx_files()) == (before, files)
    assert halts.take_in("made.db", 1, [good[:50], good[50:]]).txid == 2 == writer.pos.txid
    with pytest.raises(PositionMismatchError):
        halts.take_in("made.db", 1, [good])


def test_an_applier_that_dies_over_it_is_followed_by_one_that_finishes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is durable by then: the primary has it, and says so."""
    monkeypatch.setattr(halting, "AGAIN_S", 0.01)
    writer = Writer(store)
    writer.commit({1: 1})
    halts = Halts(store)
    halts.acquire("made.db", 1, patience())
    locks(store).error = ApplierError("the locks on made.db are lost")
    assert halts.take_in("made.db", 1, [writer.next_file({1: 2})]).txid == 2
    assert database_bytes(store, "made.db")[0] == 2


def test_a_lock_ends_with_its_time_but_not_in_a_transaction(store: Store) -> None:
    writer = Writer(store)
    writer.commit({1: 1})
    halts = Halts(store, ttl=0.05)
    grant = halts.acquire("made.db", 1, patience())
    content = writer.next_file({1: 2})

    def slowly() -> Iterator[bytes]:
        yield content[:50]
        assert not wait_until(lambda: grant.over, 0.15)
        yield content[50:]

    with grant.busy:
        grant.ends += 60  # Until it is in the midst of it.
    threading.Timer(0.02, lambda: setattr(grant, "ends", 0.0)).start()
    assert halts.take_in("made.db", 1, slowly()).txid == 2
    with halts._changed:
        halts._changed.notify_all()
    assert wait_until(lambda: grant.over and not halts.held(), 10)
    with pytest.raises(HaltError, match="take it again"):
        halts.take_in("made.db", 1, [content])


def test_in_a_lecture_its_time_passes_when_that_is_said(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And who listens to the tracepoint may hold the answer up: the lock's time counts from then."""
    monkeypatch.setattr(status, "_stands_at", 100.0)
    Writer(store).commit({1: 1})
    halts = Halts(store, ttl=0.05)
    held_up: list[int] = []

    def hold_up(event: Event) -> None:
        if event.name == "halt.acquire":
            before = time.time_ns()
            assert not wait_until(lambda: not halts.held(), 0.1)
            held_up.append(before)

    stop = store.tracer.listen(hold_up)
    grant = halts.acquire("made.db", 1, patience())
    stop()
    assert grant.expires > held_up[0] + 100_000_000
    assert not wait_until(lambda: grant.over, 0.2)
    status.pass_lease_time(0.1)
    assert wait_until(lambda: grant.over and not halts.held(), 10)


def test_the_end_as_the_primary_ends_them_all(store: Store) -> None:
    Writer(store).commit({1: 1})
    halts = Halts(store)
    halts.acquire("made.db", 1, patience())
    store.status.is_primary = False
    halts.end_all("this node is the primary no longer")
    assert locks(store).held == 0
    with pytest.raises(ReadOnlyReplicaError):
        halts.acquire("made.db", 2, patience())


def test_who_is_gone_before_he_has_it_holds_up_nobody(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """His connection broke just before the lock was his: his request to give it back found none. The same
    where this node stops being the primary in that moment."""
    Writer(store).commit({1: 1})
    halts = Halts(store)
    leaves, asks = Patience("a HALT lock", 5.0), Patience("a HALT lock", 5.0)
    extend = Halts._extend
    for waits in (leaves, asks):

        def and_ends(self: Halts, grant: halting.Grant, waits: Patience = waits) -> None:
            extend(self, grant)
            if waits is leaves:
                leaves.give_up()
                self.release("made.db", 1)
            else:
                store.status.is_primary = False
                self.end_all("it is over")

        monkeypatch.setattr(Halts, "_extend", and_ends)
        with pytest.raises((BusyError, ReadOnlyReplicaError)):
            halts.acquire("made.db", 1, waits)
        assert not halts.held() and locks(store).held == 0
        assert store.require("made.db").state.halted_by is None


def test_a_commit_here_between_the_doubt_and_the_disk_is_not_written_over(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The applier has died, and SQLite's lock with it: who writes here might commit. One is taken."""
    writer = Writer(store)
    writer.commit({1: 1})
    halts = Halts(store)
    halts.acquire("made.db", 1, patience())
    state = store.require("made.db").state
    refused: list[OSError] = []

    def commits_here(*_: object) -> None:
        with state.lock, pytest.raises(OSError) as caught:
            commit_transaction(state, PAGE, 1, [(1, bytes([3]) * PAGE)])
        refused.append(caught.value)

    monkeypatch.setattr(incoming, "check_room", commits_here)
    assert halts.take_in("made.db", 1, [writer.next_file({1: 2, 2: 2})]).txid == 2
    assert [error.errno for error in refused] == [errno.EBUSY] and state.pos.txid == 2
    assert database_bytes(store, "made.db")[0] == 2
    with state.lock:
        commit_transaction(state, PAGE, 2, [(1, bytes([3]) * PAGE)])


def test_a_lock_whose_applier_has_died_is_over(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's lock went with it. The transaction it died over is finished, and the next one is refused."""
    monkeypatch.setattr(halting, "AGAIN_S", 0.01)
    writer = Writer(store)
    writer.commit({1: 1})
    halts = Halts(store)
    halts.acquire("made.db", 1, patience())
    locks(store).error = ApplierError("the locks on made.db are lost")
    assert halts.take_in("made.db", 1, [writer.next_file({1: 2})]).txid == 2
    assert wait_until(lambda: not halts.held() and locks(store).held == 0, 10)
    with pytest.raises(HaltError, match="take it again"):
        halts.take_in("made.db", 1, [writer.next_file({1: 3})])
