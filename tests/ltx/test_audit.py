"""Every fault that is planted in a directory of LTX files is found, and named with what it means."""

import io
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pylitefs.errors import LtxError
from pylitefs.ltx.audit import Fault, audit
from pylitefs.ltx.checksum import CHECKSUM_FLAG, crc64
from pylitefs.ltx.compaction import compact_files
from pylitefs.ltx.decoder import Decoder
from pylitefs.ltx.encoder import encode
from pylitefs.ltx.formats import Format
from pylitefs.ltx.frame_encoder import FrameEncoder, encode_frames
from pylitefs.ltx.header import FLAG_NO_CHECKSUM, Header, parse_filename
from pylitefs.ltx.source import open_source
from tests.golden.recordings import DATA, REPLICA, recorded_databases
from tests.ltx.samples import PAGE, ChainBuilder, make_page

TRANSACTIONS = 24


def faults(folder: Path) -> list[Fault]:
    return audit(open_source(folder).files).faults


def path_of(folder: Path, level: int, first: int, last: int) -> Path:
    return folder / "ltx" / str(level) / f"{first:016x}-{last:016x}.ltx"


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A replica directory of ours: a database that grows and shrinks, in levels 0, 1, 2 and 9."""
    base, chance = tmp_path_factory.mktemp("replica"), random.Random(11)
    for level in (0, 1, 2, 9):
        (base / "ltx" / str(level)).mkdir(parents=True)
    size = 0
    for txid in range(1, TRANSACTIONS + 1):
        commit = 6 if txid == 1 else max(2, size + chance.choice((-3, 0, 0, 2, 3)))
        grown = set(range(size + 1, commit + 1))
        changed = sorted(grown | {one for one in range(1, min(size, commit) + 1) if chance.random() < 0.3})
        header = Header(FLAG_NO_CHECKSUM, PAGE, commit, txid, txid, 1000 * txid)
        pages = [(pgno, make_page(pgno, seed=txid)) for pgno in changed]
        path_of(base, 0, txid, txid).write_bytes(encode_frames(header, pages))
        size = commit
    for level, step in ((1, 3), (2, 6)):
        for first in range(1, TRANSACTIONS + 1, step):
            last = first + step - 1
            parts = [path_of(base, 0, txid, txid) for txid in range(first, last + 1)]
            compact_files(parts, path_of(base, level, first, last))
    for last in (1, 9, 20):
        parts = [path_of(base, 0, txid, txid) for txid in range(1, last + 1)]
        compact_files(parts, path_of(base, 9, 1, last))
    return base


def read(path: Path) -> tuple[Header, dict[int, bytes]]:
    decoder = Decoder(io.BytesIO(path.read_bytes()).read, any_format=True)
    return decoder.header, dict(decoder.pages())


def tear(path: Path, chance: random.Random) -> bool:
    data = path.read_bytes()
    path.write_bytes(data[: chance.randrange(len(data))])
    return True


def zero_the_end(path: Path, chance: random.Random) -> bool:
    data = path.read_bytes()
    length = chance.randrange(1, 60)
    path.write_bytes(data[:-length] + bytes(length))
    return True


def flip(path: Path, chance: random.Random) -> bool:
    """One bit; not if LZ4 reads the same of it, for then nothing is wrong."""
    before, data = read(path), bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    try:
        return read(path) != before
    except LtxError:
        return True


def append(path: Path, chance: random.Random) -> bool:
    with path.open("ab") as file:
        file.write(chance.randbytes(3))
    return True


def leave_a_page_out(path: Path, chance: random.Random) -> bool:
    """A hole, or a snapshot that is not whole: all its checksums are right."""
    header, pages = read(path)
    new = [pgno for pgno in pages if pgno > pages_before(path)]
    if not new:
        return False
    del pages[chance.choice(new)]
    path.write_bytes(sealed(header, pages))
    return True


def pages_before(path: Path) -> int:
    """The page count before a file's transactions."""
    span = parse_filename(path.name)
    assert span is not None
    before = path.parents[1] / "0" / f"{span[0] - 1:016x}-{span[0] - 1:016x}.ltx"
    return read(before)[0].commit if before.exists() else 0


