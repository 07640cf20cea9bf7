"""Compacted files do what the files did."""

import io
import random
from pathlib import Path

import pytest

from pylitefs.errors import LtxChecksumError, LtxError, PositionMismatchError
from pylitefs.ltx.compaction import compact, compact_files
from pylitefs.ltx.decoder import Decoder
from pylitefs.ltx.formats import Format
from pylitefs.ltx.header import Header
from tests.golden.recordings import REPLICA
from tests.ltx.samples import PAGE, ChainBuilder, make_page, read_all


def compacted(files: list[bytes], compress: bool = False) -> bytes:
    out: list[bytes] = []
    compact([Decoder(io.BytesIO(data).read) for data in files], out.append, compress=compress)
    return b"".join(out)


def random_chain(seed: int, length: int = 8) -> tuple[ChainBuilder, list[bytes]]:
    """Transactions that grow and shrink a database, and the database after each."""
    chance, chain, states = random.Random(seed), ChainBuilder(), []
    for number in range(length):
        size = len(chain.pages)
        commit = max(1, size + chance.randint(-4, 4))
        grown = set(range(size + 1, commit + 1))
        others = {pgno for pgno in range(1, min(size, commit) + 1) if chance.random() < 0.3}
        changed = {pgno: make_page(pgno, seed=100 * seed + number) for pgno in grown | others}
        chain.transaction(changed, commit, compress=chance.random() < 0.5)
        states.append(chain.database)
    return chain, states


@pytest.mark.parametrize("seed", range(20))
def test_a_compacted_chain_from_the_start_is_the_database(seed: int) -> None:
    chain, states = random_chain(seed)
    for length in range(1, len(chain.files) + 1):
        header, pages, trailer = read_all(compacted(chain.files[:length], compress=bool(seed % 2)))
        assert b"".join(page for _, page in pages) == states[length - 1]
        assert (header.min_txid, header.max_txid) == (1, length)
        assert trailer.post_apply_checksum == read_all(chain.files[length - 1])[2].post_apply_checksum


@pytest.mark.parametrize("seed", range(20))
def test_a_compacted_middle_takes_the_database_from_before_it_to_after_it(seed: int) -> None:
    chain, states = random_chain(seed)
    header, pages, _ = read_all(compacted(chain.files[2:6]))
    assert (header.min_txid, header.max_txid) == (3, 6)
    assert header.pre_apply_checksum == read_all(chain.files[2])[0].pre_apply_checksum
    after = bytearray(states[1].ljust(header.commit * PAGE, b"\0"))
    for pgno, page in pages:
        after[(pgno - 1) * PAGE : pgno * PAGE] = page
    assert bytes(after[: header.commit * PAGE]) == states[5]


def test_two_halves_compacted_and_then_compacted_are_the_whole_compacted() -> None:
    chain, _ = random_chain(99)
    halves = [compacted(chain.files[:4]), compacted(chain.files[4:])]
    assert compacted(halves) == compacted(chain.files)


def test_a_compacted_file_keeps_the_node_id_only_of_a_single_node() -> None:
    chain, _ = random_chain(1, length=2)
    header = read_all(compacted(chain.files))[0]
    assert (header.node_id, header.wal_offset, header.timestamp_ms) == (7, 0, 1_700_000_000_002)


def test_files_that_do_not_follow_each_other_are_refused() -> None:
    chain, _ = random_chain(5, length=4)
    with pytest.raises(PositionMismatchError, match="does not follow"):
        compacted([chain.files[0], chain.files[2]])
    with pytest.raises(PositionMismatchError, match="does not follow"):
        compacted([chain.files[1], chain.files[0]])
    other, _ = random_chain(6, length=4)
    with pytest.raises(PositionMismatchError, match="different databases"):
        compacted([chain.files[0], other.files[1]])
    with pytest.raises(LtxError, match="nothing to compact"):
        compacted([])


