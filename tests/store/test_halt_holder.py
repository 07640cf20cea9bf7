"""A replica's HALT locks: how they are taken, kept and given back. The primary is a list of answers."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import wait_until
from pylitefs.errors import BusyError, HaltError, RemoteError
from pylitefs.ltx.position import Pos
from pylitefs.store import halted
from pylitefs.store.applying import DirectApplier
from pylitefs.store.database import Database
from pylitefs.store.halt_holder import HaltHolder
from pylitefs.store.halted import Granted, HeldHalt, UnreachableError, UnsureError
from pylitefs.store.store import Store
from tests.replication.stores import Writer, opened
from tests.store.serving import Served

URL = "http://primary:1"


class Primary:
    """Gives a lock for `life` seconds, at `pos`, and takes what is sent."""

    def __init__(self, pos: Pos) -> None:
        self.pos = pos
        self.life = 30.0
        self.asked: list[str] = []
        self.ids: list[int] = []
        self.sent: list[bytes] = []
        self.error: Exception | None = None
        self.on_commit: Callable[[bytes], None] = self.sent.append

    def acquire(self, url: str, name: str, lock_id: int, timeout: float) -> Granted:
        self.asked.append("acquire")
        self.ids.append(lock_id)
        if self.error is not None:
            raise self.error
        return Granted(self.pos, time.time_ns() + round(self.life * 1e9))

    def release(self, url: str, name: str, lock_id: int) -> None:
        self.asked.append("release")

    def commit(self, url: str, name: str, lock_id: int, ltx: Path) -> None:
        self.asked.append("commit")
        self.on_commit(ltx.read_bytes())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A replica with a database that SQLite can write."""
    with opened(tmp_path / "node", primary=True) as made:
        served = Served(made, tmp_path / "made")
        with closing(served.connect("a.db")) as db:
            db.execute("CREATE TABLE t(n)")
        made.status.is_primary = False
        made.status.primary_url = URL
        yield made


@pytest.fixture
def database(store: Store) -> Database:
    return store.require("a.db")


@pytest.fixture
def primary(database: Database) -> Primary:
    return Primary(database.pos)