def past_the_commit(path: Path, chance: random.Random) -> bool:
    header, pages = read(path)
    pages[header.commit + chance.randrange(1, 5)] = bytes(PAGE)
    path.write_bytes(sealed(header, pages))
    return True


def another_s_content(path: Path, chance: random.Random) -> bool:
    others = [one for one in path.parents[1].rglob("*.ltx") if one.name != path.name]
    path.write_bytes(chance.choice(others).read_bytes())
    return True


def another_commit(path: Path, chance: random.Random) -> bool:
    """A level that disagrees with the one below, or a hole: the file is valid by itself."""
    header, pages = read(path)
    if path.parent.name == "0":
        return False
    commit = header.commit + 1
    path.write_bytes(sealed(replace(header, commit=commit), {**pages, commit: bytes(PAGE)}))
    return True


def sealed(header: Header, pages: dict[int, bytes]) -> bytes:
    """A v3b file as the encoder would write it if it kept no rule."""
    out: list[bytes] = []
    lenient = replace(header, min_txid=max(2, header.min_txid), max_txid=max(2, header.max_txid))
    lenient = replace(lenient, commit=max([header.commit, *pages]))
    encoder = FrameEncoder(out.append, lenient)
    for pgno, page in sorted(pages.items()):
        encoder.encode_page(pgno, page)
    encoder.finish()
    data = bytearray(b"".join(out))
    data[:100] = header.pack()
    # The file's checksum over it as it is now.
    summed, at = bytes(data[:100]), 100
    for pgno, page in sorted(pages.items()):
        size = int.from_bytes(data[at + 6 : at + 10], "big")
        summed += bytes(data[at : at + 10]) + page
        at += 10 + size
        assert pgno
    data[-8:] = (crc64(summed + bytes(data[at:-8])) | CHECKSUM_FLAG).to_bytes(8, "big")
    return bytes(data)


KINDS: list[Callable[[Path, random.Random], bool]] = [
    tear, zero_the_end, flip, append, leave_a_page_out, past_the_commit, another_s_content, another_commit,
]  # fmt: skip


def test_nothing_is_wrong_with_what_is_right(replica: Path) -> None:
    """With ours, with Litestream's, and with what LiteFS recorded in each mode and page size."""
    assert faults(replica) == []
    assert faults(REPLICA) == []
    for one in recorded_databases():
        assert faults(one.dir) == [], one


def test_a_hundred_planted_faults_are_found(replica: Path) -> None:
    """Each in a directory that is right otherwise; a fault that names the file must be told."""
    chance, planted = random.Random(12), dict.fromkeys((kind.__name__ for kind in KINDS), 0)
    files = sorted(replica.rglob("*.ltx"))
    while sum(planted.values()) < 104:
        kind = min(KINDS, key=lambda one: planted[one.__name__])
        path = chance.choice(files)
        good = path.read_bytes()
        try:
            if not kind(path, chance):
                continue
            found = faults(replica)
        finally:
            path.write_bytes(good)
        named = [fault for fault in found if fault.file.path == str(path)]
        assert named, (kind.__name__, path, found)
        assert all(fault.means for fault in named), named
        planted[kind.__name__] += 1
    assert faults(replica) == []


def test_each_file_that_is_missing_within_a_level_is_a_gap(replica: Path, tmp_path: Path) -> None:
    """Named with the TXIDs and the file that comes after, and what is lost by it."""
    count = 0
    for level, step in ((0, 1), (1, 3), (2, 6)):
        for first in range(1 + step, TRANSACTIONS - step + 1, step):
            path = path_of(replica, level, first, first + step - 1)
            moved = path.rename(tmp_path / "moved")
            try:
                [fault] = faults(replica)
            finally:
                moved.rename(path)
            assert (fault.kind, fault.file.min_txid, fault.file.level) == ("gap", first + step, level)
            assert f"TXIDs {first:016x}-{first + step - 1:016x} are missing" in fault.what
            if level == 0 and first % 3 and first != 20:
                lost = rf"Not to be restored any more: {first:016x}(-{first + 1:016x})?; later ones can"
                assert re.fullmatch(lost, fault.means), fault
            else:
                assert "every state can be restored" in fault.means, fault
            count += 1
    assert count == 22 + 6 + 2


