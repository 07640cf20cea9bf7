"""An LZ4 frame is read in its middle, or said to be of another make."""

import random

import lz4.frame
import pytest

from pylitefs.errors import LtxChecksumError
from pylitefs.ltx.lz4_blocks import IrregularError, Lz4Blocks


def blocks_of(data: bytes) -> Lz4Blocks:
    return Lz4Blocks(lambda at, size: data[at : at + size], 0, len(data))


@pytest.mark.parametrize("size", [1, 65536, 65537, 300_000])
def test_any_run_of_bytes_is_what_was_compressed(size: int) -> None:
    rng = random.Random(size)
    content = rng.randbytes(size // 2) + bytes(size - size // 2)
    blocks = blocks_of(lz4.frame.compress(content, block_linked=False, block_size=4, store_size=False))
    assert blocks.size == size
    for _ in range(30):
        at, length = rng.randrange(size + 9), rng.randrange(100_000)
        assert blocks.read(at, length) == content[at : at + length]


def test_a_frame_of_another_make_is_told() -> None:
    for options in ({"block_linked": True}, {"store_size": True}):
        with pytest.raises(IrregularError):
            blocks_of(
                lz4.frame.compress(bytes(200_000), **{"store_size": False, "block_linked": False, **options})
            )
    compressor = lz4.frame.LZ4FrameCompressor(block_linked=False, auto_flush=True)
    short = compressor.begin() + compressor.compress(b"abc" * 9) + compressor.compress(b"d" * 99)
    short += compressor.flush()
    with pytest.raises(IrregularError):
        blocks_of(short).read(0, 99)


def test_a_frame_that_ends_early_is_an_error() -> None:
    data = lz4.frame.compress(bytes(200_000), block_linked=False, block_size=4, store_size=False)
    with pytest.raises(LtxChecksumError):
        blocks_of(data[: len(data) // 2])
