"""What a change of role does to a store and its applier, without a mount."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pylitefs.errors import ApplierError, BusyError, ReadOnlyReplicaError
from pylitefs.roles.change import Changes
from pylitefs.store.applying import LOCK_S, DirectApplier
from pylitefs.store.halting import Halts
from pylitefs.store.status import lease_clock
from pylitefs.store.store import Store
from pylitefs.store.terms import NAME
from pylitefs.store.turns import Patience
from tests.replication.stores import Writer, opened
from tests.store.serving import Served


class Told(DirectApplier):
    """Notes what it is asked."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.calls: list[str] = []
        self.busy = False
        self.looks = 0
        self.leaves = False
        """SQLite leaves the journal as it is: it rolls nothing back by it."""
        self.rolled_back = threading.Event()

    def hold(self, database: str) -> None:
        self.calls.append(f"hold {database}")

    def release(self, database: str | None = None) -> None:
        self.calls.append("release")

    @contextmanager
    def writer_lock(self, database: str, timeout: float = LOCK_S) -> Iterator[None]:
        if self.busy:
            raise BusyError(f"{database} is locked by process 1")
        self.calls.append(f"lock {database}")
        yield
        self.calls.append(f"unlock {database}")

    def unlink(self, database: str) -> None:
        assert self.calls[-1].startswith("lock "), "nobody may begin to write meanwhile"
        self.calls.append(f"unlink {database}")
        (self.data_dir / "dbs" / database.removesuffix("-journal") / "journal").unlink()

    def rollback_hot_journal(self, database: str) -> None:
        if self.leaves:
            self.looks += 1
            return
        if self.busy:
            self.busy = False
            raise ApplierError("not yet")
        (self.data_dir / "dbs" / database / "journal").unlink()
        self.rolled_back.set()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "node") as made:
        made.terms.load(made.data_dir)
        yield made


@pytest.fixture
def applier(store: Store) -> Told:
    made = Told(store.data_dir)
    store.applier = made
    return made


def test_a_node_leads_and_follows(store: Store, applier: Told, eventually: Callable[..., None]) -> None:
    """As the primary it is noted as such before it may write, and its applier keeps nothing; afterwards the
    applier is a client of its databases again, and what it handed over is remembered."""
    Writer(store).commit({1: 1})
    changes = Changes(store, applier)
    assert changes.why_not_ready() == ""
    changes.lead(lease_clock() + 60, 5)
    assert store.status.is_primary and store.status.ready and store.terms.term == 5
    assert '"primary": true' in (store.data_dir / NAME).read_text() and applier.calls == ["release"]
    changes.follow(handed=True, why="handed over")
    noted = [one.text for one in store.status.roles.changes()]
    assert noted == ["primary", "not the primary any more: the lease was handed over"]
    assert not store.status.has_lease and store.terms.handed == store.positions()
    # What the applier knows of the WAL may be from before clients have written here: not for its next apply.
    assert applier.calls == ["release", "release", "hold made.db"]
    database = store.get("made.db")
    assert database is not None and database.state.follows
    changes.lead(lease_clock() + 60, 0)
    assert store.terms.term == 6 and not database.state.follows


def test_whoever_works_for_the_primary_ends_before_another_can_be(store: Store, applier: Told) -> None:
    """The backup: what it writes is written before the lease is free."""
    seen: list[bool] = []
    changes = Changes(store, applier, lambda: seen.append(store.status.has_lease))
    changes.lead(lease_clock() + 60, 0)
    assert seen == []
    changes.follow()
    assert seen == [False]


def test_writers_wait_while_the_lease_is_handed_over(store: Store, applier: Told, tmp_path: Path) -> None:
    """Whoever has the database open is waited for; and who cannot be, is named. Then this node goes on."""
    changes = Changes(store, applier)
    changes.lead(lease_clock() + 60, 0)
    served = Served(store, tmp_path / "mount")
    db = served.connect("a.db")
    db.execute("CREATE TABLE t(n)")
    changes.stop_writers(1.0)
    assert store.status.changing and not store.status.is_primary and store.status.has_lease
    assert applier.calls[-2:] == ["lock a.db", "unlock a.db"]
    changes.writers_go_on()
    db.execute("INSERT INTO t VALUES(1)")
    applier.busy = True
    with pytest.raises(BusyError, match="process 1"):
        changes.stop_writers(0.1)
    changes.writers_go_on()
    assert store.status.is_primary
    served.close()


