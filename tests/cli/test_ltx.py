"""`pylitefs ltx`, as a person types it."""

import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pylitefs.cli.ltx import ltx
from pylitefs.ltx.database import database_checksum
from tests.ltx.samples import ChainBuilder, make_file, make_page


def run(*arguments: object) -> Result:
    return CliRunner().invoke(ltx, [str(argument) for argument in arguments])


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three transactions."""
    chain = ChainBuilder()
    paths = []
    for number in (1, 2, 3):
        path = tmp_path / f"{number}.ltx"
        changed = {pgno: make_page(pgno, seed=number) for pgno in range(number, number + 2)}
        path.write_bytes(chain.transaction(changed, number + 1, compress=number == 2))
        paths.append(path)
    return paths


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.ltx"
    path.write_bytes(make_file()[:-1])
    return path


@pytest.mark.parametrize("command", ["verify", "list"])
def test_a_bad_file_is_one_line_on_stderr_and_the_others_are_still_shown(
    command: str, files: list[Path], bad: Path, tmp_path: Path
) -> None:
    result = run(command, *files[:2], bad, tmp_path / "none.ltx", files[2])
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{bad}: ") and "torn" in lines[0]
    assert lines[1] == f"{tmp_path / 'none.ltx'}: No such file or directory"
    assert len(result.stdout.splitlines()) == (3 if command == "verify" else 4)
    assert run(command, *files).exit_code == 0


def test_no_file_is_a_usage_error() -> None:
    assert run("verify").exit_code == 2


def test_list_in_a_pipe_has_a_line_a_file_however_wide(files: list[Path]) -> None:
    head, *rows = run("list", *files).stdout.splitlines()
    assert head.split("  ")[0] == "min TXID"
    assert [row.split()[1] for row in rows] == ["0000000000000001", "0000000000000002", "0000000000000003"]
    one = json.loads(run("list", "--json", files[1]).stdout)
    assert (one["min_txid"], one["commit"], one["flags"]) == (2, 3, 1)


def test_dump_shows_the_fields(files: list[Path], bad: Path) -> None:
    text = run("dump", files[2]).stdout
    assert "min TXID             0000000000000003" in text
    assert "pages                2: 3-4" in text
    facts = json.loads(run("dump", "--json", files[2]).stdout)
    assert facts["pages"] == [3, 4]
    assert run("dump", "--json", "--hex", files[2]).exit_code == 2
    result = run("dump", bad)
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


def test_dump_hex_explains_every_byte_also_of_a_damaged_file(files: list[Path], bad: Path) -> None:
    text = run("dump", "--hex", files[0]).stdout
    assert "00000000  4c 54 58 31                                      magic: LTX1" in text
    assert "-- page 1 --" in text and "file checksum: " in text
    packed = run("dump", "--hex", files[1]).stdout
    assert "LZ4 content checksum" in packed and "The page block, decompressed" in packed
    result = run("dump", "--hex", bad)
    assert result.exit_code == 1
    assert "torn: 7 of 8 bytes" in result.stdout and "torn" in result.stderr


def test_apply_takes_all_files_or_none(files: list[Path], bad: Path, tmp_path: Path) -> None:
    database = tmp_path / "a.db"
    result = run("apply", "--db", database, files[0], bad)
    assert (result.exit_code, database.exists()) == (1, False)
    assert result.stderr.startswith(f"{bad}: ")
    result = run("apply", "--db", database, *files)
    assert result.exit_code == 0
    assert "3 applied, now at 0000000000000003/" in result.stdout
    result = run("apply", "--db", database, files[1])
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


def test_checksum_encode_and_apply_make_the_same_database(tmp_path: Path) -> None:
    origin, copy = tmp_path / "origin.db", tmp_path / "copy.db"
    database = sqlite3.connect(origin)
    database.execute("CREATE TABLE t AS SELECT randomblob(10000) AS a")
    database.close()
    expected = f"{database_checksum(origin):016x}"
    assert run("checksum", origin).stdout == f"{expected}\n"
    for option in ("--compress", "--no-compress"):
        out = tmp_path / f"out{option}.ltx"
        assert expected in run("encode-db", option, "-o", out, origin).stdout
        assert run("apply", "--db", copy, out).exit_code == 0
        assert copy.read_bytes() == origin.read_bytes()
        copy.unlink()


def test_what_is_no_database_is_one_line(tmp_path: Path, bad: Path) -> None:
    for arguments in (("checksum", bad), ("encode-db", "-o", tmp_path / "o.ltx", bad), ("checksum", "none")):
        result = run(*arguments)
        assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1), result.output
    assert not (tmp_path / "o.ltx").exists()