def test_what_a_fault_means_for_a_restore(replica: Path, tmp_path: Path) -> None:
    """Which states read the file, and which of them can be had without it."""
    copy = tmp_path / "replica"
    shutil.copytree(replica, copy)
    path = path_of(copy, 2, 7, 12)
    path.write_bytes(path.read_bytes()[:-1])
    [fault] = faults(copy)
    assert (fault.kind, fault.means) == (
        "torn",
        "A restore to 000000000000000c-0000000000000013 reads it and fails; "
        "once it is moved away, other files lead there",
    )
    path_of(copy, 9, 1, 20).write_bytes(b"")
    for level in (1, 2):
        shutil.rmtree(copy / "ltx" / str(level))
    path_of(copy, 0, 22, 22).write_bytes(b"")
    first, second = faults(copy)
    assert first.means == (
        "A restore to 0000000000000014-0000000000000018 reads it and fails; "
        "once it is moved away, only 0000000000000016-0000000000000018 cannot be had"
    )
    assert second.means == (
        "A restore to 0000000000000016-0000000000000018 reads it and fails; without it no files lead there"
    )


def test_a_gap_between_levels_and_a_missing_beginning_are_told(replica: Path, tmp_path: Path) -> None:
    copy = tmp_path / "replica"
    shutil.copytree(replica, copy)
    for txid in range(1, 23):
        path_of(copy, 0, txid, txid).unlink()
    for first in range(16, 25, 3):
        path_of(copy, 1, first, first + 2).unlink()
    shutil.rmtree(copy / "ltx" / "2")
    [fault] = faults(copy)
    assert fault.kind == "unreachable" and "0000000000000015-0000000000000016 are missing" in fault.what
    shutil.rmtree(copy / "ltx" / "9")
    path_of(copy, 1, 1, 3).unlink()
    [fault] = faults(copy)
    assert "there is no beginning" in fault.what


def test_in_litefs_s_directories_the_checksums_tell_another_history(tmp_path: Path) -> None:
    """Each file is right by itself; the third continues another database."""
    chains = ChainBuilder(), ChainBuilder()
    for seed, chain in enumerate(chains):
        for txid in (1, 2, 3):
            chain.transaction({1: make_page(1, seed=seed), txid: make_page(txid, seed=seed)}, txid)
    for txid in (1, 2, 3):
        data = chains[txid == 3].files[txid - 1]
        (tmp_path / f"{txid:016x}-{txid:016x}.ltx").write_bytes(data)
    [fault] = faults(tmp_path)
    assert (fault.kind, fault.file.max_txid) == ("history", 3)
    assert "without it no files lead there" in fault.means


def test_a_page_size_that_changes_without_every_page_is_told(tmp_path: Path) -> None:
    first = Header(0, 512, 1, 1, 1, 0)
    page = make_page(1)
    data = encode(first, [(1, page)], CHECKSUM_FLAG | crc64(b"\0\0\0\1" + page))
    (tmp_path / f"{1:016x}-{1:016x}.ltx").write_bytes(data)
    pre = Decoder(io.BytesIO(data).read)
    list(pre.pages())
    second = Header(0, 1024, 2, 2, 2, 0, pre.trailer.post_apply_checksum)
    (tmp_path / f"{2:016x}-{2:016x}.ltx").write_bytes(encode(second, [(2, bytes(1024))], CHECKSUM_FLAG | 1))
    assert [fault.kind for fault in faults(tmp_path)] == ["page size"]


def test_an_older_format_is_checked_like_the_others(tmp_path: Path) -> None:
    shutil.copy(DATA / "formats" / "v2-bare-snapshot.ltx", tmp_path / f"{1:016x}-{1:016x}.ltx")
    shutil.copy(DATA / "formats" / "v3a-bare-transaction.ltx", tmp_path / f"{2:016x}-{2:016x}.ltx")
    assert faults(tmp_path) == []
    assert Format.V2.value == "v2"
