"""What one LTX file does to a database on the mount."""

import os
import signal
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from pylitefs.errors import ApplierError, LtxError
from pylitefs.ltx.decoder import Decoder
from pylitefs.ltx.short import as_one
from pylitefs.mount.applier.applier import Applier
from pylitefs.sqlite.wal_index import read_header
from pylitefs.trace import Event, Tracer
from tests.golden.recordings import RecordedDatabase, recorded_databases

from .support import Reader, Source, bump, make_rows

MODES = ["delete", "wal"]
StartReader = Callable[..., Reader]


def rows(path: Path) -> list[tuple[int, int]]:
    db = sqlite3.connect(path)
    try:
        return db.execute("SELECT count(*), max(v) FROM t").fetchall()
    finally:
        db.close()


@pytest.mark.parametrize("recorded", recorded_databases(), ids=str)
def test_the_recorded_transactions_of_real_litefs_give_its_export(
    applier: Applier, mount_dir: Path, recorded: RecordedDatabase
) -> None:
    for path in recorded.ltx_paths:
        applier.apply(recorded.name, path)
    if recorded.export:
        assert (mount_dir / recorded.name).read_bytes() == recorded.export
        assert (mount_dir / f"{recorded.name}-shm").stat().st_size == 32768
    else:
        assert not list(mount_dir.glob(f"{recorded.name}*"))


@pytest.mark.parametrize("mode", MODES)
def test_every_transaction_is_seen_by_a_connection_that_stays_open(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader, mode: str
) -> None:
    source = Source(tmp_path / "source", mode=mode)
    applier.apply("a.db", make_rows(source))
    client = reader(mount_dir / "a.db", manual=True)
    mapped = reader(mount_dir / "a.db", manual=True, mmap=1 << 26)
    for number in range(1, 21):
        applier.apply("a.db", bump(source))
        assert client.tell("read")["row"][2] == number
        assert mapped.tell("read")["row"][2] == number
    assert client.tell("mode")["mode"] == mode
    assert client.stop()["wrong"] == mapped.stop()["wrong"] == []
    assert (mount_dir / "a.db").read_bytes() == source.content()


@pytest.mark.parametrize("mode", MODES)
def test_a_database_that_shrinks_and_grows_has_the_source_s_length(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader, mode: str
) -> None:
    source = Source(tmp_path / "source", mode=mode)
    applier.apply("a.db", make_rows(source))
    clients = [reader(mount_dir / "a.db", manual=True), reader(mount_dir / "a.db", manual=True, mmap=1 << 26)]
    for statement in ("DELETE FROM t WHERE id >= 5", "INSERT INTO t VALUES (99, 0, zeroblob(1200))"):
        source.db.execute(statement)
        source.db.execute("VACUUM")
        applier.apply("a.db", source.capture())
        assert (mount_dir / "a.db").read_bytes() == source.content()
        for client in clients:
            assert "row" in client.tell("read")
            assert client.tell("PRAGMA integrity_check") == {"done": "PRAGMA integrity_check"}
    source.db.execute("INSERT INTO t SELECT id + 1000, 0, zeroblob(1200) FROM t")
    applier.apply("a.db", source.capture())
    assert (mount_dir / "a.db").read_bytes() == source.content()
    assert clients[0].tell("read")["row"] == clients[1].tell("read")["row"]


@pytest.mark.parametrize("mode", MODES)
def test_a_change_of_page_size_reaches_open_connections(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader, mode: str
) -> None:
    source = Source(tmp_path / "source", mode=mode)
    applier.apply("a.db", make_rows(source))
    client = reader(mount_dir / "a.db", manual=True)
    for page_size in (8192, 512, 65536, 4096):
        source.set_mode("delete")
        source.db.execute(f"PRAGMA page_size={page_size}")
        source.db.execute("VACUUM")
        source.set_mode(mode)
        source.db.execute("UPDATE t SET v = v + 1")
        applier.apply("a.db", source.capture(snapshot=page_size == 512))
        assert (mount_dir / "a.db").read_bytes() == source.content()
        assert client.tell("read")["row"][2] == rows(mount_dir / "a.db")[0][1]
    assert client.stop()["wrong"] == []


