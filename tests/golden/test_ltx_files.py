"""Every LTX file that real LiteFS wrote is read, written again, applied and compacted."""

import io
import json
from pathlib import Path
from typing import Any

import lz4.frame
import pytest
from click.testing import CliRunner

from pylitefs.cli.ltx import ltx
from pylitefs.errors import LtxError
from pylitefs.ltx.apply import apply_files
from pylitefs.ltx.compaction import compact
from pylitefs.ltx.database import database_checksum
from pylitefs.ltx.decoder import Decoder, verify_file
from pylitefs.ltx.encoder import encode
from pylitefs.ltx.header import HEADER_SIZE, TRAILER_SIZE, parse_filename
from tests.golden.recordings import RecordedDatabase, recorded_databases, recorded_files

FILES = recorded_files()
DATABASES = recorded_databases()
each_file = pytest.mark.parametrize(
    ("path", "entry"), FILES, ids=["/".join(path.parts[-4:]) for path, _ in FILES]
)
each_database = pytest.mark.parametrize("database", DATABASES, ids=str)


@each_file
def test_it_decodes_to_what_the_manifest_says(path: Path, entry: dict[str, Any]) -> None:
    pgnos: list[int] = []
    header, trailer = verify_file(path, lambda pgno, _: pgnos.append(pgno))
    assert parse_filename(path.name) == (header.min_txid, header.max_txid)
    assert {
        "file": path.name,
        "size": path.stat().st_size,
        "flags": header.flags,
        "page_size": header.page_size,
        "commit": header.commit,
        "min_txid": header.min_txid,
        "max_txid": header.max_txid,
        "timestamp_ms": header.timestamp_ms,
        "pre_apply": f"{header.pre_apply_checksum:016x}",
        "wal_offset": header.wal_offset,
        "wal_size": header.wal_size,
        "wal_salt1": header.wal_salt1,
        "wal_salt2": header.wal_salt2,
        "node_id": f"{header.node_id:016X}",
        "post_apply": f"{trailer.post_apply_checksum:016x}",
        "file_checksum": f"{trailer.file_checksum:016x}",
        "pages": pgnos,
        "verify": "ok",
    } == entry


@each_file
def test_its_parts_encode_to_the_same_file(path: Path, entry: dict[str, Any]) -> None:
    """Byte for byte without LZ4; with it the same decompressed bytes and the same file checksum."""
    original = path.read_bytes()
    decoder = Decoder(io.BytesIO(original).read)
    pages = list(decoder.pages())
    again = encode(decoder.header, pages, decoder.trailer.post_apply_checksum)
    if decoder.header.is_compressed:
        assert again[:HEADER_SIZE] == original[:HEADER_SIZE]
        assert again[-TRAILER_SIZE:] == original[-TRAILER_SIZE:]
        assert again[HEADER_SIZE : HEADER_SIZE + 7] == original[HEADER_SIZE : HEADER_SIZE + 7]
        block = slice(HEADER_SIZE, -TRAILER_SIZE)
        assert lz4.frame.decompress(again[block]) == lz4.frame.decompress(original[block])
    else:
        assert again == original


@each_database
def test_applied_in_order_the_files_give_the_exported_database(
    database: RecordedDatabase, tmp_path: Path
) -> None:
    """After each file the database's checksum, computed from its bytes, is the post-apply checksum."""
    copy = tmp_path / "copy.db"
    for path, entry in zip(database.ltx_paths, database.manifest["ltx"], strict=True):
        pos = apply_files(copy, [path])
        assert str(pos) == f"{entry['max_txid']:016x}/{entry['post_apply']}"
        assert f"{database_checksum(copy):016x}" == entry["post_apply"]
    assert copy.read_bytes() == database.export


@each_database
def test_compacted_the_files_give_the_same_database(database: RecordedDatabase, tmp_path: Path) -> None:
    """As a whole, and in two halves."""
    paths = database.ltx_paths
    half = len(paths) // 2
    for number, groups in enumerate(([paths], [paths[:half], paths[half:]])):
        copy = tmp_path / f"copy{number}.db"
        for index, group in enumerate(group for group in groups if group):
            out = tmp_path / f"{number}-{index}.ltx"
            with open(out, "wb") as file:
                decoders = [Decoder(io.BytesIO(path.read_bytes()).read) for path in group]
                compact(decoders, file.write, compress=bool(number))
            header, _ = verify_file(out)
            first, last = parse_filename(group[0].name), parse_filename(group[-1].name)
            assert first and last and (header.min_txid, header.max_txid) == (first[0], last[1])
            apply_files(copy, [out])
        assert copy.read_bytes() == database.export


@each_file
def test_every_shorter_file_is_an_error_and_so_is_a_longer_one(path: Path, entry: dict[str, Any]) -> None:
    """At every length for the small ones, at 200 lengths for the others."""
    original = path.read_bytes()
    for length in range(0, len(original), max(1, len(original) // 200)):
        with pytest.raises(LtxError):
            _read(original[:length])
    with pytest.raises(LtxError):
        _read(original + b"\0")


def test_the_command_line_accepts_them_all_and_shows_their_fields() -> None:
    paths = [str(path) for path, _ in FILES]
    result = CliRunner().invoke(ltx, ["verify", *paths])
    assert result.exit_code == 0, result.output
    assert result.output.count(": ok, ") == len(paths)
    for path, entry in FILES[::7]:
        result = CliRunner().invoke(ltx, ["dump", "--json", str(path)])
        assert result.exit_code == 0, result.output
        assert {**json.loads(result.stdout), "verify": "ok"} == entry


def _read(data: bytes) -> None:
    decoder = Decoder(io.BytesIO(data).read)
    for _ in decoder.pages():
        pass
