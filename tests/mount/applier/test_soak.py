"""Readers of every kind under everything that a primary can send, for a minute. Marked full."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pylitefs.mount.applier.applier import Applier

from .support import Reader, Source, bump, make_rows, wait_until

StartReader = Callable[..., Reader]


@pytest.mark.full
@pytest.mark.timeout(300)
def test_a_minute_of_everything(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader
) -> None:
    """VACUUM, growth, truncation, page sizes, modes, snapshots: no reader sees anything but transactions."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    choose = random.Random(seed)
    source = Source(tmp_path / "source", mode="wal")
    applier.apply("a.db", make_rows(source))
    mapped = 1 << 26
    readers = [
        reader(mount_dir / "a.db"),
        reader(mount_dir / "a.db", mmap=mapped),
        reader(mount_dir / "a.db", reconnect=True),
        reader(mount_dir / "a.db", reconnect=True, mmap=mapped),
        reader(mount_dir / "a.db", hold=0.01),
    ]
    number = 0
    end = time.monotonic() + 60
    while time.monotonic() < end:
        number += 1
        what = choose.random()
        if what < 0.03:
            source.set_mode(choose.choice(["delete", "wal"]))
        elif what < 0.05:
            (mode,) = source.db.execute("PRAGMA journal_mode").fetchone()
            source.set_mode("delete")
            source.db.execute(f"PRAGMA page_size={choose.choice([512, 4096, 16384])}")
            source.db.execute("VACUUM")
            source.set_mode(mode)
        elif what < 0.1:
            source.db.execute("DELETE FROM t WHERE id >= 24")
            source.db.execute("VACUUM")
        elif what < 0.2:
            source.db.execute("INSERT INTO t SELECT NULL, v, pad FROM t LIMIT 100")
        path = bump(source)
        if choose.random() < 0.03:
            source.txid -= 1
            path = source.capture(snapshot=True)
        applier.apply("a.db", path)
        path.unlink()
    assert number > 100
    for one in readers:
        wait_until(lambda one=one: one.tell("progress")["last"] == number, "the newest transaction")  # type: ignore[misc]
        report = one.stop()
        assert report["wrong"] == [], seed
        assert report["errors"] == {}, seed
    assert (mount_dir / "a.db").read_bytes() == source.content()