def test_commit_0_drops_the_database_and_the_name_can_come_again(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader
) -> None:
    for round_, mode in enumerate(("wal", "delete", "wal")):
        source = Source(tmp_path / f"source{round_}", mode=mode, page_size=4096 << round_)
        applier.apply("a.db", make_rows(source))
        applier.apply("a.db", bump(source))
        client = reader(mount_dir / "a.db", manual=True)
        assert client.tell("read")["row"][2] == 1
        client.tell("stop")
        applier.apply("a.db", source.capture(drop=True))
        assert list(mount_dir.glob("a.db*")) == []


def test_a_database_is_dropped_also_under_a_reader_who_does_not_end(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader
) -> None:
    source = Source(tmp_path / "source", mode="wal")
    applier.apply("a.db", make_rows(source))
    client = reader(mount_dir / "a.db", manual=True)
    client.tell("begin")
    assert client.tell("read")["row"][2] == 0
    applier.apply("a.db", source.capture(drop=True))
    assert not (mount_dir / "a.db").exists()
    assert client.tell("read")["row"][2] == 0
    client.kill()
    again = Source(tmp_path / "again", mode="wal")
    applier.apply("a.db", make_rows(again))
    applier.apply("a.db", bump(again))
    assert rows(mount_dir / "a.db") == [(24, 1)]


def test_the_wal_index_over_an_applied_database(applier: Applier, mount_dir: Path, tmp_path: Path) -> None:
    """Valid, of the right size, and another with each transaction, or WAL readers would not look again."""
    source = Source(tmp_path / "source", mode="wal")
    applier.apply("a.db", make_rows(source))
    changes = []
    for _ in range(3):
        applier.apply("a.db", bump(source))
        index = applier.wal_index("a.db")
        assert index == (mount_dir / "a.db-shm").read_bytes()[:136]
        header = read_header(index)
        assert header is not None
        assert (header.page_size, header.max_frame) == (4096, 0)
        assert header.page_count * 4096 == (mount_dir / "a.db").stat().st_size
        changes.append(header.change)
    assert changes == [changes[0], changes[0] + 1, changes[0] + 2]
    assert index[96:120] == bytes(8) + b"\xff" * 16
    assert applier.wal_index("none.db") == b""


def test_a_damaged_ltx_file_changes_nothing(applier: Applier, mount_dir: Path, tmp_path: Path) -> None:
    source = Source(tmp_path / "source")
    applier.apply("a.db", make_rows(source))
    before = (mount_dir / "a.db").read_bytes()
    path = bump(source)
    damaged = bytearray(path.read_bytes())
    damaged[-20] ^= 1
    (tmp_path / "damaged.ltx").write_bytes(damaged)
    with pytest.raises(LtxError):
        applier.apply("a.db", tmp_path / "damaged.ltx")
    with pytest.raises(ApplierError, match=r"missing\.ltx"):
        applier.apply("a.db", tmp_path / "missing.ltx")
    assert (mount_dir / "a.db").read_bytes() == before
    applier.apply("a.db", path)
    assert (mount_dir / "a.db").read_bytes() == source.content()


def test_a_large_snapshot_is_streamed(applier: Applier, mount_dir: Path, tmp_path: Path) -> None:
    source = Source(tmp_path / "source")
    make_rows(source)
    source.db.execute("CREATE TABLE large (x BLOB)")
    source.db.executemany("INSERT INTO large VALUES (randomblob(?))", [(1 << 20,)] * 20)
    path = source.capture(snapshot=True)
    for verified in (False, True):
        applier.apply("a.db", path, verified=verified)
        assert (mount_dir / "a.db").read_bytes() == source.content()
        applier.unlink("a.db")
        assert not (mount_dir / "a.db").exists()
    applier.unlink("a.db")
    damaged = bytearray(path.read_bytes())
    damaged[-20] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(LtxError):
        applier.apply("a.db", path)
    assert not (mount_dir / "a.db").exists()


def test_a_former_primary_s_wal_is_copied_into_the_database_first(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader
) -> None:
    """The node was the primary for a while: clients have a WAL open that holds commits."""
    source = Source(tmp_path / "source", mode="wal")
    applier.apply("a.db", make_rows(source))
    applier.release("a.db")
    writer = sqlite3.connect(mount_dir / "a.db", isolation_level=None)
    writer.execute("PRAGMA wal_autocheckpoint=0")
    client = reader(mount_dir / "a.db", manual=True, pad=1200)
    for db in (writer, source.db):
        db.execute("UPDATE t SET v = 5 WHERE id < 3")
    assert (mount_dir / "a.db-wal").stat().st_size > 32
    source.capture()
    applier.apply("a.db", source.execute("UPDATE t SET v = 6 WHERE id = 23"))
    assert (mount_dir / "a.db-wal").stat().st_size == 0
    assert (mount_dir / "a.db").read_bytes() == source.content()
    assert writer.execute("SELECT max(v), sum(v) FROM t").fetchone() == (6, 21)
    assert client.tell("read")["row"][:3] == [24, 0, 6]
    writer.execute("UPDATE t SET v = 7")  # The WAL begins anew.
    assert client.tell("read")["row"][:3] == [24, 7, 7]
    writer.close()


