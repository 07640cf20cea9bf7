"""A hundred followers of a lesson on real nodes, measured: how soon they have a step, and what that costs.

`pytest --full -s` prints the figures of docs/teaching.md. What is asserted is what only a hang breaks: every
follower has every entry, and the lecturer's steps wait for none of them.
"""

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median, quantiles

import pytest

from pylitefs.child_python import python_module
from pylitefs.lecture.language import lesson as lessons
from pylitefs.lecture.live.session import Session
from pylitefs.lecture.model import Dump, Entry
from pylitefs.lecture.recording import Head
from pylitefs.lecture.show.sharing import Sharing
from tests.house import ROOT

pytestmark = [pytest.mark.fuse, pytest.mark.full, pytest.mark.timeout(300)]

LESSON = "replica"
FOLLOWERS = 100


def step_through(folder: Path, emit: Callable[[Entry, Sequence[Dump]], None]) -> list[float]:
    """The lesson from its first step to its last; how long each took."""
    took: list[float] = []
    with Session(lessons.load(LESSON), folder, emit) as session:
        while True:
            began = time.monotonic()
            if not session.next():
                return took
            took.append(time.monotonic() - began)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_a_hundred_followers_have_each_step_soon(tmp_path: Path) -> None:
    """And the lecturer's steps take as long as without them."""
    step_through(tmp_path / "warm", lambda entry, dumps: None)
    told: dict[int, float] = {}
    stops: list[int] = []
    sharing = Sharing(Head.of(lessons.load(LESSON)).to_json(), ("127.0.0.1", 0))
    sharing.start()

    def emit(entry: Entry, dumps: Sequence[Dump]) -> None:
        sharing.emit(entry, dumps)
        told[entry.seq] = time.monotonic()
        stops.extend([entry.seq] if entry.stop else [])

    program = python_module("tests.lecture.followers_load")
    try:
        assert sharing.pid
        many = subprocess.Popen(
            [*program, str(sharing.port), sharing.token, str(FOLLOWERS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(ROOT.parent)},
        )
        with many:
            assert many.stdin and many.stdout
            assert many.stdout.readline() == "there\n"
            before = cpu_s(sharing.pid)
            shared = step_through(tmp_path / "shared", emit)
            many.stdin.write(f"{max(told)}\n")
            many.stdin.close()
            followers = json.loads(many.stdout.readline())
            used = cpu_s(sharing.pid) - before
    finally:
        sharing.stop()
    alone = step_through(tmp_path / "alone", lambda entry, dumps: None)
    assert len(followers) == FOLLOWERS
    for one in followers:
        assert {int(seq) for seq in one["had"]} == set(told), "each has every entry"
    delays = [one["had"][str(seq)] - told[seq] for one in followers for seq in stops]
    last = [max(one["had"][str(seq)] for one in followers) - told[seq] for seq in stops]
    cuts = quantiles(delays, n=100)
    print(
        f"\n{LESSON}: {len(stops)} steps, {len(told)} entries, {FOLLOWERS} followers\n"
        f"a follower has a step after {cuts[49] * 1000:.0f} ms (p50), {cuts[98] * 1000:.0f} ms (p99)\n"
        f"the last of them after {median(last) * 1000:.0f} ms (p50), {max(last) * 1000:.0f} ms (most)\n"
        f"the followers' server: {used:.2f} s of processor time, {used / len(stops) * 1000:.0f} ms a step; "
        f"{followers[0]['bytes'] / 1000:.0f} kB to each\n"
        f"the lecturer's steps: {sum(shared):.1f} s with them, {sum(alone):.1f} s without; "
        f"median {median(shared) * 1000:.0f} and {median(alone) * 1000:.0f} ms"
    )
    assert max(last) < 30
