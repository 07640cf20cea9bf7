"""Recovery: what a node finds in its data directory at start, and what it makes of it.

Each test leaves a data directory as some crash or person would, opens a store on it, and looks at the
database, its position and what was said. No mount, no FUSE.
"""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.errors import DataDirectoryError
from pylitefs.ltx.decoder import open_ltx
from pylitefs.store import recovery
from pylitefs.store.names import FileKind
from pylitefs.store.store import Store
from tests.store.lefts import leave, ltx, make, set_aside, side, values
from tests.store.serving import Served
from tests.store.support import checksum_of, data_file, opened

DROPPED = "8000000000000000"


def test_a_second_store_on_the_directory_is_refused_by_name_of_the_first(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(DataDirectoryError) as caught, opened(tmp_path):
        pass
    name = Path("/proc/self/comm").read_text().strip()
    assert f"is in use by process {os.getpid()} ({name}): stop that node" in str(caught.value)
    with opened(tmp_path):
        pass


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = r"cannot use .*file/data as the data directory"
    with pytest.raises(DataDirectoryError, match=said), opened(tmp_path / "file" / "data"):
        pass


@pytest.mark.parametrize("primary", [True, False])
def test_a_missing_database_file_is_rebuilt_from_the_ltx_files(
    store: Store, served: Served, tmp_path: Path, primary: bool, caplog: pytest.LogCaptureFixture
) -> None:
    db = make(served)
    db.execute("DELETE FROM t WHERE v = 0")
    db.execute("VACUUM")
    db.close()
    left = leave(store, tmp_path / "left")
    side(left, FileKind.DATABASE).unlink()
    with opened(left, primary=primary) as again:
        assert values(again) == [1]
        assert again.positions() == store.positions()
    assert "the database file was not at TXID" in caplog.text


def test_a_missing_database_file_that_the_ltx_files_cannot_give_is_an_error(
    store: Store, served: Served, tmp_path: Path
) -> None:
    make(served, "page_size=512", count=5)
    left = leave(store, tmp_path / "left")
    side(left, FileKind.DATABASE).unlink()
    ltx(left, 3).unlink()
    assert "the LTX files kept do not lead there" in set_aside(left)


def test_a_database_behind_the_last_ltx_file_is_brought_forward_from_several(
    store: Store, served: Served, tmp_path: Path
) -> None:
    """Of pages that changed back and forth the last state counts, whatever state the file has."""
    db = make(served, "page_size=512")
    states = [data_file(store, "a.db").read_bytes()]
    for step in range(6):
        db.execute("UPDATE t SET pad = zeroblob(?) WHERE v = 0", (1500 * (step % 2),))
        states.append(data_file(store, "a.db").read_bytes())
    db.close()
    wanted = states[-1]
    size = max(map(len, states))
    for number, first in enumerate(states):
        # And every mixture of two states, as a power failure leaves it.
        for other in states:
            left = leave(store, tmp_path / f"left{number}.{states.index(other)}")
            pages = [
                (first if pgno % 2 else other).ljust(size, b"\0")[pgno * 512 : pgno * 512 + 512]
                for pgno in range(size // 512)
            ]
            side(left, FileKind.DATABASE).write_bytes(b"".join(pages))
            with opened(left) as again:
                assert values(again) == [0, 1]
                assert data_file(again, "a.db").read_bytes() == wanted


def test_an_edited_database_file_is_set_aside_naming_file_txid_and_both_checksums(
    store: Store, served: Served, tmp_path: Path
) -> None:
    make(served, "page_size=512", count=4).close()
    left = leave(store, tmp_path / "left")
    for txid in (1, 2, 3):
        ltx(left, txid).unlink()
    path = side(left, FileKind.DATABASE)
    held = set()
    for one in path.parent.joinpath("ltx").iterdir():
        with open_ltx(one) as decoder:
            held |= {pgno for pgno, _ in decoder.pages()}
    content = bytearray(path.read_bytes())
    edited = next(pgno for pgno in range(1, len(content) // 512 + 1) if pgno not in held)
    content[512 * edited - 50] ^= 1
    path.write_bytes(content)
    text = set_aside(left)
    pos = store.require("a.db").pos
    assert str(path) in text and f"TXID {pos.txid}" in text
    assert f"{pos.checksum:016x}" in text and f"{checksum_of(bytes(content), 512):016x}" in text
    assert "pylitefs import -name a.db" in text and "On a replica remove" in text
    assert path.read_bytes() == content


def test_the_way_out_of_an_edited_database_file_works(store: Store, served: Served, tmp_path: Path) -> None:
    make(served, "page_size=512", count=4).close()
    left = leave(store, tmp_path / "left")
    for txid in (1, 2, 3):
        ltx(left, txid).unlink()
    path = side(left, FileKind.DATABASE)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE t SET v = 'edited'")
    set_aside(left)
    edited = path.rename(tmp_path / "edited")
    shutil.rmtree(path.parent)
    with opened(left) as again, edited.open("rb") as file:
        again.import_database("a.db", file)
        assert values(again) == ["edited"] * 4


def test_a_database_longer_than_its_pages_is_cut(store: Store, served: Served, tmp_path: Path) -> None:
    """VACUUM shortens the file after its commit, and may be killed in between."""
    make(served).close()
    left = leave(store, tmp_path / "left")
    path = side(left, FileKind.DATABASE)
    path.write_bytes(path.read_bytes() + os.urandom(3 * 4096 + 7))
    with opened(left) as again:
        assert values(again) == [0, 1]


def test_a_database_file_that_ends_early_does_not_stop_the_node(
    store: Store, served: Served, tmp_path: Path
) -> None:
    db = make(served, "page_size=512", count=30)
    db.execute("DROP TABLE t")
    db.execute("CREATE TABLE t (v)")
    db.close()
    content = data_file(store, "a.db").read_bytes()
    for length in (0, 99, 512, 700, len(content) // 2, len(content) - 512, len(content) - 1):
        left = leave(store, tmp_path / f"left{length}")
        side(left, FileKind.DATABASE).write_bytes(content[:length])
        with opened(left) as again:
            assert values(again) == []
            assert data_file(again, "a.db").read_bytes() == content


def test_missing_pages_that_cancel_out_in_the_checksum_are_missed_all_the_same(
    store: Store, served: Served, tmp_path: Path
) -> None:
    """A replica was killed while it wrote a transaction with an even number of equal new pages: against
    pages of zeros they differ by the same bits, so the XOR of their CRCs does not change."""
    db = served.connect("a.db", "page_size=512")
    db.execute("BEGIN")
    db.execute("CREATE TABLE t (v)")
    for number in range(20):
        db.execute(f"CREATE TABLE empty{number} (v)")
    db.execute("COMMIT")
    db.close()
    content = data_file(store, "a.db").read_bytes()
    pages = [content[at : at + 512] for at in range(0, len(content), 512)]
    equal = [index for index, page in enumerate(pages) if page == max(pages, key=pages.count)]
    assert len(equal) >= 4
    for kept in (equal[0:2], equal[-2:], equal[-4:]):
        damaged = b"".join(bytes(512) if index in kept else page for index, page in enumerate(pages))
        assert checksum_of(damaged, 512) == checksum_of(content, 512), "the checksum does not tell"
        for name, left_bytes in (("zeros", damaged), ("short", damaged.rstrip(b"\0"))):
            left = leave(store, tmp_path / f"left{name}{kept}")
            side(left, FileKind.DATABASE).write_bytes(left_bytes)
            with opened(left, primary=False) as again:
                assert data_file(again, "a.db").read_bytes() == content


def test_after_a_restart_of_the_machine_every_kept_ltx_file_is_compared(
    store: Store, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same damage in an older transaction: only a power failure makes it, so it is looked for then."""
    db = served.connect("a.db", "page_size=512")
    db.execute("CREATE TABLE t (v)")
    db.execute("BEGIN")
    for number in range(20):
        db.execute(f"CREATE TABLE empty{number} (v)")
    db.execute("COMMIT")
    db.execute("INSERT INTO t VALUES (0)")
    db.close()
    content = data_file(store, "a.db").read_bytes()
    pages = [content[at : at + 512] for at in range(0, len(content), 512)]
    equal = [index for index, page in enumerate(pages) if page == max(pages, key=pages.count)]
    damaged = b"".join(bytes(512) if index in equal[-2:] else page for index, page in enumerate(pages))
    assert checksum_of(damaged, 512) == checksum_of(content, 512)
    left = leave(store, tmp_path / "left")
    side(left, FileKind.DATABASE).write_bytes(damaged)
    monkeypatch.setattr(recovery, "is_from_before_boot", lambda path: True)
    with opened(left) as again:
        assert data_file(again, "a.db").read_bytes() == content


def test_a_database_without_ltx_files_is_adopted_on_the_primary_and_said_so(
    store: Store, served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(served).close()
    left = leave(store, tmp_path / "left")
    shutil.rmtree(left / "dbs" / "a.db" / "ltx")
    size = side(left, FileKind.DATABASE).stat().st_size
    with opened(left) as again:
        assert values(again) == [0, 1]
        assert again.require("a.db").pos.txid == 1
        assert again.require("a.db").ltx_files() == [(1, 1)]
    assert f"a.db had no LTX file: its {size} bytes become transaction 0000000000000001/" in caplog.text


def test_a_database_without_ltx_files_waits_on_a_replica_for_the_primary_s(
    store: Store, served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(served).close()
    left = leave(store, tmp_path / "left")
    shutil.rmtree(left / "dbs" / "a.db" / "ltx")
    with opened(left, primary=False) as again:
        assert again.positions() == {}
        snapshot = store.snapshot("a.db", tmp_path / "snapshot")
        again.receive_ltx("a.db", iter([snapshot.path.read_bytes()]))
        assert values(again) == [0, 1]
    assert "a.db has no LTX file: it will be replaced by the primary's" in caplog.text


def test_a_file_without_ltx_files_that_is_no_database_is_set_aside(tmp_path: Path) -> None:
    for content in (b"not a database", b"SQLite format 3\0" + bytes(500)):
        left = tmp_path / f"left{len(content)}"
        (left / "dbs" / "a.db").mkdir(parents=True)
        side(left, FileKind.DATABASE).write_bytes(content)
        assert "is not a whole SQLite database" in set_aside(left)
        assert side(left, FileKind.DATABASE).read_bytes() == content


def test_an_empty_database_file_and_directory_leave_nothing_behind(tmp_path: Path) -> None:
    """As `touch MOUNT/NAME` does, or a name that was mistyped."""
    (tmp_path / "dbs" / "touched" / "ltx").mkdir(parents=True)
    side(tmp_path, FileKind.DATABASE, "touched").touch()
    (tmp_path / "dbs" / "empty").mkdir()
    with opened(tmp_path) as store:
        assert store.names() == [] and store.databases() == []
    assert list((tmp_path / "dbs").iterdir()) == []


def test_a_dropped_database_whose_file_is_still_there_is_removed_and_said_so(
    store: Store, served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(served).close()
    content = data_file(store, "a.db").read_bytes()
    served.unlink("a.db")
    left = leave(store, tmp_path / "left")
    side(left, FileKind.DATABASE).write_bytes(content)
    with opened(left) as again:
        assert again.names() == []
        assert str(again.positions()["a.db"]).endswith(f"/{DROPPED}")
    assert f"dropped it: the file that is left ({len(content)} bytes) is removed" in caplog.text
    assert not side(left, FileKind.DATABASE).exists()


def test_a_name_that_was_dropped_counts_on_when_it_comes_again(
    store: Store, served: Served, tmp_path: Path
) -> None:
    make(served).close()
    served.unlink("a.db")
    txid = store.positions()["a.db"].txid
    left = leave(store, tmp_path / "left")
    with opened(left) as again:
        other = Served(again, tmp_path / "mnt2")
        other.connect("a.db", "page_size=1024").execute("CREATE TABLE t (v)")
        assert again.positions()["a.db"].txid == txid + 1
        assert values(again) == []
        other.close()
