"""Many LTX files into one: the same database, node id 0, bounded, and nothing left behind by an error."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from pylitefs.backup import merge
from pylitefs.errors import LtxError
from pylitefs.ltx.decoder import open_ltx
from pylitefs.store.store import Store
from tests.backup.backups import GOLDEN, GOLDEN_POS, insert
from tests.store.serving import Served
from tests.store.support import seen_by_sqlite


@pytest.fixture
def temporary(tmp_path: Path) -> Callable[[], Path]:
    (tmp_path / "tmp").mkdir()
    numbers: Iterator[int] = count()
    return lambda: tmp_path / "tmp" / f"{next(numbers)}.tmp"


def content(path: Path) -> bytes:
    with open_ltx(path) as decoder:
        assert decoder.header.is_snapshot and decoder.header.node_id == 0
        assert decoder.header.wal_offset == 0
        return b"".join(page for _, page in decoder.pages())


def local(store: Store) -> list[Path]:
    database = store.require("a.db")
    return [database.ltx_path(*span) for span in database.ltx_files()]


def test_litefs_s_own_files_amount_to_a_snapshot_at_their_position(temporary: Callable[[], Path]) -> None:
    path = merge.snapshot_of(sorted((GOLDEN / "x.db").iterdir()), temporary)
    assert content(path)[:16] == b"SQLite format 3\0"
    with open_ltx(path) as decoder:
        assert len(list(decoder.pages())) == 2
        assert (decoder.header.max_txid, decoder.trailer.post_apply_checksum) == (
            GOLDEN_POS.txid,
            GOLDEN_POS.checksum,
        )


@pytest.mark.parametrize("together", [2, 3, 64])
def test_a_long_chain_is_merged_in_steps(
    served: Served,
    store: Store,
    temporary: Callable[[], Path],
    monkeypatch: pytest.MonkeyPatch,
    together: int,
) -> None:
    """With few files open at once, and each step's files gone after it."""
    monkeypatch.setattr(merge, "TOGETHER", together)
    insert(served, 12)
    path = merge.snapshot_of(local(store), temporary)
    assert content(path) == seen_by_sqlite(served)
    assert list(path.parent.iterdir()) == [path]


def test_a_change_of_the_page_size_begins_anew(
    served: Served, store: Store, temporary: Callable[[], Path]
) -> None:
    insert(served, 3)
    db = served.connect("a.db")
    db.executescript("PRAGMA page_size=8192; VACUUM; INSERT INTO t VALUES (99, 'after')")
    path = merge.snapshot_of(local(store), temporary)
    assert content(path) == seen_by_sqlite(served)
    assert merge.header_of(path).page_size == 8192
    assert list(path.parent.iterdir()) == [path]


def test_a_damaged_file_is_named_and_nothing_is_left(
    served: Served, store: Store, temporary: Callable[[], Path], tmp_path: Path
) -> None:
    insert(served, 4)
    paths = local(store)
    damaged = bytearray(paths[2].read_bytes())
    damaged[-1] ^= 1
    paths[2].write_bytes(damaged)
    with pytest.raises(LtxError, match=f"{paths[2].parent}.*{paths[2].stem}"):
        merge.snapshot_of(paths, temporary)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_whole_database_continues_another_history(
    served: Served, store: Store, temporary: Callable[[], Path]
) -> None:
    insert(served, 2)
    whole, out = temporary(), temporary()
    info = store.snapshot("a.db", whole)
    header = merge.continuation(info.header, 1, 1 << 63 | 5, compress=True)
    with open(out, "wb") as file:
        trailer = merge.begun_anew(whole, header, file.write)
    with open_ltx(out) as decoder:
        assert b"".join(page for _, page in decoder.pages()) == seen_by_sqlite(served)
        assert decoder.trailer == trailer
        assert (decoder.header.min_txid, decoder.header.pre_apply_checksum) == (2, 1 << 63 | 5)


def test_a_copy_is_the_same_bytes(served: Served, store: Store, temporary: Callable[[], Path]) -> None:
    insert(served)
    whole = temporary()
    store.snapshot("a.db", whole)
    parts: list[bytes] = []
    trailer = merge.copied(whole, parts.append)
    assert b"".join(parts) == whole.read_bytes() and whole.read_bytes().endswith(trailer.pack())
