"""How far a rollback journal is believed after a power failure: its checksums see every 200th byte alone."""

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.sqlite.journal import read_journal
from pylitefs.store.names import FileKind
from pylitefs.store.store import Store
from tests.sqlite.samples import read_at
from tests.store.lefts import leave, make, side, values
from tests.store.serving import Served
from tests.store.support import data_file, opened

SECTOR = 512
FAR = 1 << 40
"""A time at which every LTX file is past its retention."""


def sparse(seed: int) -> bytes:
    """A row as long as a page, mostly zeros, as a record of fixed fields may be."""
    return b"".join(bytes([seed % 200 + 1]).ljust(29, b"\0") for _ in range(30))


def with_sparse_rows(served: Served, mode: str, count: int = 40) -> None:
    """Rows that were written long ago: no LTX file that is kept holds their pages."""
    db = make(served, f"journal_mode={mode}", "page_size=1024", "synchronous=NORMAL")
    for seed in range(count):
        db.execute("INSERT INTO t VALUES (?, ?)", (2 + seed, sparse(seed)))
    db.execute("CREATE TABLE other (v)")
    db.close()
    served.store.reap(now=FAR)


def at_writes(store: Store, served: Served, to: Path) -> list[Path]:
    """From now on: the data directory as it is each time that a page is about to be written behind a journal
    that has just been synced."""
    found: list[Path] = []
    last = [b""]

    def look(call: str, name: str) -> int:
        path = side(store.data_dir, FileKind.JOURNAL)
        if call == "write" and name == "a.db" and path.exists() and path.read_bytes() != last[0]:
            last[0] = path.read_bytes()
            found.append(leave(store, to / str(len(found))))
        return 0

    served.refuse = look
    return found


def records(journal: bytes) -> list[tuple[int, bytes]]:
    return list(read_journal(read_at(journal), len(journal)).records)


def torn(journal: bytes) -> Iterator[bytes]:
    """The journal without one of its sectors, where SQLite would not notice: from its end on."""
    whole = records(journal)
    for at in range(len(journal) // SECTOR * SECTOR, SECTOR - 1, -SECTOR):
        content = journal[:at] + bytes(SECTOR) + journal[at + SECTOR :]
        found = records(content[: len(journal)])
        if len(found) == len(whole) and found != whole:
            yield content[: len(journal)]


def power_failed(left: Path, journal: bytes) -> None:
    """The machine was started after all that."""
    side(left, FileKind.JOURNAL).write_bytes(journal)
    for path in left.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist"])
def test_a_record_that_was_not_synced_is_not_played_back(
    store: Store, served: Served, tmp_path: Path, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With synchronous=NORMAL SQLite syncs a journal's records together with their number. If the power
    fails then, a sector may be lost that no checksum covers. But no page was written before."""
    with_sparse_rows(served, mode)
    before, whole = store.positions(), data_file(store, "a.db").read_bytes()
    lefts = at_writes(store, served, tmp_path / "left")
    db = served.connect("a.db", f"journal_mode={mode}", "synchronous=NORMAL")
    db.execute("UPDATE t SET v = -v WHERE v > 1")
    left = lefts[0]
    assert side(left, FileKind.DATABASE).read_bytes() == whole, "no page was written yet"
    power_failed(left, next(torn(side(left, FileKind.JOURNAL).read_bytes())))
    caplog.set_level(logging.INFO)
    with opened(left) as again:
        assert values(again) == list(range(42))
        assert again.positions() == before
        assert data_file(again, "a.db").read_bytes() == whole
    assert "a.db: its journal was not synced to its end" in caplog.text


def test_what_was_synced_before_it_is_played_back(store: Store, served: Served, tmp_path: Path) -> None:
    """A long transaction syncs its journal again and again, and writes pages after each: those go back."""
    with_sparse_rows(served, "delete")
    before, whole = store.positions(), data_file(store, "a.db").read_bytes()
    lefts = at_writes(store, served, tmp_path / "left")
    db = served.connect("a.db", "synchronous=NORMAL", "cache_size=5")
    db.execute("BEGIN")
    db.execute("UPDATE t SET v = -v WHERE v > 1")
    tried = 0
    journals = [side(left, FileKind.JOURNAL).read_bytes() for left in lefts]
    for left, journal, synced in zip(lefts[1:], journals[1:], journals, strict=False):
        assert side(left, FileKind.DATABASE).read_bytes() != whole, "pages were written by then"
        there = records(synced)
        lost = next((one for one in torn(journal) if records(one)[: len(there)] == there), None)
        if lost is None:
            continue
        tried += 1
        power_failed(left, lost)
        with opened(left) as again:
            assert values(again) == list(range(42))
            assert again.positions() == before
            assert data_file(again, "a.db").read_bytes() == whole
    assert tried > 1, "the transaction was to sync its journal several times"


def test_a_page_that_was_torn_is_not_taken_for_a_free_one(
    store: Store, served: Served, tmp_path: Path
) -> None:
    """Where the database has free pages as well, what a roll-back leaves would have become a transaction."""
    with_sparse_rows(served, "delete")
    db = served.connect("a.db", "synchronous=NORMAL")
    db.execute("DELETE FROM t WHERE v > 20")
    db.execute("CREATE TABLE one_more (v)")
    store.reap(now=FAR)
    before, whole = store.positions(), data_file(store, "a.db").read_bytes()
    lefts = at_writes(store, served, tmp_path / "left")
    db.execute("UPDATE t SET v = -v WHERE v > 1")
    losts = list(torn(side(lefts[0], FileKind.JOURNAL).read_bytes()))
    assert losts
    for number, lost in enumerate(losts):
        left = tmp_path / f"torn{number}"
        shutil.copytree(lefts[0], left)
        power_failed(left, lost)
        with opened(left) as again:
            assert again.positions() == before
            assert data_file(again, "a.db").read_bytes() == whole


def test_a_killed_client_s_journal_is_played_back_to_its_end(
    store: Store, served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What the kernel has is whole: nothing else is tried."""
    with_sparse_rows(served, "delete")
    lefts = at_writes(store, served, tmp_path / "left")
    db = served.connect("a.db", "synchronous=NORMAL", "cache_size=5")
    db.execute("BEGIN")
    db.execute("UPDATE t SET v = -v WHERE v > 1")
    caplog.set_level(logging.INFO)
    with opened(lefts[-1]) as again:
        assert values(again) == list(range(42))
        assert again.positions() == store.positions()
    assert "a.db: a hot journal was rolled back" in caplog.text and "to its end" not in caplog.text
