"""The simulator finds nothing on the code as it is, finds each fault that is put in, and is decided by its
seed."""

import errno
import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pylitefs.lecture.language.lesson import load
from tests.sim import seam
from tests.sim.clock import Clock
from tests.sim.disk import Disk, Killed
from tests.sim.history import run
from tests.sim.lesson import lesson
from tests.sim.mutants import MUTANTS, RARE, Mutant
from tests.sim.oracle import Oracle, Wrong
from tests.sim.program import SCHEMA, Step, draw
from tests.sim.scenarios import SCENARIOS, drawn, of
from tests.sim.shrink import kind_of, shrink

FEW = 50
"""Histories in one test: a tenth of a second of processor time each."""
PATIENCE_S = 60.0
"""Processor time of each of two processes for one mutant."""


def held(first: int, last: int) -> None:
    for seed in range(first, last):
        outcome = run(seed)
        if outcome.error is not None:
            again = " ".join(map(str, outcome.steps))
            outcome.error.add_note("\n".join(outcome.log[-12:]))
            outcome.error.add_note(f"python -m tests.sim --seed {seed} {again}")
            raise outcome.error


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "first",
    [*range(0, 200, FEW), *(pytest.param(one, marks=pytest.mark.full) for one in range(200, 2000, FEW))],
)
def test_what_must_hold_holds_in_drawn_histories(first: int) -> None:
    """Positions, bytes and rows agree after every step, every crash, and on every node in the end."""
    held(first, first + FEW)


def test_the_same_seed_is_the_same_history_to_the_byte() -> None:
    """In two processes, where strings have other hashes; the last line is a hash of every file. In some of
    them the primary changes, there are exports, and there is a backup."""
    seeds = (3, 7, 1, 12, 20)
    code = "from tests.sim.history import run\n" + "".join(
        f"print('\\n'.join(run({one}).log))\n" for one in seeds
    )
    one, other = (
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": hashes},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for hashes in ("7", "8")
    )
    assert one == other
    assert one[-1].startswith("the end: ")


def test_an_oracle_goes_on_from_the_new_primary_s_position() -> None:
    """What is newer never was; what the new primary had must be there, and what got no answer may be."""
    oracle = Oracle()
    texts = [[*SCHEMA], ["INSERT INTO t (x) VALUES (1)"], ["INSERT INTO t (x) VALUES (2)"]]
    for txid, text in enumerate(texts, 1):
        oracle.acknowledged(oracle.after(text), txid)
    _, one, two, three = oracle.all
    with pytest.raises(Wrong, match="up to TXID 2"):
        oracle.taken_over(one.rows, 2, "a.db")
    oracle.taken_over(two.rows, 2, "a.db")
    assert oracle.now is two and three not in oracle.all
    maybe = oracle.after(["DELETE FROM t"])
    oracle.unanswered(maybe)
    oracle.taken_over(maybe.rows, 5, "a.db")
    assert oracle.now is maybe


def test_a_fault_is_found_shrunk_and_told() -> None:
    """A mutant's history is shrunk to steps that go wrong in the same way by themselves; the lesson can be
    read."""
    mutant = next(one for one in MUTANTS if one.name == "a page of a transaction is left out")
    with mutant.applied():
        wrong = next(outcome for seed in range(20) if (outcome := run(seed)).error is not None)
        small = shrink(wrong, most=60)
        again = run(small.seed, small.steps)
    assert kind_of(again) == kind_of(wrong) == kind_of(small)
    assert len(small.steps) <= min(3, len(wrong.steps))
    assert run(small.seed, small.steps).error is None, "pylitefs itself is as it was"


def test_a_lesson_of_it_is_one(tmp_path: Path) -> None:
    """What the lecture would open."""
    path = tmp_path / "found.md"
    path.write_text(lesson(run(12)))
    assert len(load(path).steps) > 10


def test_a_step_is_written_and_read() -> None:
    """As a failure prints it, for the command line."""
    steps = draw(5)
    assert [Step.parse(str(one)) for one in steps] == steps
    assert steps == draw(5) != draw(6)


def test_each_scenario_is_drawn_and_so_are_histories_of_none() -> None:
    """A seed's scenario decides its steps, and nothing else does."""
    found = [of(seed) for seed in range(300)]
    assert {None, *(one.name for one in SCENARIOS)} == {one and one.name for one in found}
    assert [of(seed) for seed in range(300)] == found
    about = found.index(SCENARIOS[0])
    assert drawn(about) == drawn(about) != draw(about)
    assert drawn(found.index(None)) == draw(found.index(None))


def test_a_commit_that_wrote_nothing_does_not_rule_out_a_lost_one() -> None:
    """A client dies with its commit in the WAL. One that changes no row follows, and the power fails: SQLite
    finds the lost one."""
    steps = ("transaction:466726c5 loses:b0fa887c connect:427661a7 loses:824ac2a stream:3502ad0a "
             "both_power:20e4f55f")  # fmt: skip
    outcome = run(32, [Step.parse(one) for one in steps.split()])
    assert outcome.error is None, outcome.why


def test_what_a_killed_primary_had_told_nobody_counts_where_nobody_else_has_the_database() -> None:
    """It dies with a transaction in its LTX files. One that has nothing of the database leads meanwhile."""
    steps = "write:68b2a424 failover:246153e2 failover:48925a26"
    outcome = run(800181, [Step.parse(one) for one in steps.split()])
    assert outcome.error is None, outcome.why


def test_who_is_in_another_history_that_was_given_up_has_not_joined() -> None:
    """Two nodes have each made the same database anew; a third, which has neither, leads, and then the first
    one with its own. The second is not in that one's history, and is not asked before it has joined it."""
    steps = ("write:8ef7c929 failover:f0756785 transaction:8fd07c29 failover:bbdd4bbf stream:da1a38bb "
             "failover:2fab812b failover:b3733d33")  # fmt: skip
    outcome = run(909165, [Step.parse(one) for one in steps.split()])
    assert outcome.error is None, outcome.why


