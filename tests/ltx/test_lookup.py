"""One page is found in a file of any format, and it is the one that the decoder gives."""

import io
import random
from pathlib import Path

import pytest

from pylitefs.errors import LtxError
from pylitefs.ltx.checksum import CHECKSUM_FLAG
from pylitefs.ltx.decoder import Decoder
from pylitefs.ltx.encoder import Encoder
from pylitefs.ltx.frame_encoder import FrameEncoder
from pylitefs.ltx.header import FLAG_LZ4, FLAG_NO_CHECKSUM, Header
from pylitefs.ltx.lookup import Library
from tests.ltx.samples import checksum_of, make_page

GOLDEN = sorted((Path(__file__).parents[1] / "golden" / "data").rglob("*.ltx"))


def write_file(
    path: Path, pgnos: list[int], *, form: str, snapshot: bool, page_size: int = 512
) -> dict[int, bytes]:
    """An LTX file with these pages, some of which compress well and some not at all."""
    flags = {"plain": 0, "lz4": FLAG_LZ4, "v3b": FLAG_NO_CHECKSUM}[form]
    pages = {pgno: make_page(pgno, page_size, seed=pgno % 3) for pgno in pgnos}
    before = 0 if snapshot or form == "v3b" else CHECKSUM_FLAG | 1
    header = Header(flags, page_size, pgnos[-1], 1 if snapshot else 9, 9, 0, before)
    with path.open("wb") as file:
        encoder = FrameEncoder(file.write, header) if form == "v3b" else Encoder(file.write, header)
        for pgno, page in pages.items():
            encoder.encode_page(pgno, page)
        encoder.finish(0 if form == "v3b" else checksum_of(pages))
    return pages


@pytest.mark.parametrize("form", ["plain", "lz4", "v3b"])
@pytest.mark.parametrize("snapshot", [True, False])
@pytest.mark.parametrize("count", [1, 3, 700])
def test_every_page_is_found_and_no_other(tmp_path: Path, form: str, snapshot: bool, count: int) -> None:
    rng = random.Random(count)
    pgnos = list(range(1, count + 1)) if snapshot else sorted(rng.sample(range(1, 3 * count + 9), count))
    pages = write_file(tmp_path / "file.ltx", pgnos, form=form, snapshot=snapshot)
    with Library() as library:
        file = library.file(tmp_path / "file.ltx")
        assert file.pgnos() == pgnos
        for pgno in [*pgnos, *range(pgnos[-1] + 3), 2**31]:
            assert file.page(pgno) == pages.get(pgno)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_recorded_files_give_the_decoder_s_pages(path: Path) -> None:
    """Those of LiteFS and of Litestream."""
    expected = dict(Decoder(io.BytesIO(path.read_bytes()).read, any_format=True).pages())
    with Library() as library:
        file = library.file(path)
        assert file.pgnos() == list(expected)
        assert {pgno: file.page(pgno) for pgno in expected} == expected


def test_a_page_of_a_large_snapshot_takes_a_few_reads(tmp_path: Path) -> None:
    """Not as many as the file has pages."""
    write_file(tmp_path / "file.ltx", list(range(1, 8001)), form="v3b", snapshot=True)
    with Library() as library:
        assert library.file(tmp_path / "file.ltx").page(4321)
        assert library.reads < 20


def test_what_is_damaged_is_an_error_with_the_path(tmp_path: Path) -> None:
    """Or is what it was: a flip in a page that is not asked for is not seen."""
    path = tmp_path / "file.ltx"
    for form in ("plain", "lz4", "v3b"):
        pages = write_file(path, list(range(1, 60)), form=form, snapshot=False)
        good = path.read_bytes()
        rng = random.Random(form)
        for _ in range(60):
            data = bytearray(good[: rng.randrange(100, len(good))] if rng.random() < 0.5 else good)
            data[rng.randrange(100, len(data)) if len(data) > 100 else 99] ^= 1 << rng.randrange(8)
            path.write_bytes(data)
            with Library() as library:
                try:
                    found = library.file(path).page(30)
                except LtxError as error:
                    assert str(path) in str(error)
                else:
                    assert found is None or len(found) == len(pages[30])
