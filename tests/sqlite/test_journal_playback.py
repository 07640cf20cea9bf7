"""Journals of the real SQLite library, played back with our reader and by SQLite itself.

Each test leaves a database and its journal as a crash would, and compares the bytes after both ways.
"""

import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pylitefs.errors import SqliteFormatError
from pylitefs.sqlite.journal import JOURNAL_MAGIC, NREC_ALL, JournalHeader, read_journal
from tests.sqlite.journals import make_journal, roll_back
from tests.sqlite.samples import PAGE_SIZES, copy_database, make_database, read_at


def crashed_copy(
    directory: Path,
    *,
    page_size: int = 4096,
    psow: bool = True,
    settings: tuple[str, ...] = (),
    shrink: bool = False,
) -> tuple[Path, bytes]:
    """A database copied in the middle of a large transaction whose cache has spilled, several times.

    Returns the copy and the bytes before the transaction.
    """
    path = directory / "a.db"
    database = make_database(path, page_size=page_size, psow=psow, rows=max(60, page_size // 200))
    if shrink:
        database.execute("PRAGMA auto_vacuum=full")
        database.execute("VACUUM")
    for setting in ("cache_size=4", *settings):
        database.execute(f"PRAGMA {setting}")
    before = path.read_bytes()
    database.execute("BEGIN")
    database.execute("UPDATE t SET a = randomblob(1600) WHERE id % 2")
    database.execute("DELETE FROM t WHERE id > 40" if shrink else "INSERT INTO t SELECT NULL, a FROM t")
    database.execute("UPDATE t SET a = randomblob(1400)")
    copy = copy_database(path, directory / "copy")
    database.execute("ROLLBACK")
    database.close()
    return copy, before


def sqlite_rolls_back(path: Path) -> bytes:
    """What the database's bytes are after SQLite has opened it (whether or not it likes what it finds)."""
    database = sqlite3.connect(path)
    try:
        database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.DatabaseError:
        pass
    finally:
        database.close()
    return path.read_bytes()


def journal_headers(path: Path) -> list[JournalHeader]:
    """The headers at whole sectors of a journal, wherever they are."""
    data = Path(f"{path}-journal").read_bytes()
    sector = JournalHeader.parse(data).sector_size
    return [
        JournalHeader.parse(data[offset : offset + 28])
        for offset in range(0, len(data), sector)
        if data[offset : offset + 8] == JOURNAL_MAGIC
    ]


@pytest.mark.parametrize("page_size", PAGE_SIZES)
@pytest.mark.parametrize("psow", [True, False], ids=["sector512", "sector4096"])
def test_a_journal_of_several_segments(page_size: int, psow: bool, tmp_path: Path) -> None:
    copy, before = crashed_copy(tmp_path, page_size=page_size, psow=psow)
    assert copy.read_bytes() != before
    headers = journal_headers(copy)
    assert len(headers) > 1
    assert (headers[0].page_size, headers[0].sector_size) == (page_size, 512 if psow else 4096)
    ours = roll_back(copy)
    assert ours == sqlite_rolls_back(copy) == before


@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_a_journal_that_is_never_synced(page_size: int, tmp_path: Path) -> None:
    """synchronous=OFF: nRec is -1."""
    copy, before = crashed_copy(tmp_path, page_size=page_size, settings=("synchronous=OFF",))
    assert [header.nrec for header in journal_headers(copy)] == [NREC_ALL]
    ours = roll_back(copy)
    assert ours == sqlite_rolls_back(copy) == before


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist"])
def test_a_journal_over_an_older_one(mode: str, tmp_path: Path) -> None:
    """A file that persists holds records of transactions before; their nonces keep them out."""
    copy, before = crashed_copy(tmp_path, settings=(f"journal_mode={mode}", "user_version=7"))
    ours = roll_back(copy)
    assert ours == sqlite_rolls_back(copy) == before


def test_a_transaction_that_made_the_database_smaller(tmp_path: Path) -> None:
    copy, before = crashed_copy(tmp_path, shrink=True)
    ours = roll_back(copy)
    assert ours == sqlite_rolls_back(copy) == before


def test_before_the_first_sync_there_is_no_header_and_nothing_to_roll_back(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    database = make_database(path)
    before = path.read_bytes()
    database.execute("BEGIN")
    database.execute("UPDATE t SET a = 'x'")
    copy = copy_database(path, tmp_path / "copy")
    database.close()
    raw = Path(f"{copy}-journal").read_bytes()
    assert len(raw) > 4096
    with pytest.raises(SqliteFormatError):
        read_journal(read_at(raw), len(raw))
    assert roll_back(copy) == sqlite_rolls_back(copy) == before


@pytest.mark.parametrize("mode", ["truncate", "persist"])
def test_after_the_commit_there_is_no_header(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    database = make_database(path, mode=mode)
    raw = Path(f"{path}-journal").read_bytes()
    assert raw[:28] == bytes(28 if mode == "persist" else 0)
    with pytest.raises(SqliteFormatError):
        read_journal(read_at(raw), len(raw))
    database.close()


@pytest.mark.parametrize("sector_size", [32, 512, 2048, 16384, 65536])
@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_a_journal_that_we_write_is_rolled_back_alike(
    sector_size: int, page_size: int, tmp_path: Path
) -> None:
    """Sectors of every size, several segments, pages past the end, a database that grew since."""
    path = tmp_path / "a.db"
    make_database(path, page_size=page_size).close()
    before = path.read_bytes()
    pages = len(before) // page_size
    contents = {
        pgno: before[(pgno - 1) * page_size : pgno * page_size] if pgno <= pages else bytes(page_size)
        for pgno in range(1, pages + 3)
    }
    numbers = list(contents)
    segments = [numbers[0::2], [], numbers[1::2]]
    journal = make_journal(
        segments, sector_size=sector_size, page_size=page_size, initial_pages=pages, contents=contents
    )
    path.write_bytes(before[: 2 * page_size] + b"\x55" * (pages * page_size))
    Path(f"{path}-journal").write_bytes(journal)
    ours = roll_back(path)
    assert ours == sqlite_rolls_back(path) == before


def test_nrec_of_zero_is_nothing_to_sqlite_either(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    make_database(path).close()
    before = path.read_bytes()
    journal = bytearray(make_journal([[1, 2]], page_size=4096, initial_pages=len(before) // 4096))
    journal[8:12] = bytes(4)
    Path(f"{path}-journal").write_bytes(journal)
    ours = roll_back(path)
    assert ours == sqlite_rolls_back(path) == before


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A few databases in the middle of a transaction, to be copied."""
    return [
        crashed_copy(
            tmp_path_factory.mktemp("crashed"), page_size=size, psow=psow, settings=(f"synchronous={sync}",)
        )[0]
        for size, psow, sync in ((512, True, "FULL"), (4096, False, "FULL"), (1024, True, "OFF"))
    ]


@pytest.mark.parametrize("seed", range(150))
def test_a_journal_damaged_anywhere_is_rolled_back_alike(
    seed: int, crashed: list[Path], tmp_path: Path
) -> None:
    """Cut at any length, or with flipped bytes: what SQLite does not believe we do not either."""
    chance = random.Random(seed)
    copy = copy_database(crashed[seed % 3], tmp_path)
    journal = Path(f"{copy}-journal")
    raw = bytearray(journal.read_bytes())
    if chance.random() < 0.5:
        del raw[chance.randrange(len(raw)) :]
    for _ in range(chance.randrange(4)):
        if len(raw) > 28:
            offset = chance.choice((chance.randrange(28), chance.randrange(28, len(raw))))
            if not 16 <= offset < 20:  # The initial size would become gigabytes.
                raw[offset] ^= 1 << chance.randrange(8)
    journal.write_bytes(raw)
    ours = roll_back(copy)
    assert ours == sqlite_rolls_back(copy)


_ATTACHED = """
import resource, signal, sqlite3, sys
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
first = sqlite3.connect(sys.argv[1], isolation_level=None)
first.execute("ATTACH ? AS other", (sys.argv[2],))
first.execute("BEGIN")
first.execute("UPDATE main.t SET a = 'changed'")
first.execute("UPDATE other.t SET a = 'changed'")
first.execute("INSERT INTO other.t SELECT NULL, randomblob(3000) FROM other.t, other.t")
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
first.execute("COMMIT")
"""


@pytest.fixture
def attached(tmp_path: Path) -> tuple[Path, Path]:
    """Two databases whose common commit was killed while SQLite wrote the second.

    The second grows past the size that a file may have, which kills the writer: after both journals
    have got the super-journal's name, and the first database its pages.
    """
    paths = tmp_path / "first.db", tmp_path / "second.db"
    for path in paths:
        make_database(path, rows=40).close()
    limit = paths[1].stat().st_size + 100_000
    child = subprocess.run(
        [sys.executable, "-c", _ATTACHED, *map(str, paths), str(limit)],
        capture_output=True,
        timeout=60,
    )
    assert child.returncode < 0, child.stderr.decode()
    return paths


def test_a_commit_over_two_databases_names_its_super_journal(
    attached: tuple[Path, Path], tmp_path: Path
) -> None:
    (super_journal,) = tmp_path.glob("*-mj*")
    for path in attached:
        raw = Path(f"{path}-journal").read_bytes()
        journal = read_journal(read_at(raw), len(raw))
        assert journal.super_journal == str(super_journal)
        assert list(journal.records)
        copy = copy_database(path, tmp_path / "copy")
        ours = roll_back(copy)
        assert ours == sqlite_rolls_back(copy)
        database = sqlite3.connect(copy)
        assert database.execute("SELECT count(*) FROM t WHERE a = 'changed'").fetchone() == (0,)
        database.close()


def test_without_its_super_journal_the_commit_had_happened(
    attached: tuple[Path, Path], tmp_path: Path
) -> None:
    """SQLite then leaves the pages as they are, and so do we."""
    (super_journal,) = tmp_path.glob("*-mj*")
    super_journal.unlink()
    copy = copy_database(attached[0], tmp_path / "copy")
    before = copy.read_bytes()
    assert roll_back(copy) == sqlite_rolls_back(copy) == before
    database = sqlite3.connect(copy)
    assert database.execute("SELECT DISTINCT a FROM t").fetchall() == [("changed",)]
    database.close()
