"""Recovery of a database whose free pages a rolled-back transaction had taken into use.

SQLite journals no page that was free, so a rollback leaves other bytes there. They are a transaction like
any other, which no reader notices and every replica needs.
"""

import errno
from pathlib import Path

import pytest

from pylitefs.ltx.decoder import open_ltx
from pylitefs.sqlite.freelist import free_leaves
from pylitefs.sqlite.journal import read_journal
from pylitefs.store.marker import MARKER, Left, note
from pylitefs.store.names import FileKind
from pylitefs.store.store import Store
from tests.store.crashes import Recorder
from tests.store.lefts import leave, make, set_aside, side, spill, values
from tests.store.serving import Served
from tests.store.support import checksum_of, data_file, opened, query

FAR = 1 << 40
"""A time at which every LTX file is past its retention."""


def with_free_pages(store: Store, served: Served, mode: str = "delete") -> None:
    """Two rows and many free pages, and of the LTX files the newest alone."""
    db = make(served, f"journal_mode={mode}", "page_size=1024", count=90)
    db.execute("DELETE FROM t WHERE v > 1")
    db.execute("INSERT INTO t VALUES (2, NULL)")
    store.reap(now=FAR)
    database = store.require("a.db")
    assert database.ltx_files() == [(database.pos.txid, database.pos.txid)]


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist"])
def test_free_pages_that_a_rolled_back_transaction_changed_are_captured(
    store: Store, served: Served, tmp_path: Path, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The node, or the client alone, was killed in the middle of it, retention having done its work."""
    with_free_pages(store, served, mode)
    before = store.positions()["a.db"]
    spill(served.connect("a.db", f"journal_mode={mode}"))
    left = leave(store, tmp_path / "left")
    with opened(left) as again:
        assert values(again) == [0, 1, 2]
        database = again.require("a.db")
        assert database.pos.txid == before.txid + 1 and database.pos.checksum != before.checksum
        assert database.ltx_next(before.txid) == (before.txid + 1, before.txid + 1)
        with open_ltx(database.ltx_path(before.txid + 1, before.txid + 1)) as decoder:
            assert decoder.header.pre_apply_checksum == before.checksum
    assert "a.db: after the rollback pages of its free list hold other bytes" in caplog.text
    with opened(left) as again:
        assert again.positions()["a.db"].txid == before.txid + 1, "once"
    assert not (left / "dbs" / "a.db" / MARKER).exists()


def test_free_pages_that_were_changed_alike_are_as_the_ltx_files_say(
    store: Store, served: Served, tmp_path: Path
) -> None:
    """Two pages that differ by the same bits have the checksum of before. The next transaction that takes one
    of them would have another on the replicas."""
    db = make(served, "page_size=1024", count=90)
    db.execute("DELETE FROM t WHERE v > 1")
    db.execute("INSERT INTO t VALUES (2, NULL)")
    content = data_file(store, "a.db").read_bytes()
    leaves = free_leaves(lambda pgno: content[(pgno - 1) * 1024 : pgno * 1024], len(content) // 1024)
    damaged = bytearray(content)
    for pgno in sorted(leaves)[:2]:
        damaged[pgno * 1024 - 1] ^= 0xFF
    assert checksum_of(bytes(damaged), 1024) == store.require("a.db").pos.checksum
    left = leave(store, tmp_path / "left")
    side(left, FileKind.DATABASE).write_bytes(damaged)
    note(left / "dbs" / "a.db", store.require("a.db").pos.txid, Left.FREE_PAGES)
    with opened(left) as again:
        assert data_file(again, "a.db").read_bytes() == content
        assert again.positions() == store.positions()


def test_a_transaction_that_is_durable_is_replayed_though_free_pages_differ_before_it(
    store: Store, served: Served, tmp_path: Path
) -> None:
    """The node was killed after the LTX file was synced and before the journal ended."""
    with_free_pages(store, served)
    lefts: list[Path] = []
    store.subscribe(lambda *_: lefts.append(leave(store, tmp_path / f"left{len(lefts)}")))
    db = served.connect("a.db")
    db.execute("INSERT INTO t VALUES (3, randomblob(5000))")
    assert side(lefts[0], FileKind.JOURNAL).exists()
    with opened(lefts[0]) as again:
        assert values(again) == [0, 1, 2, 3]
        assert again.positions() == store.positions()


def test_no_other_page_is_excused_after_a_rollback(store: Store, served: Served, tmp_path: Path) -> None:
    """A database without a free page cannot have changed so: its file was changed by someone else."""
    db = make(served, "page_size=1024", count=2)
    db.execute("CREATE TABLE untouched (v)")
    db.execute("INSERT INTO untouched VALUES (randomblob(9000))")
    db.execute("INSERT INTO t VALUES (2, NULL)")
    store.reap(now=FAR)
    spill(served.connect("a.db"))
    left = leave(store, tmp_path / "left")
    path = side(left, FileKind.DATABASE)
    content = bytearray(path.read_bytes())
    journal = side(left, FileKind.JOURNAL).read_bytes()
    newest = store.require("a.db").ltx_files()[-1]
    with open_ltx(store.require("a.db").ltx_path(*newest)) as decoder:
        held = {pgno for pgno, _ in decoder.pages()}
    found = read_journal(lambda offset, length: journal[offset : offset + length], len(journal))
    held |= {pgno for pgno, _ in found.records}
    edited = next(pgno for pgno in range(2, found.initial_pages + 1) if pgno not in held)
    content[edited * 1024 - 3] ^= 1
    path.write_bytes(content)
    assert "the LTX files kept do not lead there" in set_aside(left)


def test_a_recovery_killed_at_any_moment_captures_free_pages_all_the_same(
    store: Store, served: Served, tmp_path: Path
) -> None:
    """The journal is gone then, and with it what told that they may differ, but for the marker."""
    with_free_pages(store, served)
    before = store.positions()["a.db"]
    spill(served.connect("a.db"))
    left = leave(store, tmp_path / "left")
    recorder = Recorder(left)
    with recorder.recording(), opened(left):
        pass
    assert any(image.call.startswith("unlink dbs/a.db/journal") for image in recorder.images)
    for image in recorder.images:
        for powerless, files in ((False, image.files), (True, image.durable)):
            directory = image.write(tmp_path / f"image{image.step}{powerless}", files)
            try:
                with opened(directory) as again:
                    assert values(again) == [0, 1, 2]
                    assert again.positions()["a.db"].txid == before.txid + 1
            except BaseException as error:
                error.add_note(f"killed before {image.call}, power failed: {powerless}")
                raise


def test_a_rollback_by_the_applier_is_captured(store: Store, served: Served, tmp_path: Path) -> None:
    """Before an export: its SQLite rolls the journal of a killed writer back, past the ordinary capture."""
    with_free_pages(store, served)
    spill(served.connect("a.db"))
    served.refuse = lambda call, name: 0 if call == "close" else errno.ENOTCONN
    served.close()
    database = store.require("a.db")
    before = database.pos
    path = data_file(store, "a.db")
    played = leave(store, tmp_path / "played")
    with opened(played) as again:
        wanted = data_file(again, "a.db").read_bytes()
    # What SQLite does in the applier's process: it writes, cuts, and unlinks the journal.
    fd = database.open_file(FileKind.DATABASE, 2, applier=True)
    database.write(FileKind.DATABASE, fd, wanted, 0, applier=True)
    database.truncate(FileKind.DATABASE, len(wanted), applier=True, fd=fd)
    database.remove(FileKind.JOURNAL, applier=True)
    database.release(FileKind.DATABASE, fd, applier=True)
    assert database.pos.txid == before.txid + 1
    assert values(store) == [0, 1, 2] and path.read_bytes() == wanted
    assert not database.rollback_watch.dirty


def test_the_free_list_is_read_as_sqlite_counts_it(store: Store, served: Served) -> None:
    with_free_pages(store, served)
    content = data_file(store, "a.db").read_bytes()
    leaves = free_leaves(lambda pgno: content[(pgno - 1) * 1024 : pgno * 1024], len(content) // 1024)
    ((count,),) = query(data_file(store, "a.db"), "PRAGMA freelist_count")
    assert isinstance(count, int) and leaves
    assert count - len(leaves) in (1, 2), "trunk pages are the rest"
