"""A large LTX file passes through encoder and decoder in constant memory."""

import contextlib
import random
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pylitefs.ltx.checksum import CHECKSUM_FLAG, EMPTY_CHECKSUM, page_checksum
from pylitefs.ltx.compaction import compact
from pylitefs.ltx.decoder import Decoder, open_ltx
from pylitefs.ltx.encoder import Encoder
from pylitefs.ltx.header import Header

PAGE_SIZE = 65536
PAGES = 2048  # 128 MiB
ALLOWED = 4 * 1024 * 1024


def generated_pages() -> Iterator[tuple[int, bytes]]:
    """Pages that LZ4 cannot do much about, one at a time."""
    noise = random.Random(1).randbytes(PAGE_SIZE)
    for pgno in range(1, PAGES + 1):
        yield pgno, pgno.to_bytes(4, "big") + noise[4:]


@pytest.fixture
def peak_memory() -> Iterator[Callable[[], int]]:
    """Bytes that Python allocated at most since the start of the test."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("compress", [False, True])
def test_a_snapshot_of_128_mib_takes_a_few_mib_of_memory(
    compress: bool, tmp_path: Path, peak_memory: Callable[[], int]
) -> None:
    """Python's own allocations at their peak, and the process's resident memory on the way."""
    path, checksum = tmp_path / "snapshot.ltx", EMPTY_CHECKSUM
    start, resident = resident_bytes(), 0
    with open(path, "wb", buffering=0) as file:
        encoder = Encoder(file.write, Header(int(compress), PAGE_SIZE, PAGES, 1, 1, 0))
        for pgno, page in generated_pages():
            encoder.encode_page(pgno, page)
            checksum ^= page_checksum(pgno, page)
            if pgno % 256 == 0:
                resident = max(resident, resident_bytes())
        encoder.finish(checksum | CHECKSUM_FLAG)
    with open_ltx(path) as decoder:
        for expected, got in zip(generated_pages(), decoder.pages(), strict=True):
            assert got == expected
            if got[0] % 256 == 0:
                resident = max(resident, resident_bytes())
    assert peak_memory() < ALLOWED
    assert resident - start < 4 * ALLOWED


def test_an_lz4_frame_that_swells_takes_a_few_mib_of_memory(peak_memory: Callable[[], int]) -> None:
    """128 MiB of zeros are half a MiB compressed; they are not held at once."""
    out: list[bytes] = []
    encoder = Encoder(out.append, Header(1, PAGE_SIZE, PAGES, 2, 2, 0, CHECKSUM_FLAG))
    zeros = bytes(PAGE_SIZE)
    for pgno in range(1, PAGES + 1):
        encoder.encode_page(pgno, zeros)
    encoder.finish(CHECKSUM_FLAG)
    data = memoryview(b"".join(out))
    assert len(data) < 1024 * 1024
    at = 0

    def read(size: int) -> bytes:
        nonlocal at
        at += size
        return bytes(data[at - size : at])

    assert sum(1 for _ in Decoder(read).pages()) == PAGES
    assert peak_memory() < ALLOWED


def test_compaction_holds_a_page_a_file(tmp_path: Path, peak_memory: Callable[[], int]) -> None:
    pages = 512
    paths = [tmp_path / f"{txid}.ltx" for txid in (2, 3, 4)]
    for txid, path in zip((2, 3, 4), paths, strict=True):
        with open(path, "wb") as file:
            encoder = Encoder(file.write, Header(1, PAGE_SIZE, pages, txid, txid, 0, CHECKSUM_FLAG))
            for pgno, page in generated_pages():
                if pgno <= pages:
                    encoder.encode_page(pgno, page)
            encoder.finish(CHECKSUM_FLAG)
    written = 0

    def write(data: bytes) -> None:
        nonlocal written
        written += len(data)

    with contextlib.ExitStack() as stack:
        compact([stack.enter_context(open_ltx(path)) for path in paths], write)
    assert written > pages * PAGE_SIZE // 2
    assert peak_memory() < 2 * ALLOWED