def test_a_damaged_part_is_found() -> None:
    chain, _ = random_chain(7, length=3)
    damaged = bytearray(chain.files[0])
    damaged[150] ^= 1
    with pytest.raises(LtxChecksumError):
        compacted([bytes(damaged), *chain.files[1:]])


def test_a_change_of_page_size_is_refused() -> None:
    small, large = ChainBuilder(512), ChainBuilder(1024)
    small.transaction({1: make_page(1)}, 1)
    for number in (1, 2):
        large.transaction({1: make_page(1, 1024, number)}, 1)
    with pytest.raises(LtxError, match="page size changes from 512 to 1024"):
        compacted([small.files[0], large.files[1]])


LEVEL_0 = [REPLICA / "ltx" / "0" / f"{txid:016x}-{txid:016x}.ltx" for txid in range(1, 13)]


def any_format(data: bytes) -> tuple[Header, list[tuple[int, bytes]]]:
    decoder = Decoder(io.BytesIO(data).read, any_format=True)
    pages = list(decoder.pages())
    return decoder.header, pages


@pytest.mark.parametrize(
    "name",
    [path.relative_to(REPLICA / "ltx").as_posix() for path in sorted(REPLICA.glob("ltx/[12]/*.ltx"))],
)
def test_litestream_s_own_merges_are_made_again_from_its_level_0(name: str, tmp_path: Path) -> None:
    """Header and pages of each file of levels 1 and 2."""
    recorded = (REPLICA / "ltx" / name).read_bytes()
    header, pages = any_format(recorded)
    compact_files(LEVEL_0[header.min_txid - 1 : header.max_txid], tmp_path / "out.ltx")
    assert any_format((tmp_path / "out.ltx").read_bytes()) == (header, pages)


def test_what_litestream_lets_overlap_is_merged_and_a_gap_is_not(tmp_path: Path) -> None:
    """Where files have no checksums; the result begins with TXID 1, so it is a snapshot."""
    out = tmp_path / "out.ltx"
    one = REPLICA / "ltx" / "9" / f"{1:016x}-{5:016x}.ltx"
    two = REPLICA / "ltx" / "2" / f"{2:016x}-{5:016x}.ltx"
    three = REPLICA / "ltx" / "2" / f"{6:016x}-{8:016x}.ltx"
    compact_files([LEVEL_0[0], two, three], out)
    assert any_format(out.read_bytes())[0].is_snapshot
    compact_files([LEVEL_0[0], LEVEL_0[1], two, three], out)  # 2 lies in 2-5.
    with pytest.raises(PositionMismatchError, match="does not follow"):
        compact_files([one, two], out)  # 2-5 goes no further.
    with pytest.raises(PositionMismatchError, match="does not follow"):
        compact_files([LEVEL_0[0], three], out)
    assert list(tmp_path.iterdir()) == [out]


def test_litefs_s_files_become_one_for_litestream_and_not_the_other_way(tmp_path: Path) -> None:
    """Flag 0x2, no checksums, no node: what Litestream's own compactor takes."""
    chain, states = random_chain(7)
    paths = [tmp_path / f"{number}.ltx" for number in range(len(chain.files))]
    for path, data in zip(paths, chain.files, strict=True):
        path.write_bytes(data)
    out = tmp_path / "out.ltx"
    compact_files(paths, out, form=Format.V3B)
    header, pages = any_format(out.read_bytes())
    assert (header.flags, header.node_id, header.pre_apply_checksum) == (2, 0, 0)
    assert b"".join(page for _, page in pages) == states[-1]
    with pytest.raises(LtxError, match="needs the database's checksums"):
        compact_files([out], tmp_path / "v1.ltx", form=Format.V1)
    with pytest.raises(LtxError, match="v2 is read and not written"):
        compact_files(paths, tmp_path / "v2.ltx", form=Format.V2)
    assert not (tmp_path / "v1.ltx").exists() and not (tmp_path / "v2.ltx").exists()
