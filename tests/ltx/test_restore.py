"""A restored database is byte for byte what it was, and whole or not there."""

import hashlib
import random
import tracemalloc
from pathlib import Path

import pytest

from pylitefs.errors import BusyError, HistoryGoneError, LtxChecksumError, LtxError, RestoreError
from pylitefs.ltx.frame_encoder import FrameEncoder, encode_frames
from pylitefs.ltx.header import FLAG_NO_CHECKSUM, Header
from pylitefs.ltx.plan import HistoryFile, plan_restore
from pylitefs.ltx.restore import Base, restore_files
from pylitefs.ltx.source import open_source, plan_source
from tests.golden.recordings import REPLICA, RecordedDatabase, recorded_databases, recorded_restores
from tests.ltx.samples import PAGE, ChainBuilder, make_page

RESTORES = recorded_restores()


def restored(source: Path, out: Path, **to: int) -> bytes:
    plan = plan_restore(open_source(source).files, **to)
    restore_files([step.file for step in plan.steps], out)
    data = out.read_bytes()
    out.unlink()
    return data


@pytest.mark.parametrize("txid", sorted(RESTORES))
def test_it_is_what_litestream_restored_at_each_txid(txid: int, tmp_path: Path) -> None:
    """By the SHA-256 that was recorded, through a commit that grows and a VACUUM that shrinks."""
    digest, size = RESTORES[txid]
    data = restored(REPLICA, tmp_path / "out.db", txid=txid)
    assert (hashlib.sha256(data).hexdigest(), len(data)) == (digest, size)


def test_each_level_alone_leads_to_the_same(tmp_path: Path) -> None:
    """Whichever way a plan takes."""
    for level, txids in ((0, range(1, 13)), (1, (1, 2, 3, 4, 5, 7, 8, 9, 11)), (2, (1, 5, 8, 11))):
        files = [file for file in open_source(REPLICA).files if file.level == level]
        for txid in txids:
            steps = plan_restore(files, txid=txid).steps
            restore_files([step.file for step in steps], tmp_path / "out.db")
            assert hashlib.sha256((tmp_path / "out.db").read_bytes()).hexdigest() == RESTORES[txid][0]
            (tmp_path / "out.db").unlink()


@pytest.mark.parametrize("recorded", [one for one in recorded_databases() if one.export], ids=str)
def test_a_litefs_database_s_files_lead_to_its_export(recorded: RecordedDatabase, tmp_path: Path) -> None:
    """Of real LiteFS, plain and compressed, with page sizes and modes as recorded."""
    assert restored(recorded.dir, tmp_path / "out.db") == recorded.export


def test_random_histories_are_restored_at_each_transaction(tmp_path: Path) -> None:
    """Growing and shrinking, plain and LZ4; each state's database checksum is compared too."""
    chance = random.Random(5)
    folder, chain, states = tmp_path / "ltx", ChainBuilder(), {}
    folder.mkdir()
    for txid in range(1, 31):
        commit = chance.randint(1, 12)
        new = set(range(1 if txid == 1 else len(chain.pages) + 1, commit + 1))
        changed = new | set(chance.sample(range(1, commit + 1), chance.randint(1, commit)))
        data = chain.transaction(
            {pgno: make_page(pgno, seed=txid) for pgno in changed}, commit, compress=txid % 2 == 0
        )
        (folder / f"{txid:016x}-{txid:016x}.ltx").write_bytes(data)
        states[txid] = chain.database
    for txid, state in states.items():
        assert restored(tmp_path, tmp_path / "out.db", txid=txid) == state


def write(folder: Path, txid: int, commit: int, pgnos: list[int]) -> HistoryFile:
    header = Header(FLAG_NO_CHECKSUM, PAGE, commit, txid, txid, 0)
    data = encode_frames(header, [(pgno, make_page(pgno, seed=txid)) for pgno in pgnos])
    path = folder / f"{txid:016x}-{txid:016x}.ltx"
    path.write_bytes(data)
    return HistoryFile(0, txid, txid, len(data), 0, str(path))


