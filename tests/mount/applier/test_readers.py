"""Readers and the applier at the same time: none sees half a transaction, none starves."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pylitefs.mount.applier.applier import Applier

from .support import Reader, Source, bump, make_rows, wait_until

MODES = ["delete", "wal"]
StartReader = Callable[..., Reader]


def in_background(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("transactions", [60, pytest.param(150, marks=pytest.mark.full)])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.timeout(180)
def test_no_reader_sees_half_a_transaction_or_an_old_one(
    *,
    applier: Applier,
    mount_dir: Path,
    tmp_path: Path,
    reader: StartReader,
    mode: str,
    transactions: int,
) -> None:
    """Plain, mapped and newly opened connections, under transactions that change every page."""
    source = Source(tmp_path / "source", mode=mode)
    applier.apply("a.db", make_rows(source))
    paths = [bump(source) for _ in range(transactions)]
    readers = [
        reader(mount_dir / "a.db"),
        reader(mount_dir / "a.db", mmap=1 << 26),
        reader(mount_dir / "a.db", reconnect=True),
    ]
    for path in paths:
        applier.apply("a.db", path)
    for one in readers:
        one.read_on(20)
        report = one.stop()
        assert report["wrong"] == []
        assert report["errors"] == {}
        assert report["last"] == transactions


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.timeout(180)
def test_readers_that_overlap_without_end_keep_nobody_out(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader, mode: str
) -> None:
    """There is always a read transaction open; the apply gets in, and no reader gets an error."""
    source = Source(tmp_path / "source", mode=mode)
    applier.apply("a.db", make_rows(source))
    readers = [reader(mount_dir / "a.db", hold=0.005) for _ in range(3)]
    longest = 0.0
    for _ in range(60):
        path = bump(source)
        started = time.monotonic()
        applier.apply("a.db", path)
        longest = max(longest, time.monotonic() - started)
    for one in readers:
        one.read_on(20)
        report = one.stop()
        assert report["wrong"] == []
        assert report["errors"] == {}
        assert report["longest"] < 3
    assert longest < 2


@pytest.mark.parametrize("mode", MODES)
def test_a_long_read_transaction_delays_the_apply_and_no_other_reader(
    *,
    applier: Applier,
    mount_dir: Path,
    tmp_path: Path,
    reader: StartReader,
    mode: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It reads on undisturbed; new readers come and go; one log line says who holds what."""
    source = Source(tmp_path / "source", mode=mode)
    applier.apply("a.db", make_rows(source))
    holder = reader(mount_dir / "a.db", manual=True)
    holder.tell("begin")
    holder.tell("read")
    others = [reader(mount_dir / "a.db"), reader(mount_dir / "a.db", reconnect=True)]
    thread = in_background(lambda path=bump(source): applier.apply("a.db", path))  # type: ignore[misc]
    wait_until(lambda: bool(caplog.records), "the log line about the wait")
    assert thread.is_alive()
    assert holder.tell("read")["row"][2] == 0
    text = caplog.text
    assert "a.db: waiting for 1" in text and f"(process {holder.process.pid}) holds " in text
    for one in others:
        one.read_on(100)
        report = one.stop()
        assert report["errors"] == {} and report["wrong"] == []
        assert report["last"] == 0
        assert report["longest"] < 2
    assert thread.is_alive()
    holder.tell("end")
    thread.join(2)
    assert not thread.is_alive()
    assert holder.tell("read")["row"][2] == 1
    assert len(caplog.records) == 1


def test_waiting_for_one_database_delays_no_other(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader
) -> None:
    source, other = Source(tmp_path / "a"), Source(tmp_path / "b", mode="wal")
    applier.apply("a.db", make_rows(source))
    applier.apply("b.db", make_rows(other))
    holder = reader(mount_dir / "a.db", manual=True)
    holder.tell("begin")
    holder.tell("read")
    thread = in_background(lambda path=bump(source): applier.apply("a.db", path))  # type: ignore[misc]
    for _ in range(20):
        started = time.monotonic()
        applier.apply("b.db", bump(other))
        assert time.monotonic() - started < 5
    assert thread.is_alive()
    holder.tell("end")
    thread.join(2)
    assert not thread.is_alive()


