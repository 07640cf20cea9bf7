"""`pylitefs ltx restore`, as a person types it."""

import hashlib
import io
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pylitefs.cli.ltx import ltx
from pylitefs.http import client
from pylitefs.ltx.plan import HistoryFile
from pylitefs.ltx.restore import restore_files
from tests.conftest import ClusterFactory
from tests.golden.recordings import REPLICA, recorded_restores

RESTORES = recorded_restores()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(ltx, ["restore", *map(str, arguments)])


def test_the_newest_a_txid_and_a_time(tmp_path: Path) -> None:
    """The time is that of TXID b and a millisecond: what is strictly before it counts."""
    out = tmp_path / "out.db"
    for options, txid in (
        ((), 12),
        (("--txid", "a"), 10),
        (("--txid", f"{10:016x}"), 10),
        (("--time", "2026-11-27T03:34:19.597Z"), 11),
        (("--time", "2026-11-27T03:34:19.596"), 10),
        (("--time", "2026-11-27T04:34:19.5965+01:00"), 11),
    ):
        result = run(REPLICA, "-o", out, *options)
        assert result.exit_code == 0, result.output
        assert f"as it was after {txid:016x}" in result.stdout
        assert hashlib.sha256(out.read_bytes()).hexdigest() == RESTORES[txid][0]
        out.unlink()


def test_a_dry_run_shows_each_step_with_its_reason_and_writes_nothing(tmp_path: Path) -> None:
    result = run(REPLICA, "--dry-run", "--txid", "a", "-o", tmp_path / "out.db")
    assert result.exit_code == 0
    kind, _, *steps, last = result.stdout.splitlines()
    assert kind == f"{REPLICA} is a Litestream replica"
    assert [step.split()[1] for step in steps] == ["9", "2", "1", "0"]
    assert "the newest of 2 snapshots" in steps[0] and "reaches furthest" in steps[1]
    assert last.startswith("leads to 000000000000000a, 36,684 bytes")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--txid", "1", "--time", "2026-11-27"), "exclude each other"),
        ((), "say where to"),
        (("--txid", "xyz", "--dry-run"), "is no TXID"),
        (("--time", "noon", "--dry-run"), "is no time"),
    ],
)
def test_a_wrong_option_is_a_usage_error(options: tuple[str, ...], words: str) -> None:
    result = run(REPLICA, *options)
    assert (result.exit_code, words in result.stderr) == (2, True), result.output


def test_what_cannot_be_restored_is_one_line(tmp_path: Path) -> None:
    for arguments in ((tmp_path, "-o", tmp_path / "o"), (REPLICA, "--txid", "dd", "-o", tmp_path / "o")):
        result = run(*arguments)
        assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1), result.output
    assert not list(tmp_path.iterdir())


def test_a_gap_is_told_where_a_time_leads_only_before_it(tmp_path: Path) -> None:
    """Litestream restores silently what is before it."""
    folder = tmp_path / "ltx" / "0"
    folder.mkdir(parents=True)
    for txid in (1, 2, 4, 5):
        shutil.copy(REPLICA / "ltx" / "0" / f"{txid:016x}-{txid:016x}.ltx", folder)
    result = run(tmp_path, "-o", tmp_path / "o", "--time", "2026-11-27T03:33:56.595Z")
    assert result.exit_code == 0 and "after 0000000000000002" in result.stdout
    assert "TXIDs 0000000000000003-0000000000000003 are missing" in result.stderr


def test_a_file_that_goes_meanwhile_makes_a_new_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when compaction and retention go on: the next plan goes another way."""
    replica, out = tmp_path / "replica", tmp_path / "out.db"
    shutil.copytree(REPLICA, replica)
    (replica / "ltx" / "9" / f"{1:016x}-{12:016x}.ltx").unlink()
    gone: list[Path] = []

    def remove_first(files: list[HistoryFile], *arguments: object, **options: object) -> object:
        if not gone:
            gone.append(Path(files[0].path))
            gone[0].unlink()
        return restore_files(files, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("pylitefs.cli.ltx_restore.restore_files", remove_first)
    result = run(replica, "-o", out)
    assert result.exit_code == 0 and gone, result.output
    assert hashlib.sha256(out.read_bytes()).hexdigest() == RESTORES[12][0]


def test_compact_makes_one_file_and_says_what_is_in_it(tmp_path: Path) -> None:
    """The result restores to the same; files in the wrong order are one line."""
    folder = tmp_path / "ltx" / "9"
    folder.mkdir(parents=True)
    files = sorted((REPLICA / "ltx" / "0").iterdir())
    out = folder / f"{1:016x}-{12:016x}.ltx"
    result = CliRunner().invoke(ltx, ["compact", "-o", str(out), *map(str, files)])
    assert result.exit_code == 0, result.output
    assert f"{out}: 0000000000000001-000000000000000c, 4 pages from 12 files" in result.stdout
    assert run(tmp_path, "-o", tmp_path / "out.db").exit_code == 0
    assert hashlib.sha256((tmp_path / "out.db").read_bytes()).hexdigest() == RESTORES[12][0]
    result = CliRunner().invoke(ltx, ["compact", "-o", str(tmp_path / "x"), str(files[1]), str(files[0])])
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1), result.output
    assert not (tmp_path / "x").exists()


@pytest.mark.fuse
def test_a_running_node_s_directory_in_wal_mode(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    """Restored and verified while it runs; in a copy without its oldest files the database helps."""
    cluster = cluster_factory(replicas=0)
    with closing(sqlite3.connect(cluster.primary.database("a.db"), isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=wal")
        db.execute("CREATE TABLE t (x)")
        for number in range(20):
            db.execute("INSERT INTO t VALUES (?)", (number,))
        client.export(cluster.primary.url, "a.db", export := io.BytesIO())
        folder, copy = cluster.primary.data / "dbs" / "a.db", tmp_path / "copy"
        assert run(folder, "-o", tmp_path / "out.db").exit_code == 0
        assert (tmp_path / "out.db").read_bytes() == export.getvalue()
        shutil.copytree(folder, copy)
        assert (copy / "wal").stat().st_size > 0
    files = sorted((copy / "ltx").iterdir())
    for path in files[:-5]:
        path.unlink()
    newest = int(files[-1].name[:16], 16)
    verified = CliRunner().invoke(ltx, ["verify", "--deep", str(copy)])
    assert verified.exit_code == 0, verified.output
    result = run(copy, "--dry-run", "--txid", f"{newest - 2:x}")
    assert "none of these changed, nor any of the 2 later files" in result.stdout, result.output
    for txid, count in ((newest, 20), (newest - 2, 18)):
        out = tmp_path / f"{txid}.db"
        result = run(copy, "-o", out, "--txid", f"{txid:x}")
        assert result.exit_code == 0, result.output
        with closing(sqlite3.connect(f"file:{out}?immutable=1", uri=True)) as db:
            assert db.execute("SELECT count(*) FROM t").fetchone() == (count,)
    assert (tmp_path / f"{newest}.db").read_bytes() == export.getvalue()
