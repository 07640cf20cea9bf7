"""Compacted files do what the files did."""

import io
import random

import pytest

from pylitefs.errors import LtxChecksumError, LtxError, PositionMismatchError
from pylitefs.ltx.compaction import compact
from pylitefs.ltx.decoder import Decoder
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