def test_a_snapshot_that_takes_long_to_write_gives_wal_readers_busy_not_locking_protocol(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader
) -> None:
    source = Source(tmp_path / "source", mode="wal")
    applier.apply("a.db", make_rows(source))
    readers = [reader(mount_dir / "a.db"), reader(mount_dir / "a.db", timeout=0.0)]
    source.db.execute("CREATE TABLE large (x BLOB)")
    source.db.executemany("INSERT INTO large VALUES (randomblob(?))", [(1 << 20,)] * 24)
    applier.apply("a.db", source.capture(snapshot=True))
    applier.apply("a.db", bump(source))
    for one in readers:
        wait_until(lambda one=one: one.tell("progress")["last"] == 1, "the newest transaction")  # type: ignore[misc]
    patient, impatient = (one.stop() for one in readers)
    assert patient["errors"] == {} and patient["wrong"] == []
    assert set(impatient["errors"]) <= {"database is locked"} and impatient["wrong"] == []


@pytest.mark.parametrize("keep_clients", [True, False])
def test_switches_of_mode_with_and_without_open_clients(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader, keep_clients: bool
) -> None:
    """The header switches with a transaction. WAL clients that are open stay WAL clients, new ones join
    them; once nobody has the WAL open, the next transaction ends it."""
    source = Source(tmp_path / "source")
    applier.apply("a.db", make_rows(source))
    clients: list[Reader] = []
    number = 0
    for mode in ("wal", "delete", "wal", "delete", "wal", "delete"):
        if keep_clients:
            clients.append(reader(mount_dir / "a.db", manual=True))
            clients.append(reader(mount_dir / "a.db", manual=True, mmap=1 << 26))
        source.set_mode(mode)
        for _ in range(3):
            number += 1
            applier.apply("a.db", bump(source))
            for client in clients:
                assert client.tell("read")["row"][2] == number
            late = reader(mount_dir / "a.db", manual=True)
            assert late.tell("read")["row"][2] == number
            if not keep_clients:
                assert late.tell("mode")["mode"] == mode
            late.stop()
        assert (mount_dir / "a.db").read_bytes() == source.content()
    for client in clients:
        assert client.stop()["wrong"] == []
    applier.apply("a.db", bump(source))
    assert not (mount_dir / "a.db-wal").exists()
    last = reader(mount_dir / "a.db", manual=True)
    assert last.tell("mode")["mode"] == "delete"


@pytest.mark.timeout(180)
def test_no_reader_sees_half_a_transaction_across_switches_of_mode(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader
) -> None:
    source = Source(tmp_path / "source")
    applier.apply("a.db", make_rows(source))
    paths = []
    for round_ in range(30):
        source.set_mode("wal" if round_ % 2 == 0 else "delete")
        paths += [bump(source) for _ in range(5)]
    readers = [
        reader(mount_dir / "a.db"),
        reader(mount_dir / "a.db", reconnect=True),
        reader(mount_dir / "a.db", reconnect=True, mmap=1 << 26),
    ]
    for path in paths:
        applier.apply("a.db", path)
    for one in readers:
        wait_until(lambda one=one: one.tell("progress")["last"] == 150, "the newest transaction")  # type: ignore[misc]
        report = one.stop()
        assert report["wrong"] == []
        assert report["errors"] == {}


def test_a_client_of_a_replica_cannot_remove_the_wal_index(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader
) -> None:
    """The applier keeps SHARED and DMS: the last client that closes leaves -wal and -shm as they are."""
    source = Source(tmp_path / "source", mode="wal")
    applier.apply("a.db", make_rows(source))
    inode = (mount_dir / "a.db-shm").stat().st_ino
    client = reader(mount_dir / "a.db", manual=True)
    client.stop()
    assert (mount_dir / "a.db-shm").stat().st_ino == inode
    assert (mount_dir / "a.db-wal").exists()
    applier.release("a.db")
    client = reader(mount_dir / "a.db", manual=True)
    client.stop()
    assert not (mount_dir / "a.db-shm").exists()
    applier.hold("a.db")
    client = reader(mount_dir / "a.db", manual=True)
    client.stop()
    assert (mount_dir / "a.db-shm").exists()
    applier.apply("a.db", bump(source))
    assert (mount_dir / "a.db").read_bytes() == source.content()
