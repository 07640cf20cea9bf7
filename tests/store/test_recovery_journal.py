"""Recovery of the rollback journal: hot ones, of several segments, of several databases; and of writes
without one.
"""

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.ltx.position import Pos
from pylitefs.sqlite.journal import JournalHeader, read_super_journal
from pylitefs.store.lost import lost_spans
from pylitefs.store.marker import MARKER
from pylitefs.store.names import FileKind
from pylitefs.store.status import Status
from pylitefs.store.store import Store
from pylitefs.store.terms import Terms
from pylitefs.trace import Tracer
from tests.sqlite.packing import pack_super_journal
from tests.store.crashes import Recorder
from tests.store.lefts import leave, make, set_aside, side, spill, values
from tests.store.serving import Served
from tests.store.support import data_file, opened


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist"])
def test_a_hot_journal_is_rolled_back(
    store: Store, served: Served, tmp_path: Path, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    db = make(served, f"journal_mode={mode}", "page_size=1024")
    before = store.positions()
    whole = data_file(store, "a.db").read_bytes()
    spill(db)
    left = leave(store, tmp_path / "left")
    assert side(left, FileKind.DATABASE).read_bytes() != whole
    caplog.set_level(logging.INFO)
    with opened(left) as again:
        assert values(again) == [0, 1]
        assert again.positions() == before
        assert data_file(again, "a.db").read_bytes() == whole
    assert "a.db: a hot journal was rolled back" in caplog.text
    assert not side(left, FileKind.JOURNAL).exists()


def test_a_hot_journal_of_several_segments_is_rolled_back(
    store: Store, served: Served, tmp_path: Path
) -> None:
    db = make(served, "page_size=512", count=40)
    db.execute("PRAGMA cache_size=2")
    db.execute("BEGIN")
    for value in range(40):
        db.execute("UPDATE t SET pad = randomblob(600) WHERE v = ?", (value,))
    left = leave(store, tmp_path / "left")
    journal = side(left, FileKind.JOURNAL).read_bytes()
    magic = journal[:8]
    headers = [at for at in range(0, len(journal), 512) if journal[at : at + 8] == magic]
    assert len(headers) > 3, "the journal was to have several segments"
    with opened(left) as again:
        assert values(again) == list(range(40))
        assert again.positions() == store.positions()


def test_a_hot_journal_of_the_very_first_transaction_leaves_no_database(
    store: Store, served: Served, tmp_path: Path
) -> None:
    db = served.connect("a.db", "page_size=512")
    db.execute("PRAGMA cache_size=1")
    db.execute("BEGIN")
    db.execute("CREATE TABLE t (v)")
    db.executemany("INSERT INTO t VALUES (randomblob(400))", [()] * 30)
    left = leave(store, tmp_path / "left")
    assert side(left, FileKind.DATABASE).stat().st_size > 0
    with opened(left) as again:
        assert again.names() == [] and again.positions() == {}
    assert not (left / "dbs" / "a.db").exists(), "nothing of the name is left"


def test_a_journal_that_was_never_synced_is_none(store: Store, served: Served, tmp_path: Path) -> None:
    """Its header is still zero, and no page was written."""
    db = make(served)
    db.execute("BEGIN")
    db.execute("UPDATE t SET v = 'lost'")
    left = leave(store, tmp_path / "left")
    assert not any(side(left, FileKind.JOURNAL).read_bytes()[:8])
    with opened(left) as again:
        assert values(again) == [0, 1]
    assert not side(left, FileKind.JOURNAL).exists()


def test_a_transaction_whose_ltx_file_is_durable_is_replayed_over_its_hot_journal(
    store: Store, served: Served, tmp_path: Path
) -> None:
    """The node was killed between the LTX file and the journal's end: SQLite's client got no answer."""
    db = make(served)
    lefts: list[Path] = []

    def crash(name: str, *_: object) -> None:
        lefts.append(leave(store, tmp_path / "left"))

    store.subscribe(crash)
    db.execute("INSERT INTO t VALUES (2, NULL)")
    (left,) = lefts
    assert side(left, FileKind.JOURNAL).exists()
    with opened(left) as again:
        assert values(again) == [0, 1, 2]
        assert again.positions() == store.positions()


def leave_two(store: Store, served: Served, to: Path, moment: Callable[[], bool]) -> Path:
    """Two databases, one transaction over both, and the data directory at the first `moment` of it."""
    db = make(served, "page_size=1024")
    make(served, name="b.db").close()
    db.execute("ATTACH ? AS b", (served.uri("b.db"),))
    lefts: list[Path] = []

    def look(call: str, name: str) -> int:
        if not lefts and moment():
            lefts.append(leave(store, to))
        return 0

    served.refuse = look
    db.execute("BEGIN")
    db.execute("UPDATE main.t SET v = 7")
    db.execute("UPDATE b.t SET v = 7")
    db.execute("COMMIT")
    return lefts[0]


def super_journal_of(journal: Path) -> Path | None:
    raw = journal.read_bytes()
    name = read_super_journal(lambda offset, size: raw[offset : offset + size], len(raw))
    return Path(name) if name else None


def rename_super_journal(journal: Path, old: Path, new: Path) -> None:
    """Have a journal name another super-journal, whose name is as long."""
    tail = pack_super_journal(str(old), 1024)[4:]
    raw = journal.read_bytes()
    assert tail in raw and len(str(old)) == len(str(new))
    journal.write_bytes(raw.replace(tail, pack_super_journal(str(new), 1024)[4:]))


@pytest.mark.parametrize("mount", ["another mount", None])
@pytest.mark.parametrize("there", [True, False])
def test_a_super_journal_is_found_by_its_name_under_whatever_path_the_node_is_mounted_now(
    store: Store, served: Served, tmp_path: Path, there: bool, mount: str | None
) -> None:
    """Its full name is the path at which the client saw it, and after a power failure that may be gone."""

    def named() -> bool:
        journals = [side(store.data_dir, FileKind.JOURNAL, name) for name in ("a.db", "b.db")]
        return all(path.exists() and super_journal_of(path) for path in journals)

    def gone() -> bool:
        seen.append(bool(super_journals(store)))
        return any(seen) and not seen[-1]

    seen: list[bool] = []
    left = leave_two(store, served, tmp_path / "left", named if there else gone)
    assert bool(list(left.glob("dbs/*/mj*"))) == there
    with opened(left, mount_dir=tmp_path / mount if mount else None) as again:
        assert values(again) == values(again, "b.db") == ([0, 1] if there else [7, 7])


def super_journals(store: Store) -> list[Path]:
    return list(store.data_dir.glob("dbs/*/mj*"))


def test_while_its_super_journal_is_there_a_transaction_over_two_databases_is_rolled_back(
    store: Store, served: Served, tmp_path: Path
) -> None:
    db_bytes = data_file(store, "a.db")

    def pages_written() -> bool:
        return bool(super_journals(store)) and db_bytes.read_bytes() != before[0]

    before = [b""]
    store.subscribe(lambda *_: before.__setitem__(0, db_bytes.read_bytes() if db_bytes.exists() else b""))
    left = leave_two(store, served, tmp_path / "left", pages_written)
    with opened(left, mount_dir=served.directory) as again:
        assert values(again) == values(again, "b.db") == [0, 1]
    assert not list(left.rglob("mj*")), "the super-journal has done its work"


@pytest.mark.parametrize("through_a_link", [False, True])
def test_once_its_super_journal_is_gone_a_transaction_over_two_databases_is_committed(
    store: Store, served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture, through_a_link: bool
) -> None:
    """Its client was told so, though no LTX file was made yet; the LTX files kept must not undo it."""
    seen: list[bool] = []

    def gone() -> bool:
        seen.append(bool(super_journals(store)))
        return any(seen) and not seen[-1]

    left = leave_two(store, served, tmp_path / "left", gone)
    assert side(left, FileKind.JOURNAL).exists()
    mount_dir = served.directory
    if through_a_link:
        mount_dir = tmp_path / "link"
        mount_dir.symlink_to(served.directory)
    caplog.set_level(logging.INFO)
    with opened(left, mount_dir=mount_dir) as again:
        assert values(again) == values(again, "b.db") == [7, 7]
        assert again.positions() == store.positions(), "what the node would have captured"
    assert "the super-journal of its journal is gone" in caplog.text
    assert "outside the mount" not in caplog.text


@pytest.mark.parametrize("then", ["import", "drop"])
def test_a_journal_that_a_power_failure_brings_back_without_its_super_journal_undoes_nothing(
    store: Store, served: Served, tmp_path: Path, then: str
) -> None:
    """SQLite does not sync the removal of a journal. Its transaction has an LTX file by then, and so has what
    came after it: an import, whose file and name need no sync for that reason, or a drop."""
    source = tmp_path / "source"
    with closing(sqlite3.connect(source)) as db:
        db.executescript("PRAGMA page_size=1024; CREATE TABLE t (v); INSERT INTO t VALUES ('imported')")
    make(served, "page_size=1024").close()
    make(served, name="b.db").close()
    recorder = Recorder(store.data_dir)
    with recorder.recording():
        db = served.connect("a.db")
        db.execute("ATTACH ? AS b", (served.uri("b.db"),))
        db.executescript("BEGIN; UPDATE main.t SET v = 7; UPDATE b.t SET v = 7; COMMIT")
        db.close()
        if then == "drop":
            served.unlink("a.db")
        else:
            with source.open("rb") as file:
                store.import_database("a.db", file, source.stat().st_size)
    image = recorder.images[-1]
    assert "dbs/a.db/journal" in image.gone and not [name for name in image.durable if "/mj" in name]
    left = image.write(tmp_path / "left", image.durable)  # Nothing survives but what was synced.
    with opened(left) as again:
        assert again.positions() == store.positions()
        if then == "drop":
            assert not again.require("a.db").exists
        else:
            assert values(again) == ["imported"]
        assert values(again, "b.db") == [7, 7]


@pytest.mark.parametrize("there", [True, False])
def test_a_super_journal_outside_the_mount_decides_and_is_named(
    store: Store, served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture, there: bool
) -> None:
    """The transaction's first database was elsewhere on this machine, and so is its super-journal: no
    database here has its name."""

    def named() -> bool:
        journals = [side(store.data_dir, FileKind.JOURNAL, name) for name in ("a.db", "b.db")]
        return all(path.exists() and super_journal_of(path) for path in journals)

    left = leave_two(store, served, tmp_path / "left", named)
    for path in left.glob("dbs/*/mj*"):
        path.unlink()
    super_journal = super_journal_of(side(left, FileKind.JOURNAL))
    assert super_journal is not None and super_journal.parent == served.directory
    outside = super_journal.with_name(f"z{super_journal.name[1:]}")
    for name in ("a.db", "b.db"):
        path = side(left, FileKind.JOURNAL, name)
        rename_super_journal(path, super_journal, outside)
    super_journal = outside
    if there:
        super_journal.write_bytes(b"")
    with opened(left, mount_dir=tmp_path / "another mount") as again:
        assert values(again) == ([0, 1] if there else [7, 7])
    super_journal.unlink(missing_ok=True)
    assert f"a super-journal outside the mount, {super_journal}" in caplog.text
    assert ("is there: rolled back" if there else "is gone: committed") in caplog.text


def leave_unjournaled(store: Store, served: Served, to: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A commit in journal_mode OFF that nothing has captured yet, and the node killed."""
    monkeypatch.setattr(store, "later", lambda name, what: None)
    db = make(served)
    db.execute("PRAGMA journal_mode=off")
    db.execute("INSERT INTO t VALUES (2, NULL)")
    return leave(store, to)


def test_a_commit_without_a_journal_is_captured_at_the_next_start(
    store: Store,
    served: Served,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Though the LTX files that are kept could undo it."""
    left = leave_unjournaled(store, served, tmp_path / "left", monkeypatch)
    txid = store.require("a.db").pos.txid
    assert (left / "dbs" / "a.db" / MARKER).read_text() == f"{txid:016x}\n"
    with opened(left) as again:
        assert values(again) == [0, 1, 2]
        assert again.require("a.db").pos.txid == txid + 1
        assert not (left / "dbs" / "a.db" / MARKER).exists()
    assert "was left with pages that no LTX file holds" in caplog.text
    assert "integrity_check" in caplog.text


def test_what_an_old_primary_captures_at_its_start_is_its_own(
    store: Store, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is kept aside where another node led meanwhile, and is further."""
    left = leave_unjournaled(store, served, tmp_path / "left", monkeypatch)
    before = Terms()
    before.load(left)
    before.begin(store.node_id)
    status = Status(is_primary=True, candidate=True, ready=False)
    again = Store(left, tracer=Tracer(), status=status, monitor_interval_s=0)
    again.terms.load(left)
    again.open()
    database = again.require("a.db")
    newest = database.ltx_header(*database.ltx_files()[-1])
    assert newest is not None and newest.node_id != store.node_id and again.terms.is_own(newest.node_id)
    assert lost_spans(database.state, Pos(99, 1 << 63))[-1] == (newest.min_txid, newest.max_txid)
    again.close()


def test_a_marker_older_than_the_last_ltx_file_means_nothing(
    store: Store, served: Served, tmp_path: Path
) -> None:
    """The pages were captured, and then the node was killed before the marker was gone."""
    make(served).close()
    left = leave(store, tmp_path / "left")
    txid = store.require("a.db").pos.txid
    for text in (f"{txid - 1:016x}\n", ""):
        (left / "dbs" / "a.db" / MARKER).write_text(text)
        path = side(left, FileKind.DATABASE)
        path.write_bytes(path.read_bytes()[:4096])
        with opened(left) as again:
            assert values(again) == [0, 1]
            assert again.positions() == store.positions()
        assert not (left / "dbs" / "a.db" / MARKER).exists()


def test_a_database_that_a_write_without_a_journal_destroyed_is_an_error(
    store: Store, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = leave_unjournaled(store, served, tmp_path / "left", monkeypatch)
    path = side(left, FileKind.DATABASE)
    path.write_bytes(bytes(4096) + path.read_bytes()[4096:])
    said = "a client was killed while it wrote without a journal"
    assert said in set_aside(left)


def test_a_journal_of_another_page_size_is_played_back_by_its_own(tmp_path: Path) -> None:
    """VACUUM with a new page size writes pages of the new size, and the journal holds the old ones."""
    with opened(tmp_path / "data") as store:
        served = Served(store, tmp_path / "mnt")
        db = make(served, "page_size=512", count=12)
        whole = data_file(store, "a.db").read_bytes()
        lefts: list[Path] = []

        def look(call: str, name: str) -> int:
            if call in ("unlink", "truncate") and data_file(store, "a.db").read_bytes()[:100] != whole[:100]:
                lefts.append(leave(store, tmp_path / f"left{len(lefts)}"))
            return 0

        db.execute("PRAGMA page_size=2048")
        served.refuse = look
        db.execute("VACUUM")
        served.refuse = lambda call, name: 0
        served.close()
    first = side(lefts[0], FileKind.JOURNAL).read_bytes()
    assert JournalHeader.parse(first[:28]).page_size == 512
    with opened(lefts[0]) as again:
        assert values(again) == list(range(12))
        assert data_file(again, "a.db").read_bytes() == whole
