"""`pylitefs ltx verify DIR`, as a person types it."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from click.testing import CliRunner, Result

from pylitefs.cli.ltx import ltx
from pylitefs.ltx.database import encode_database
from tests.golden.recordings import REPLICA, recorded_databases


def run(*arguments: object) -> Result:
    return CliRunner().invoke(ltx, ["verify", *map(str, arguments)])


def test_a_directory_that_is_right_is_one_line(tmp_path: Path) -> None:
    result = run(REPLICA)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        f"{REPLICA}: ok; a Litestream replica, 29 files, TXIDs 0000000000000001-000000000000000c\n"
    )
    assert run(REPLICA, REPLICA / "ltx" / "0" / f"{1:016x}-{1:016x}.ltx").stdout.count(": ok") == 2
    result = run(tmp_path)
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


def test_a_fault_is_a_line_with_file_txids_and_meaning(tmp_path: Path) -> None:
    replica = tmp_path / "replica"
    shutil.copytree(REPLICA, replica)
    torn = replica / "ltx" / "0" / f"{10:016x}-{10:016x}.ltx"
    torn.write_bytes(torn.read_bytes()[:-5])
    (replica / "ltx" / "1" / f"{8:016x}-{8:016x}.ltx").unlink()
    result = run(replica)
    assert result.exit_code == 1
    first, second = result.stderr.splitlines()
    assert first.startswith(f"{torn}: ") and "is torn" in first
    assert "A restore to 000000000000000a reads it and fails; without it no files lead there" in first
    assert "TXIDs 0000000000000008-0000000000000008 are missing before it in level 1" in second
    assert second.endswith("Other levels have them: every state can be restored")
    assert "2 faults" in result.stdout


def test_deep_restores_every_state_and_sqlite_judges_it(tmp_path: Path) -> None:
    """A page that is whole and wrong is found so alone."""
    assert "12 states restored and checked" in run("--deep", REPLICA).stdout
    [dropped, *_] = [one for one in recorded_databases() if not one.export]
    assert run("--deep", dropped.dir).exit_code == 0
    with closing(sqlite3.connect(tmp_path / "a.db")) as db:
        db.execute("CREATE TABLE t (x)")
        db.executemany("INSERT INTO t VALUES (?)", [(number,) for number in range(999)])
        db.commit()
    data = bytearray((tmp_path / "a.db").read_bytes())
    data[4096:4104] = bytes(8)
    (tmp_path / "a.db").write_bytes(data)
    folder = tmp_path / "files"
    folder.mkdir()
    encode_database(tmp_path / "a.db", folder / f"{1:016x}-{1:016x}.ltx")
    assert run(folder).exit_code == 0
    result = run("--deep", folder)
    assert result.exit_code == 1
    assert "the state after 0000000000000001 is damaged: " in result.stderr