def test_a_hole_is_an_error_also_where_an_old_page_would_fill_it(tmp_path: Path) -> None:
    """Page 3 was cut off, and the file that grows over it has left it out: the old one is not it."""
    files = [
        write(tmp_path, 1, 3, [1, 2, 3]),
        write(tmp_path, 2, 1, [1]),
        write(tmp_path, 3, 4, [1, 2, 4]),
    ]
    with pytest.raises(RestoreError, match="hole: page 3 of 4"):
        restore_files(files, tmp_path / "out.db")
    assert sorted(tmp_path.iterdir()) == sorted(Path(file.path) for file in files), "nothing is left"


def test_a_damaged_file_or_one_of_another_name_leaves_no_file(tmp_path: Path) -> None:
    files = [write(tmp_path, 1, 2, [1, 2]), write(tmp_path, 2, 2, [2])]
    path = Path(files[1].path)
    good = path.read_bytes()
    path.write_bytes(good[:-30] + bytes([good[-30] ^ 1]) + good[-29:])
    with pytest.raises(LtxError, match=path.name):
        restore_files(files, tmp_path / "out.db")
    path.write_bytes(Path(files[0].path).read_bytes())
    with pytest.raises(LtxError, match="another file's name"):
        restore_files(files, tmp_path / "out.db")
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_there_is_not_overwritten_and_what_was_dropped_is_not_made(tmp_path: Path) -> None:
    chain, folder = ChainBuilder(), tmp_path / "ltx"
    folder.mkdir()
    for txid, pages in ((1, {1: make_page(1)}), (2, {})):
        data = chain.transaction(pages, len(pages))
        (folder / f"{txid:016x}-{txid:016x}.ltx").write_bytes(data)
    with pytest.raises(RestoreError, match="dropped in TXID 0000000000000002"):
        restored(tmp_path, tmp_path / "out.db")
    (tmp_path / "out.db").write_bytes(b"mine")
    with pytest.raises(RestoreError, match="is there already"):
        restored(tmp_path, tmp_path / "out.db", txid=1)
    assert (tmp_path / "out.db").read_bytes() == b"mine"


def test_a_file_of_another_history_is_found_by_the_database_s_checksum(tmp_path: Path) -> None:
    folder = tmp_path / "ltx"
    folder.mkdir()
    chains = ChainBuilder(), ChainBuilder()
    for seed, chain in enumerate(chains):
        chain.transaction({1: make_page(1, seed=seed), 2: make_page(2, seed=seed)}, 2)
        chain.transaction({1: make_page(1, seed=9)}, 2)
    for txid, data in ((1, chains[0].files[0]), (2, chains[1].files[1])):
        (folder / f"{txid:016x}-{txid:016x}.ltx").write_bytes(data)
    with pytest.raises(LtxChecksumError, match="another history"):
        restored(tmp_path, tmp_path / "out.db")


