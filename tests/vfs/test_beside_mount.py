"""The same program on a mount and without one: each commit's LTX file is the same, byte for byte.

The client is APSW on both, so it is the same SQLite. A node's own marks in a header (when, and by whom) are
put aside; so is where in a WAL a transaction lies, since SQLite takes its salts at random.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from pylitefs.ltx.decoder import open_ltx
from pylitefs.ltx.header import Header
from pylitefs.vfs.front import Front
from tests.mount.conftest import Mounted
from tests.store.support import opened
from tests.vfs.random_program import prepare, steps

pytestmark = pytest.mark.fuse


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mounted]:
    mounted = Mounted(tmp_path / "data", tmp_path / "mnt")
    try:
        mounted.ask("start")
        yield mounted
    finally:
        mounted.end()


def run(db: apsw.Connection, seed: int, length: int, mode: str, locking: str) -> None:
    """The program of that seed, in that mode."""
    prepare(db, seed, mode, locking)
    for piece in steps(seed, length):
        for sql in piece:
            db.execute(sql).fetchall()


def files(directory: Path) -> Iterator[tuple[Header, list[tuple[int, bytes]], int]]:
    """Header, pages and resulting checksum of each LTX file, in order."""
    for path in sorted(directory.glob("*.ltx")):
        with open_ltx(path) as decoder:
            pages = list(decoder.pages())
            header = replace(
                decoder.header, timestamp_ms=0, node_id=0, wal_offset=0, wal_size=0, wal_salt1=0, wal_salt2=0
            )
            yield header, pages, decoder.trailer.post_apply_checksum


def compare(mount: Mounted, folder: Path, seed: int, length: int, mode: str) -> None:
    with closing(apsw.Connection(str(mount.dir / "a.db"))) as db:
        run(db, seed, length, mode, "normal")
    with opened(folder / "vfs") as store:
        front = Front(store)
        with closing(front.connect("a.db")) as db:
            run(db, seed, length, mode, "exclusive" if mode == "wal" else "normal")
        front.close()
    on_mount = list(files(mount.data_dir / "dbs/a.db/ltx"))
    here = list(files(folder / "vfs/dbs/a.db/ltx"))
    assert len(on_mount) == len(here) > length // 2
    for one, other in zip(on_mount, here, strict=True):
        assert one == other, one[0].max_txid


@pytest.mark.parametrize(("seed", "mode"), [(2, "delete"), (5, "wal")])
def test_each_commit_is_the_same_ltx_file_as_on_a_mount(
    mount: Mounted, tmp_path: Path, seed: int, mode: str
) -> None:
    compare(mount, tmp_path, seed, 15, mode)


@pytest.mark.full
@pytest.mark.parametrize("mode", ["delete", "truncate", "persist", "wal"])
@pytest.mark.parametrize("seed", range(300, 304))
def test_longer_programs_too(mount: Mounted, tmp_path: Path, seed: int, mode: str) -> None:
    compare(mount, tmp_path, seed, 100, mode)
