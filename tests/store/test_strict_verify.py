"""`strict-verify`: bytes that are not what the position says are told, and nothing else is."""

import os
import threading

import pytest

from pylitefs.errors import BusyError, LtxChecksumError
from pylitefs.ltx.position import Pos
from pylitefs.store import strict_verify
from pylitefs.store.store import Store
from pylitefs.store.strict_verify import StrictVerify, verify
from tests.store.serving import Served
from tests.store.support import data_file


def fill(served: Served, mode: str) -> None:
    db = served.connect("a.db", f"journal_mode={mode}")
    db.execute("CREATE TABLE t (x)")
    db.execute("INSERT INTO t VALUES (randomblob(9000))")


def spoil(store: Store) -> None:
    with data_file(store, "a.db").open("r+b", buffering=0) as file:  # In its place: a thread may be reading.
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_sound_database_passes(served: Served, store: Store, mode: str) -> None:
    fill(served, mode)
    assert verify(store, "a.db") == store.require("a.db").pos
    assert verify(store, "none.db") is None
    assert not list(store.data_dir.glob("tmp/*"))


def test_bytes_changed_behind_the_mount_are_told(served: Served, store: Store) -> None:
    fill(served, "delete")
    spoil(store)
    with pytest.raises(
        LtxChecksumError, match=r"strict-verify: a\.db is at .* something changed them behind"
    ):
        verify(store, "a.db")


def test_the_thread_looks_after_each_transaction_and_ends_the_node(served: Served, store: Store) -> None:
    fatal: list[Exception] = []
    told = threading.Event()

    def on_fatal(error: Exception) -> None:
        fatal.append(error)
        told.set()

    strict = StrictVerify(store, on_fatal)
    strict.start()
    try:
        fill(served, "delete")
        verify(store, "a.db")
        assert not told.is_set(), "a sound database is no trouble"
        spoil(store)
        served.connect("a.db").execute("CREATE TABLE u (x)")
        assert told.wait(10)
        assert isinstance(fatal[0], LtxChecksumError)
    finally:
        strict.stop()


def test_a_locked_database_is_looked_at_again(
    served: Served, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strict_verify, "AGAIN_S", 0.01)
    done = threading.Event()
    times: list[str] = []

    def busy_once(store: Store, name: str) -> Pos:
        times.append(name)
        if len(times) == 1:
            raise BusyError("locked")
        done.set()
        return Pos()

    monkeypatch.setattr(strict_verify, "verify", busy_once)
    strict = StrictVerify(store, lambda error: pytest.fail(str(error)))
    strict.start()
    try:
        fill(served, "delete")
        assert done.wait(10)
    finally:
        strict.stop()