def test_a_large_restore_takes_a_few_mib_of_memory(tmp_path: Path) -> None:
    """32 MiB of pages from a snapshot and twenty files over it."""
    size, pages = 65536, 512
    noise = random.Random(1).randbytes(size)
    files = []
    for txid in range(1, 22):
        pgnos = range(1, pages + 1) if txid == 1 else range(txid, pages + 1, 40)
        path = tmp_path / f"{txid:016x}-{txid:016x}.ltx"
        with open(path, "wb") as file:
            encoder = FrameEncoder(file.write, Header(FLAG_NO_CHECKSUM, size, pages, txid, txid, 0))
            for pgno in pgnos:
                encoder.encode_page(pgno, txid.to_bytes(4, "big") + noise[4:])
            encoder.finish()
        files.append(HistoryFile(0, txid, txid, path.stat().st_size, 0, str(path)))
    tracemalloc.start()
    try:
        result = restore_files(files, tmp_path / "out.db")
        assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert (result.size, result.files_read) == (size * pages, 21)
    with open(tmp_path / "out.db", "rb") as out:
        out.seek((81 - 1) * size)
        assert int.from_bytes(out.read(4), "big") == 1
        out.seek((82 - 1) * size)
        assert int.from_bytes(out.read(4), "big") == 2


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, dict[int, bytes]]:
    """A node's directory whose oldest files are gone: TXIDs 11 to 20, the database beside; all states."""
    chance, chain, states = random.Random(8), ChainBuilder(), {}
    folder = tmp_path / "a.db"
    (folder / "ltx").mkdir(parents=True)
    for txid in range(1, 21):
        size = len(chain.pages)
        commit = 30 if txid == 1 else max(20, size + chance.choice((-2, 0, 0, 3)))
        changed = set(range(size + 1, commit + 1)) | {1, 2 if txid < 15 else 3}
        data = chain.transaction({pgno: node_page(pgno, txid, commit) for pgno in changed}, commit)
        states[txid] = chain.database
        if txid > 10:
            (folder / "ltx" / f"{txid:016x}-{txid:016x}.ltx").write_bytes(data)
    (folder / "database").write_bytes(chain.database)
    return folder, states


def node_page(pgno: int, txid: int, commit: int) -> bytes:
    """Page 1 begins with a header of SQLite's, as a database is opened by it."""
    page = bytearray(make_page(pgno, seed=txid))
    if pgno == 1:
        page[:100] = bytes(100)
        page[:21] = b"SQLite format 3\0" + bytes((2, 0, 1, 1, 0))
        page[21:24] = bytes((64, 32, 32))
        page[24:28] = page[92:96] = txid.to_bytes(4, "big")
        page[28:32] = commit.to_bytes(4, "big")
        page[44:48] = page[56:60] = (1).to_bytes(4, "big")
    return bytes(page)


def back(folder: Path, out: Path, txid: int) -> bytes:
    source = open_source(folder)
    plan = plan_source(source, txid=txid)
    assert source.database is not None and plan.later is not None
    restore_files([step.file for step in plan.steps], out, base=Base(source.database, plan.later))
    data = out.read_bytes()
    out.unlink()
    return data


def test_where_the_oldest_files_are_gone_the_database_has_the_rest(
    kept: tuple[Path, dict[int, bytes]], tmp_path: Path
) -> None:
    """Each state whose pages are all there still is restored; of any other it is said which page is gone."""
    folder, states = kept
    restored_ones, gone = [], []
    for txid in range(11, 21):
        try:
            assert back(folder, tmp_path / "out.db", txid) == states[txid]
            restored_ones.append(txid)
        except HistoryGoneError as error:
            assert f"after {txid:016x} is not in the history any more" in str(error)
            gone.append(txid)
    assert restored_ones[-1] == 20 and len(restored_ones) > 3, (restored_ones, gone)
    assert gone and max(gone) < 15, "page 3 as it was before TXID 15 is in no file"


def test_a_database_that_changed_meanwhile_is_found_by_its_checksum(
    kept: tuple[Path, dict[int, bytes]], tmp_path: Path
) -> None:
    """As when the node commits while it is read; a transaction under way is told."""
    folder, states = kept
    data = bytearray(states[20])
    data[7 * PAGE] ^= 1
    (folder / "database").write_bytes(data)
    with pytest.raises(LtxChecksumError, match="changed meanwhile, try again"):
        back(folder, tmp_path / "out.db", 20)
    (folder / "journal").write_bytes(bytes.fromhex("d9d505f920a163d7").ljust(512, b"\0"))
    with pytest.raises(BusyError, match="within a transaction"):
        back(folder, tmp_path / "out.db", 20)
    assert not (tmp_path / "out.db").exists()