@pytest.mark.parametrize("remove_wal", [False, True])
def test_a_wal_without_clients_is_copied_or_removed(
    applier: Applier, mount_dir: Path, tmp_path: Path, remove_wal: bool
) -> None:
    source = Source(tmp_path / "source", mode="wal")
    source.db.execute("PRAGMA wal_autocheckpoint=0")
    applier.apply("a.db", make_rows(source))
    applier.release("a.db")
    source.db.execute("UPDATE t SET v = 7 WHERE id = 0")
    (mount_dir / "a.db-wal").write_bytes(source.path.with_name("source.db-wal").read_bytes())
    (mount_dir / "a.db-shm").write_bytes(b"\x55" * 32768)  # As a crash of the machine may leave it.
    source.capture()
    applier.apply("a.db", source.execute("UPDATE t SET v = 8 WHERE id = 23"), remove_wal=remove_wal)
    db = sqlite3.connect(mount_dir / "a.db")
    assert db.execute("SELECT sum(v) FROM t").fetchone() == (8 if remove_wal else 15,)
    db.close()


def test_a_transaction_is_traced(applier: Applier, tmp_path: Path, tracer: Tracer) -> None:
    events: list[Event] = []
    tracer.listen(events.append)
    source = Source(tmp_path / "source")
    applier.apply("a.db", make_rows(source))
    (event,) = events
    assert (event.name, event.database, event.txid) == ("page.apply", "a.db", 1)
    assert event.payload["commit"] == event.payload["pages"]


def test_a_new_database_is_a_file_of_mode_644_in_a_plain_directory(applier: Applier, tmp_path: Path) -> None:
    applier.apply("a.db", make_rows(Source(tmp_path / "source")))
    assert stat.S_IMODE((tmp_path / "mount" / "a.db").stat().st_mode) & 0o600 == 0o600


def test_a_name_that_leads_elsewhere_is_refused(applier: Applier, tmp_path: Path) -> None:
    path = make_rows(Source(tmp_path / "source"))
    with pytest.raises(ApplierError, match="plain file name"):
        applier.apply("../a.db", path)
    assert not (tmp_path / "a.db").exists()


@pytest.mark.parametrize("mode", MODES)
def test_several_transactions_are_written_as_one(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader, mode: str
) -> None:
    """A reader sees them all or none, and the file is what the last one makes of it."""
    source = Source(tmp_path / "source", mode=mode)
    applier.apply("a.db", make_rows(source))
    client = reader(mount_dir / "a.db", manual=True)
    for number in range(1, 4):
        first, *more = [bump(source) for _ in range(5)]
        applier.apply("a.db", first, more=more, verified=True)
        assert client.tell("read")["row"][2] == 5 * number
        assert (mount_dir / "a.db").read_bytes() == source.content()
    assert client.stop()["wrong"] == []


@pytest.mark.parametrize("mode", MODES)
def test_pages_that_are_at_hand_are_not_read_again(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader, mode: str
) -> None:
    """Nor is there a file to be read here. If the process dies, the next one gets the pages as well."""
    source = Source(tmp_path / "source", mode=mode)
    applier.apply("a.db", make_rows(source))
    client = reader(mount_dir / "a.db", manual=True)
    for number in range(1, 4):
        with open(bump(source), "rb") as file:
            decoder = Decoder(file.read)
            tx = as_one([decoder.header], list(decoder.batches()))
        done: list[int] = []

        def meanwhile(done: list[int] = done, number: int = number) -> None:
            done.append(number)
            if number == 2 and len(done) == 1:
                os.kill(applier.pid, signal.SIGKILL)

        applier.apply("a.db", tmp_path / "none.ltx", at_hand=tx, meanwhile=meanwhile)
        assert set(done) == {number}
        assert client.tell("read")["row"][2] == number
        assert (mount_dir / "a.db").read_bytes() == source.content()
    assert client.stop()["wrong"] == []