MENDED = {
    "a name that a killed node gave is not durable at the start": (
        905343,
        "handoff:ee40f5d0 burst:43046555 dies:ffb586c8",
    ),
    "of an old WAL the checksums alone tell": (
        909919,
        "transaction:624fcd3 dies:c0ab07c1 savepoint:c9c065ce work:1 transaction:a5d2f34 work:1 stream:11 "
        "stream:12 stream:13 stream:14 failover:69bb2803 write:ec1d7da0 work:87b0b125 returns:76ce2ef "
        "stream:d7210dff stream:77330bdb",
    ),
}
"""Histories that found defects which drawn ones find now and then, by the mutant that puts them in again."""


@pytest.mark.parametrize("name", MENDED)
def test_what_was_mended_is_found_where_it_is_put_in_again(name: str) -> None:
    mutant = next(one for one in RARE if one.name == name)
    if "WAL" in name and sqlite3.sqlite_version_info[:2] != (3, 40):
        pytest.skip(f"SQLite {sqlite3.sqlite_version} may leave no frames without checksums")
    seed, text = MENDED[name]
    steps = [Step.parse(one) for one in text.split()]
    outcome = run(seed, steps)
    assert outcome.error is None, outcome.why
    with mutant.applied():
        assert run(seed, steps).error is not None


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    (tmp_path / "data").mkdir()
    return Disk(tmp_path / "data", lambda: 0)


def write(path: Path, data: bytes, *, sync: bool = True) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, data, 0)
    if sync:
        os.fsync(fd)
    os.close(fd)


def test_a_power_failure_keeps_what_was_synced_and_any_part_of_the_rest(disk: Disk) -> None:
    """By sectors; and a killed process keeps everything."""
    found = set()
    for seed in range(40):
        with seam.replaced(Clock(), random.Random(seed)):
            seam.attach(disk)
            path = disk.root / f"file{seed}"
            write(path, b"a" * 2048)
            write(path, b"b" * 2048, sync=False)
            assert path.read_bytes() == b"b" * 2048
            disk.power_failure(random.Random(seed))
            sectors = path.read_bytes()
            assert {sectors[at : at + 512] for at in range(0, 2048, 512)} <= {b"a" * 512, b"b" * 512}
            found.add(sectors[::512])
    assert {b"aaaa", b"bbbb"} < found, "torn ones are among them"


def test_a_sector_stays_as_it_was_at_some_moment(disk: Disk) -> None:
    """The kernel writes it with all that was written to it: no later half without the earlier."""
    found = set()
    for seed in range(60):
        with seam.replaced(Clock(), random.Random(seed)):
            seam.attach(disk)
            path = disk.root / f"file{seed}"
            write(path, b"a" * 512)
            fd = os.open(path, os.O_RDWR)
            os.pwrite(fd, b"b" * 100, 0)
            os.pwrite(fd, b"c" * 100, 100)
            os.close(fd)
            disk.power_failure(random.Random(seed))
            found.add(path.read_bytes()[:200:100])
    assert found == {b"aa", b"ba", b"bc"}


def test_what_is_written_after_a_cut_that_is_lost_is_lost_where_it_cut(disk: Disk) -> None:
    """The file's old blocks stay its own, and the new ones are elsewhere."""
    found = set()
    for seed in range(60):
        with seam.replaced(Clock(), random.Random(seed)):
            seam.attach(disk)
            path = disk.root / f"file{seed}"
            write(path, b"a" * 1024)
            fd = os.open(path, os.O_RDWR)
            os.ftruncate(fd, 512)
            os.pwrite(fd, b"b" * 100, 512)
            os.close(fd)
            disk.power_failure(random.Random(seed))
            content = path.read_bytes()
            assert content[:512] == b"a" * 512
            found.add(content[512:])
    assert {b"", b"a" * 512, b"b" * 100} <= found <= {b"", b"a" * 512, b"b" * 100, bytes(100)}


def test_names_come_and_go_with_the_syncs_of_their_folder(disk: Disk) -> None:
    """What was removed may come back until its folder is synced, and not afterwards."""
    there = set()
    for seed in range(30):
        with seam.replaced(Clock(), random.Random(seed)):
            seam.attach(disk)
            one, two = disk.root / f"one{seed}", disk.root / f"two{seed}"
            write(one, b"1")
            write(two, b"2")
            os.unlink(one)
            fd = os.open(disk.root, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
            os.unlink(two)
            disk.power_failure(random.Random(seed))
            assert not one.exists()
            there.add(two.exists())
    assert there == {True, False}


def test_a_dead_process_changes_nothing_any_more(disk: Disk) -> None:
    """Its clean-up does not run; a call that fails has not happened."""
    with seam.replaced(Clock(), random.Random(1)):
        seam.attach(disk)
        path = disk.root / "file"
        write(path, b"a")
        disk.fault = frozenset({"write"}), 0, errno.ENOSPC
        with pytest.raises(OSError, match="No space"):
            write(path, b"b")
        assert path.read_bytes() == b"a"
        disk.dies_at = disk.calls + 2
        with pytest.raises(Killed):
            write(path, b"c")
        with pytest.raises(Killed):
            os.unlink(path)
        assert path.read_bytes() == b"c"


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.name)
def test_each_fault_that_is_put_in_is_found(mutant: Mutant) -> None:
    """By drawn histories alone, within a minute of two processors."""
    from tests.sim.hunt import find

    assert find(mutant, os.cpu_count() or 1, 2 * PATIENCE_S / (os.cpu_count() or 1)) is not None
