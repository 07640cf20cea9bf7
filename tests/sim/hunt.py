"""Looking for mutants: drawn histories, until one goes wrong.

The rule: what it took is told in processor time, for a busy machine says nothing about the simulator.
"""

import multiprocessing
import time

from tests.sim.history import Outcome, run
from tests.sim.mutants import MUTANTS, RARE, Mutant
from tests.sim.shrink import kind_of


def hunt(processes: int, seconds: float, only: str, first: int = 0) -> int:
    """Each mutant is to be found by somebody; a table of what it took, in seconds of two idle processors."""
    missed = 0
    print("| put in | where | found after | by history | as |\n| --- | --- | --- | --- | --- |")
    for mutant in (*MUTANTS, *RARE):
        if only not in mutant.name:
            continue
        found = find(mutant, processes, 2 * seconds / processes, first)
        if found is None:
            missed += 1
            print(f"| {mutant.name} | {mutant.where} | **not in {seconds:.0f} s** | | |", flush=True)
        else:
            took, outcome = found
            print(f"| {mutant.name} | {mutant.where} | {took / 2 * processes:.1f} s | {outcome.seed} | "
                  f"{kind_of(outcome)} |", flush=True)  # fmt: skip
    return 1 if missed else 0


def find(mutant: Mutant, processes: int, seconds: float, first: int = 0) -> tuple[float, Outcome] | None:
    """The first history that goes wrong by it, and the processor time of the one that found it; None if each
    has used up so many seconds of it."""
    context = multiprocessing.get_context("fork")
    answers: multiprocessing.Queue[tuple[float, Outcome] | None] = context.Queue()
    hunters = [
        context.Process(
            target=_hunt, args=(mutant, range(first + at, 1 << 30, processes), seconds, answers), daemon=True
        )
        for at in range(processes)
    ]
    for one in hunters:
        one.start()
    try:
        for _ in hunters:
            if (found := answers.get()) is not None:
                return found
        return None
    finally:
        for one in hunters:
            one.kill()
            one.join()


def _hunt(
    mutant: Mutant,
    seeds: range,
    seconds: float,
    answers: "multiprocessing.Queue[tuple[float, Outcome] | None]",
) -> None:
    started = time.process_time()
    with mutant.applied():
        for seed in seeds:
            outcome = run(seed)
            took = time.process_time() - started
            if outcome.error is not None or took > seconds:
                answers.put((took, outcome.plain()) if outcome.error is not None else None)
                return