@pytest.fixture
def db(store: Store, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(Served(store, tmp_path / "mount").connect("a.db")) as made:
        yield made


def holder_of(store: Store, primary: Primary, seconds: float = 5.0) -> HaltHolder:
    return HaltHolder(store, lambda: primary, acquire_timeout=seconds)


def insert(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO t VALUES(1)")
    db.commit()


def refused(db: sqlite3.Connection) -> bool:
    try:
        insert(db)
    except sqlite3.OperationalError:
        return True
    return False


def test_with_it_a_commit_is_the_primary_s_first(
    store: Store, database: Database, primary: Primary, db: sqlite3.Connection
) -> None:
    """When it is sent, this node has no such transaction yet. Before and after the lock none can write."""
    holder = holder_of(store, primary)
    assert refused(db)
    held = holder.take(database)
    assert held is not None and database.state.is_halted
    at_sending: list[int] = []
    primary.on_commit = lambda content: at_sending.append(database.pos.txid)
    insert(db)
    insert(db)
    assert at_sending == [1, 2] and database.pos.txid == 3
    assert [max(span) for span in database.ltx_files()] == [1, 2, 3]
    holder.give_back(held)
    assert primary.asked == ["acquire", "commit", "commit", "release"] and not database.state.is_halted
    assert refused(db) and wait_until(lambda: not holder.held(), 10)


@pytest.fixture
def no_echo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes back over the stream, and nobody waits for it."""
    monkeypatch.setattr(halted, "ECHO_S", 0.01)


@pytest.mark.usefixtures("no_echo")
@pytest.mark.parametrize("error", [RemoteError("no (409)"), UnsureError("no answer"), OSError("broken")])
def test_what_the_primary_does_not_take_is_none_and_ends_the_lock(
    store: Store,
    database: Database,
    primary: Primary,
    db: sqlite3.Connection,
    error: Exception,
) -> None:
    """SQLite gets an error, takes its transaction back, and reads what was before."""

    def refuse(content: bytes) -> None:
        raise error

    before, files = database.pos, database.ltx_files()
    assert holder_of(store, primary).take(database) is not None
    primary.on_commit = refuse
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        insert(db)
    db.rollback()
    assert (database.pos, database.ltx_files()) == (before, files)
    assert not list(database.ltx_dir.glob("*.tmp"))
    assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert refused(db) and wait_until(lambda: "release" in primary.asked, 10)


def test_an_answer_that_is_lost_comes_over_the_stream(
    store: Store, database: Database, primary: Primary, db: sqlite3.Connection
) -> None:
    """The transaction itself does: then the primary has it, and the commit holds. It is not applied again."""
    assert holder_of(store, primary).take(database) is not None
    outcomes: list[str] = []

    def lose(content: bytes) -> None:
        def stream() -> None:
            outcomes.append(store.receive_ltx("a.db", [content]).outcome)

        threading.Thread(target=stream).start()
        raise UnsureError("the connection broke")

    primary.on_commit = lose
    insert(db)
    assert wait_until(lambda: bool(outcomes), 10)
    assert outcomes == ["skipped"] and database.pos.txid == 2 and database.state.is_halted


@pytest.mark.usefixtures("no_echo")
def test_an_answer_that_is_lost_for_good_is_made_up_for_by_the_stream(
    store: Store, database: Database, primary: Primary, db: sqlite3.Connection
) -> None:
    """The client was told that it failed; the primary has it all the same, and then so has this node."""
    assert holder_of(store, primary).take(database) is not None
    kept: list[bytes] = []

    def lose(content: bytes) -> None:
        kept.append(content)
        raise UnsureError("the connection broke")

    primary.on_commit = lose
    with pytest.raises(sqlite3.OperationalError):
        insert(db)
    db.rollback()
    db.close()
    assert store.receive_ltx("a.db", kept).outcome == "applied"
    assert database.pos.txid == 2


def test_somebody_else_s_transaction_ends_the_lock(
    store: Store, database: Database, primary: Primary, tmp_path: Path
) -> None:
    """It has expired on the primary, and another wrote: this node follows on, and writes nothing more."""
    with opened(tmp_path / "other", primary=True) as other:
        other.receive_ltx("a.db", [database.ltx_path(1, 1).read_bytes()])
        with closing(Served(other, tmp_path / "theirs").connect("a.db")) as theirs:
            insert(theirs)
        content = other.require("a.db").ltx_path(2, 2).read_bytes()
    holder = holder_of(store, primary)
    assert holder.take(database) is not None
    assert store.receive_ltx("a.db", [content]).outcome == "applied"
    assert not database.state.is_halted and database.pos.txid == 2
    assert wait_until(lambda: not holder.held(), 10)


def test_it_is_renewed_and_ends_before_its_time_if_it_is_not(
    store: Store, database: Database, primary: Primary, db: sqlite3.Connection
) -> None:
    """By a primary that does not answer any more."""
    primary.life = 0.3
    holder = holder_of(store, primary)
    held = holder.take(database)
    assert held is not None
    assert wait_until(lambda: primary.asked.count("acquire") > 3, 10)
    assert held.is_live and len(set(primary.ids)) == 1
    insert(db)
    primary.error = UnsureError("silent")
    assert wait_until(lambda: bool(held.over), 10)
    assert refused(db)


def test_it_waits_until_this_node_is_where_the_primary_is(
    store: Store, database: Database, primary: Primary
) -> None:
    """Not within the time: an error, and it is given back. Past it: something is wrong."""
    here = database.pos
    primary.pos = Pos(here.txid + 1, 7)
    with pytest.raises(BusyError, match="this node is at"):
        holder_of(store, primary, 0.05).take(database)
    primary.pos = Pos(here.txid, here.checksum ^ 1)
    with pytest.raises(HaltError, match="on the primary: try again"):
        holder_of(store, primary).take(database)
    assert primary.asked == ["acquire", "release"] * 2 and not database.state.is_halted


def test_who_is_refused_or_interrupted_has_none(store: Store, database: Database, primary: Primary) -> None:
    """The primary needs none at all."""
    primary.error = RemoteError("halt lock id required (500)")
    with pytest.raises(HaltError, match="refuses"):
        holder_of(store, primary).take(database)
    primary.error = RemoteError("lease expired (503)")
    with pytest.raises(BusyError, match="lease expired"):
        holder_of(store, primary, 0.05).take(database)
    with pytest.raises(InterruptedError):
        holder_of(store, primary).take(database, lambda: True)
    store.status.primary_url = None
    with pytest.raises(BusyError, match="no primary is known"):
        holder_of(store, primary, 0.05).take(database)
    store.status.is_primary = True
    assert holder_of(store, primary).take(database) is None


def test_a_second_one_here_waits_for_the_first(store: Store, database: Database, primary: Primary) -> None:
    holder = holder_of(store, primary)
    first = holder.take(database)
    assert first is not None
    with pytest.raises(BusyError, match="the HALT lock is under way"):
        holder.take(database, seconds=0.05)
    threading.Timer(0.05, lambda: holder.give_back(first)).start()
    second = holder.take(database)
    assert second is not None and second.id != first.id
    holder.end_all("the primary is not connected any more")
    assert not second.is_live and wait_until(lambda: not holder.held(), 10)
    third = holder.take(database)
    assert third is not None
    holder.stop()
    assert not third.is_live
    assert Writer(store, "b.db").pos == Pos()


def test_a_renewal_that_arrives_after_the_lock_was_given_back_leaves_no_lock(
    store: Store, database: Database, primary: Primary
) -> None:
    """The two requests cross on their way: to the primary the late one is a new lock, which nobody wants."""
    holder = holder_of(store, primary)
    primary.life = 0.3
    held = holder.take(database)
    assert held is not None
    on_its_way, go = threading.Event(), threading.Event()
    answer = primary.acquire

    def late(url: str, name: str, lock_id: int, timeout: float) -> Granted:
        on_its_way.set()
        assert go.wait(20)
        return answer(url, name, lock_id, timeout)

    primary.acquire = late  # type: ignore[method-assign]
    assert on_its_way.wait(20)
    holder.give_back(held)
    assert primary.asked == ["acquire", "release"]
    go.set()
    assert wait_until(lambda: primary.asked == ["acquire", "release", "acquire", "release"], 10)
    assert wait_until(lambda: not holder.held(), 10)


def test_a_lock_whose_answer_is_lost_is_given_back_by_who_gives_up(
    store: Store, database: Database, primary: Primary
) -> None:
    """The primary may have given it. Who was not even reached has not."""
    primary.error = UnsureError("no answer")
    with pytest.raises(BusyError, match="no answer"):
        holder_of(store, primary, 0.05).take(database)
    with pytest.raises(InterruptedError):
        holder_of(store, primary).take(database, lambda: True)
    assert wait_until(lambda: primary.asked.count("release") == 2, 10)
    primary.asked.clear()
    primary.error = UnreachableError("nobody there")
    with pytest.raises(BusyError, match="nobody there"):
        holder_of(store, primary, 0.05).take(database)
    assert "release" not in primary.asked


def test_a_lock_that_ends_as_soon_as_it_is_had_keeps_nobody_out(
    store: Store, database: Database, primary: Primary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end has come to its end before `take` has: the next one here gets its turn."""
    holder = holder_of(store, primary)
    begin = HaltHolder._begin

    def and_ends(self: HaltHolder, held: HeldHalt) -> None:
        begin(self, held)
        self.end(held, "the primary is not connected any more")
        assert wait_until(lambda: not self.held(), 10)

    monkeypatch.setattr(HaltHolder, "_begin", and_ends)
    first = holder.take(database)
    assert first is not None and not first.is_live
    monkeypatch.setattr(HaltHolder, "_begin", begin)
    second = holder.take(database, seconds=5.0)
    assert second is not None and second.is_live


class Holds(DirectApplier):
    """Notes of which databases it is a client."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.calls: list[str] = []

    def hold(self, database: str) -> None:
        self.calls.append("hold")

    def release(self, database: str | None = None) -> None:
        self.calls.append("release")


@pytest.mark.parametrize("leads", [False, True])
def test_a_node_that_leads_by_then_is_not_made_a_replica_again(
    store: Store, database: Database, primary: Primary, leads: bool
) -> None:
    """What is tidied up after a lock, is tidied up beside a change of role. An applier that held the WAL of a
    primary would take it for as empty as it was then, and the next apply would lose what was written."""
    store.applier = applier = Holds(store.data_dir)
    holder = holder_of(store, primary)
    held = holder.take(database)
    assert held is not None
    store.status.is_primary = leads
    holder.end(held, "the primary is not connected any more")
    assert wait_until(lambda: not holder.held(), 10)
    assert ("hold" in applier.calls) is not leads
