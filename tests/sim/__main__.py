"""The simulator's command line: see `tests/sim/__init__.py`."""

import argparse
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from tests.sim.history import Outcome, run
from tests.sim.hunt import hunt
from tests.sim.lesson import lesson
from tests.sim.program import Step
from tests.sim.shrink import kind_of, shrink

_BATCH = 20


def main() -> int:
    options = _options()
    if options.mutants:
        return hunt(options.processes, options.seconds, options.only, options.first)
    if options.seed is not None:
        steps = [Step.parse(text) for text in options.steps] or None
        return show(run(options.seed, steps), options.lesson)
    return many(options.first, options.seeds, options.processes, options.lesson)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description="Histories by the seed.")
    parser.add_argument("--seeds", type=int, default=200, help="so many histories")
    parser.add_argument("--first", type=int, default=0, help="the first one's seed")
    parser.add_argument("--seed", type=int, help="this one alone, with its log")
    parser.add_argument("steps", nargs="*", help="with --seed: these steps, as a failure prints them")
    parser.add_argument("--mutants", action="store_true", help="faults put in on purpose, each to be found")
    parser.add_argument("--only", default="", help="with --mutants: those whose name has this")
    parser.add_argument("--seconds", type=float, default=60.0, help="with --mutants: for each, at most")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--lesson", type=Path, help="write a wrong history as a lesson there")
    return parser.parse_args()


def show(outcome: Outcome, to: Path | None = None) -> int:
    """One history, and what is wrong with it."""
    print("\n".join(outcome.log))
    if outcome.error is None:
        print(f"seed {outcome.seed}: all that must hold holds")
        return 0
    traceback.print_exception(outcome.error)
    print(f"\nseed {outcome.seed} goes wrong: {outcome.why}\nrun it again:")
    print(f"    python -m tests.sim --seed {outcome.seed} {' '.join(map(str, outcome.steps))}")
    if to is not None:
        to.write_text(lesson(outcome))
        print(f"as a lesson: {to}")
    return 1


def _live(seeds: range) -> tuple[int, float, list[Outcome]]:
    """For a process of its own: those that went wrong."""
    started = time.process_time()
    wrong = []
    for seed in seeds:
        outcome = run(seed)
        if outcome.error is not None:
            wrong.append(outcome.plain())
    return len(seeds), time.process_time() - started, wrong


def _in_batches(first: int, seeds: int, processes: int) -> Iterator[tuple[int, float, list[Outcome]]]:
    batches = [range(at, min(at + _BATCH, first + seeds)) for at in range(first, first + seeds, _BATCH)]
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        yield from pool.imap_unordered(_live, batches)


def many(first: int, seeds: int, processes: int, to: Path | None) -> int:
    """Many histories; the first wrong one is shrunk and shown, the others are named."""
    started, used = time.monotonic(), 0.0
    done = 0
    wrong: list[Outcome] = []
    for count, seconds, found in _in_batches(first, seeds, processes):
        done += count
        used += seconds
        wrong += found
        passed = time.monotonic() - started
        if sys.stderr.isatty() or done == seeds or done % 1000 == 0:
            text = f"{done} of {seeds} histories, {done / passed:.1f} a second, {len(wrong)} wrong"
            print(text, end="\n" if done == seeds else "\r", file=sys.stderr, flush=True)
    print(f"{seeds} histories in {time.monotonic() - started:.0f} s ({used:.0f} s of processor time): "
          f"{len(wrong)} wrong")  # fmt: skip
    kinds: dict[str, list[int]] = {}
    for outcome in sorted(wrong, key=lambda one: one.seed):
        kinds.setdefault(kind_of(outcome), []).append(outcome.seed)
    for kind, its in kinds.items():
        print(f"    {len(its)} times {kind}: seeds {its[:8]}")
    for kind, its in kinds.items():
        print(f"\n{kind}")
        again = run(its[0])
        return show(shrink(again) if again.error is not None else again, to)
    return 0


if __name__ == "__main__":
    sys.exit(main())
