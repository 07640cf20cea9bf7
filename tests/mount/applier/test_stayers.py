"""A reader that stays keeps the apply waiting, and costs the other readers next to nothing."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pylitefs.mount.applier.applier import Applier

from .support import Reader, Source, bump, make_rows

GAP_S = 0.01
MOST_REFUSED = 0.02

StartReader = Callable[..., Reader]


@pytest.mark.parametrize("seconds", [4.0, pytest.param(12.0, marks=pytest.mark.full)])
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_reader_that_stays_turns_nearly_nobody_away(
    *,
    applier: Applier,
    mount_dir: Path,
    tmp_path: Path,
    reader: StartReader,
    mode: str,
    seconds: float,
) -> None:
    """One read transaction stays open while an apply waits. Of the others' reads without a busy timeout
    less than 2 % are refused, with a timeout of 1 s none; and once it ends the apply gets in."""
    source = Source(tmp_path / "source", mode=mode)
    applier.apply("a.db", make_rows(source))
    holder = reader(mount_dir / "a.db", manual=True)
    holder.tell("begin")
    holder.tell("read")
    patient = reader(mount_dir / "a.db", timeout=1.0, gap=GAP_S)
    path = bump(source)
    thread = threading.Thread(target=lambda: applier.apply("a.db", path), daemon=True)
    thread.start()
    shares: list[float] = []
    while len(shares) < 3 and min(shares, default=1.0) >= MOST_REFUSED:
        # The applier may lose the processor while it keeps readers out: that is the machine's share.
        hasty = [reader(mount_dir / "a.db", timeout=0.0, gap=GAP_S) for _ in range(2)]
        time.sleep(seconds)  # This is what is tested.
        assert thread.is_alive() and holder.tell("read")["row"][2] == 0
        reports = [one.stop() for one in hasty]
        assert all(set(one["errors"]) <= {"database is locked"} for one in reports)
        refused = sum(sum(one["errors"].values()) for one in reports)
        shares.append(refused / (refused + sum(one["reads"] for one in reports)))
    print(f"{mode}, {seconds} s: {', '.join(f'{one:.1%}' for one in shares)} of the reads refused")
    assert min(shares) < MOST_REFUSED
    report = patient.stop()
    assert report["errors"] == {} and report["wrong"] == []
    holder.tell("end")
    thread.join(2)
    assert not thread.is_alive()
