"""The store as a whole: names and positions, subscribers, refusals, the end of its threads."""

import errno
import logging
import os
import re
import stat
import threading
from pathlib import Path

import pytest

from pylitefs.errors import DatabaseNotFoundError, DataDirectoryError, InvalidNameError
from pylitefs.ltx.header import Header, parse_filename
from pylitefs.ltx.position import Pos
from pylitefs.store.disk_state import DiskState, refusal
from pylitefs.store.retention import Limits
from pylitefs.store.status import Status
from pylitefs.store.store import Store
from pylitefs.trace import Event, Tracer
from tests.open_files import open_below
from tests.store.crashes import watching
from tests.store.serving import Served
from tests.store.support import opened


def test_a_node_gets_a_new_id_each_time_it_starts(tmp_path: Path) -> None:
    ids = set()
    for _ in range(3):
        with opened(tmp_path) as store:
            assert re.fullmatch(r"[0-9A-F]{16}", store.node_id_text)
            assert int(store.node_id_text, 16) == store.node_id != 0
            ids.add(store.node_id)
    assert len(ids) == 3


def test_the_data_directory_is_laid_out_as_litefs_does(served: Served, store: Store, data: Path) -> None:
    store.make_cluster_id()
    db = served.connect("a.db", "journal_mode=wal")
    db.execute("CREATE TABLE t (x)")
    served.connect("b c.db").execute("CREATE TABLE t (x)")
    assert re.fullmatch(r"LFSC[0-9A-F]{16}\n", (data / "clusterid").read_text())
    assert {path.name for path in data.iterdir()} <= {"clusterid", "dbs", "tmp"}
    assert {path.name for path in (data / "dbs").iterdir()} == {"a.db", "b c.db"}
    assert {path.name for path in (data / "dbs/a.db").iterdir()} == {"database", "wal", "shm", "ltx"}
    names = sorted(path.name for path in (data / "dbs/a.db/ltx").iterdir())
    assert names == [f"{txid:016x}-{txid:016x}.ltx" for txid in (1, 2)]
    assert all(parse_filename(name) for name in names)
    for path in (data / "dbs").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o700 == (0o700 if path.is_dir() else 0o600)


def test_names_are_of_databases_that_have_a_file_and_positions_of_all(served: Served, store: Store) -> None:
    for name in ("b.db", "a.db", "c.db"):
        served.connect(name).execute("CREATE TABLE t (x)")
    assert store.names() == ["a.db", "b.db", "c.db"]
    served.unlink("b.db")
    store.create("touched.db")
    assert store.names() == ["a.db", "c.db"]
    assert sorted(store.positions()) == ["a.db", "b.db", "c.db"]
    assert [one.name for one in store.databases()] == ["a.db", "b.db", "c.db", "touched.db"]
    assert store.get("none.db") is None
    for missing in ("none.db", "touched.db"):
        with pytest.raises(DatabaseNotFoundError, match="database not found"):
            store.require(missing)
    assert store.require("b.db").page_count == 0


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0", "a-wal", "x" * 300, ".lag", "a-mj0123456FF"])
def test_a_name_that_cannot_be_a_database_s_makes_nothing(store: Store, data: Path, name: str) -> None:
    with pytest.raises(InvalidNameError):
        store.create(name)
    with pytest.raises(InvalidNameError):
        store.receive_ltx(name, iter([b""]))
    assert list((data / "dbs").iterdir()) == [] and store.databases() == []


def test_every_move_of_a_position_is_published_in_order_until_it_is_not_wanted(
    served: Served, store: Store
) -> None:
    heard: list[tuple[str, Pos, Header | None]] = []
    stop = store.subscribe(lambda name, pos, header: heard.append((name, pos, header)))
    db = served.connect("a.db")
    db.execute("CREATE TABLE t (x)")
    db.execute("INSERT INTO t VALUES (1)")
    assert [pos.txid for _, pos, _ in heard] == [1, 2]
    assert heard[-1][1] == store.positions()["a.db"]
    header = heard[-1][2]
    assert header is not None and header.max_txid == 2
    stop()
    db.execute("INSERT INTO t VALUES (2)")
    assert len(heard) == 2