def test_a_journal_that_a_client_left_is_rolled_back_as_soon_as_it_can_be(
    store: Store, applier: Told
) -> None:
    """Readers of a replica may not do it themselves."""
    Writer(store).commit({1: 1})
    changes = Changes(store, applier)
    changes.lead(lease_clock() + 60, 0)
    (store.data_dir / "dbs" / "made.db" / "journal").write_bytes(b"hot")
    applier.busy = True
    changes.follow()
    assert applier.rolled_back.wait(10)


def test_a_journal_that_rolls_nothing_back_goes_too(
    store: Store, applier: Told, eventually: Callable[..., None]
) -> None:
    """Of a writer that was turned away before its journal was synced. Else whoever writes next would hear of
    a disk I/O error, and not why it may not write."""
    Writer(store).commit({1: 1})
    changes = Changes(store, applier)
    changes.lead(lease_clock() + 60, 0)
    journal = store.data_dir / "dbs" / "made.db" / "journal"
    applier.leaves, applier.busy = True, True
    journal.write_bytes(bytes(28))
    changes.follow()
    applier.busy = False
    gone = ["lock made.db", "unlink made.db-journal", "unlock made.db"]
    eventually(lambda: applier.calls[-3:] == gone, "the journal is removed under the lock")
    assert not journal.exists()
    changes.lead(lease_clock() + 60, 0)
    journal.write_bytes(b"\xd9\xd5\x05\xf9")
    changes.follow()
    looks = applier.looks
    eventually(lambda: applier.looks > looks + 2, "it was looked at again")
    assert journal.exists(), "a hot one is SQLite's to roll back"


@pytest.mark.parametrize("mode", ["delete", "persist", "wal"])
def test_writers_that_come_without_end_are_stopped_between_two_of_them(
    store: Store, applier: Told, tmp_path: Path, mode: str
) -> None:
    """Their lock is never free. What was acknowledged is a transaction, and the next one is not begun."""
    changes = Changes(store, applier)
    changes.lead(lease_clock() + 60, 0)
    served = Served(store, tmp_path / "mount")
    db = served.connect("a.db", f"journal_mode={mode}")
    db.execute("CREATE TABLE t(n)")
    database = store.get("a.db")
    assert database is not None
    begun = database.current_pos().txid
    acknowledged = 0
    refused = threading.Event()

    def write() -> None:
        nonlocal acknowledged
        while True:
            try:
                db.execute("INSERT INTO t VALUES(1)")
            except sqlite3.OperationalError:
                refused.set()
                return
            acknowledged += 1

    applier.busy = True
    writer = threading.Thread(target=write)
    writer.start()
    try:
        changes.stop_writers(20.0)
        at = database.pos.txid
        store.status.follow()
        store.status.changing = False
        assert refused.wait(20)
    finally:
        store.status.follow()
        store.status.changing = False
        writer.join(20)
    assert database.pos.txid == at == begun + acknowledged
    served.close()


@pytest.mark.parametrize("how", ["a handoff", "the lease's end"])
def test_a_change_of_role_ends_the_halt_locks_that_were_given(store: Store, applier: Told, how: str) -> None:
    """Their holders' transactions are taken no more, and a handoff need not wait for them."""
    del applier
    Writer(store).commit({1: 1})
    halts = Halts(store)
    changes = Changes(store, store.applier, halts=halts)
    changes.lead(lease_clock() + 60, 5)
    halts.acquire("made.db", 7, Patience("a HALT lock", 5.0))
    if how == "a handoff":
        changes.stop_writers(5.0)
    else:
        changes.follow()
    assert not halts.held() and store.require("made.db").state.halted_by is None
    with pytest.raises(ReadOnlyReplicaError):
        halts.acquire("made.db", 8, Patience("a HALT lock", 0.1))
