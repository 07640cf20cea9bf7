"""`lease.halt-on-write`: when SQLite's writer may keep its first lock. (With real clients:
tests/cluster/test_halt.py.)"""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import wait_until
from pylitefs.errors import RemoteError
from pylitefs.mount.observed import on_write
from pylitefs.mount.observed.lock_table import EVERYTHING, Caller, Held, Span
from pylitefs.mount.observed.on_write import HaltOnWrite
from pylitefs.sqlite.locks import RESERVED_BYTE, WAL_WRITE_LOCK
from pylitefs.store.halt_holder import HaltHolder
from pylitefs.store.store import Store
from tests.replication.stores import Writer, opened
from tests.store.test_halt_holder import URL, Primary

RESERVED = Held(Span(RESERVED_BYTE, RESERVED_BYTE), True)
WRITE = Held(Span(WAL_WRITE_LOCK, WAL_WRITE_LOCK), True)


def caller(file: str = "database", owner: int = 1, *, applier: bool = False) -> Caller:
    return Caller(owner, 4711, applier, 1, 1, "a.db", file)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "node") as made:
        Writer(made, "a.db").commit({1: 1})
        made.status.primary_url = URL
        yield made


@pytest.fixture
def primary(store: Store) -> Primary:
    return Primary(store.require("a.db").pos)


@pytest.fixture
def halts(store: Store, primary: Primary) -> HaltOnWrite:
    return HaltOnWrite(store, HaltHolder(store, lambda: primary))


def may_keep(halts: HaltOnWrite, who: Caller, lock: Held) -> bool:
    return halts.may_keep(who, lock, lambda: False)


@pytest.mark.parametrize(("file", "lock"), [("database", RESERVED), ("shm", WRITE)])
def test_a_writer_has_the_halt_lock_until_he_gives_his_own_back(
    store: Store, primary: Primary, halts: HaltOnWrite, file: str, lock: Held
) -> None:
    state = store.require("a.db").state
    for number in (1, 2):
        assert may_keep(halts, caller(file), lock) and state.is_halted
        halts.leave(caller(file), [Held(Span(0, 1), True)])
        assert state.is_halted
        halts.leave(caller(file), [Held(EVERYTHING, True)])
        assert wait_until(lambda n=number: primary.asked.count("release") == n, 10)  # type: ignore[misc]
        assert not state.is_halted


def test_other_locks_and_other_nodes_need_none(store: Store, primary: Primary, halts: HaltOnWrite) -> None:
    """A reader's, the applier's; the primary's; and where no primary is known, as without this."""
    assert may_keep(halts, caller(), Held(RESERVED.span, False))
    assert may_keep(halts, caller(), Held(Span(RESERVED_BYTE + 1, RESERVED_BYTE + 510), True))
    assert may_keep(halts, caller(applier=True), RESERVED)
    store.status.primary_url = None
    assert may_keep(halts, caller(), RESERVED)
    store.status.is_primary = True
    assert may_keep(halts, caller(), RESERVED)
    assert not primary.asked


def test_who_holds_up_what_this_node_lacks_is_refused_at_once(
    store: Store, primary: Primary, halts: HaltOnWrite
) -> None:
    """The lock is kept for him, and this node becomes level meanwhile: then he may."""
    writer = Writer(store, "a.db")
    writer.pages = {1: b"\1" * 512}
    content = writer.next_file({1: 2})
    with opened(store.data_dir.parent / "other") as other:
        Writer(other, "a.db").commit({1: 1})
        wanted = other.receive_ltx("a.db", [content]).pos
    primary.pos = wanted
    assert not may_keep(halts, caller(), RESERVED)
    store.receive_ltx("a.db", [content])
    assert wait_until(lambda: may_keep(halts, caller(), RESERVED), 10)
    assert store.require("a.db").pos == wanted and primary.asked.count("acquire") == 1


def test_what_the_primary_refuses_is_locked(
    store: Store, primary: Primary, halts: HaltOnWrite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so it is asked anew the next time. A lock that nobody comes for is given back."""
    monkeypatch.setattr(on_write, "KEEP_S", 0.05)
    primary.error = RemoteError("no (500)")
    assert not may_keep(halts, caller(), RESERVED)
    primary.error = None
    assert wait_until(lambda: may_keep(halts, caller(), RESERVED), 10)
    halts.leave(caller(), [RESERVED])
    assert wait_until(lambda: not store.require("a.db").state.is_halted, 10)


def test_an_error_of_this_node_s_own_keeps_writers_out_for_no_longer_than_it_lasts(
    store: Store, halts: HaltOnWrite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No thread to be had, or anything else: the next attempt is a new one."""
    take, start = HaltHolder.take, threading.Thread.start

    def cannot(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(on_write, "WAIT_S", 0.05)
    for owner, name in ((threading.Thread, "start"), (HaltHolder, "take")):
        monkeypatch.setattr(owner, name, cannot)
        assert not may_keep(halts, caller(), RESERVED)
        monkeypatch.setattr(threading.Thread, "start", start)
        monkeypatch.setattr(HaltHolder, "take", take)
    assert wait_until(lambda: may_keep(halts, caller(), RESERVED), 10)
    halts.leave(caller(), [Held(EVERYTHING, True)])