def test_a_refusal_is_one_line_and_one_tracepoint(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    events: list[Event] = []
    store.tracer.listen(events.append)
    caplog.set_level(logging.INFO)
    store.log_refusal("a.db", "the thing", "its reason", "the remedy")
    store.log_refusal("", "another", "why", "what")
    assert [record.getMessage() for record in caplog.records] == [
        "refused on a.db: the thing: its reason; the remedy",
        "refused on the mount: another: why; what",
    ]
    assert dict(events[0].payload) == {"what": "the thing", "why": "its reason", "remedy": "the remedy"}


def test_temporary_files_lie_in_the_data_directory_and_never_twice_under_a_name(store: Store) -> None:
    paths = {store.temp_path(".ltx") for _ in range(100)}
    assert len(paths) == 100
    assert all(path.parent == store.data_dir / "tmp" and path.name.endswith(".ltx.tmp") for path in paths)


def test_retention_runs_by_itself_and_ends_with_the_store(tmp_path: Path) -> None:
    store = Store(
        tmp_path,
        tracer=Tracer(),
        status=Status(is_primary=True),
        retention=Limits(seconds=0.0),
        monitor_interval_s=0.01,
    )
    store.open()
    served = Served(store, tmp_path / "mnt")
    reaped = threading.Event()
    store.tracer.listen(lambda event: reaped.set() if event.name == "retention.reap" else None)
    db = served.connect("a.db")
    db.execute("CREATE TABLE t (x)")
    db.execute("INSERT INTO t VALUES (1)")
    assert reaped.wait(10)
    served.close()
    before = set(threading.enumerate())
    store.close()
    assert [t.name for t in before if not t.is_alive()] == ["pylitefs-retention"]
    store.close()


def test_a_closed_store_has_let_go_of_everything(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as store:
        served = Served(store, tmp_path / "mnt")
        db = served.connect("a.db", "journal_mode=wal")
        db.execute("CREATE TABLE t (x)")
        served.close()
    assert open_below(tmp_path) == []


def test_many_databases_are_written_at_once(served: Served, store: Store) -> None:
    """Each has its own lock; what they share (the subscribers, the list of names) stands it."""
    wrong: list[BaseException] = []
    heard: dict[str, list[int]] = {}
    store.subscribe(lambda name, pos, header: heard.setdefault(name, []).append(pos.txid))

    def write(name: str, mode: str) -> None:
        try:
            db = served.connect(name, f"journal_mode={mode}")
            db.execute("CREATE TABLE t (x)")
            for value in range(30):
                db.execute("INSERT INTO t VALUES (?)", (value,))
            store.names()
            store.positions()
        except BaseException as error:
            wrong.append(error)

    modes = ["delete", "wal", "truncate", "persist"]
    threads = [
        threading.Thread(target=write, args=(f"{number}.db", modes[number % 4])) for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert {name: pos.txid for name, pos in store.positions().items()} == {
        name: txids[-1] for name, txids in heard.items()
    }
    assert all(txids == list(range(1, len(txids) + 1)) for txids in heard.values())


@pytest.mark.parametrize(
    ("code", "said"), [(errno.ENOSPC, "is full: make room"), (errno.EROFS, "is read-only: look")]
)
def test_a_start_on_a_disk_that_takes_nothing_says_so(tmp_path: Path, code: int, said: str) -> None:
    """What the disk is, and what to do; not that it is a bug."""

    def fail(call: str, name: str, fd: int) -> None:
        raise OSError(code, os.strerror(code))

    store = Store(tmp_path / "data", tracer=Tracer("n"), status=Status(is_primary=True), monitor_interval_s=0)
    store.open()
    with (
        watching(tmp_path / "data", fail),
        pytest.raises(DataDirectoryError, match=f"cannot start: .* {said}"),
    ):
        store.make_cluster_id()
    store.close()


def test_the_disk_s_state_is_told_when_it_begins_and_when_it_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Once each; a refusal of the node's own is none of the disk's."""
    disk = DiskState(tmp_path)
    assert not disk.note(refusal(errno.EIO, "this node is a replica"))
    assert not disk.note(OSError(errno.ENOENT, "x")) and not disk.code
    for _ in range(3):
        assert disk.note(OSError(errno.EROFS, "x"))
    assert caplog.text.count("is read-only") == 1 and "is read-only" in disk.text
    assert disk.note(OSError(errno.EIO, "x")) and "I/O error" in disk.text
    for _ in range(3):
        disk.works()
    assert caplog.text.count("takes transactions again") == 1 and not disk.text


def test_a_name_from_before_that_steers_a_terminal_is_set_aside(tmp_path: Path) -> None:
    """Its files stay as they are, and the node starts."""
    folder = tmp_path / "data" / "dbs" / "a\x1b.db"
    folder.mkdir(parents=True)
    (folder / "database").write_bytes(b"precious")
    store = Store(tmp_path / "data", tracer=Tracer("n"), status=Status(is_primary=True), monitor_interval_s=0)
    store.open()
    try:
        assert "rename its directory" in store.set_aside["a\x1b.db"]
        assert (folder / "database").read_bytes() == b"precious"
    finally:
        store.close()
