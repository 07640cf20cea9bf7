"""`pylitefs compare --bench`: how fast, beside the other program and plain SQLite, in one run.

    round --> measure --> SQLite, pylitefs, LiteFS in turn --> the next measure --> the next round

The rule: a ratio means something only if both were measured a moment apart, on the same processors and the
same disk, with the same SQL from the same client, and neither had work left over from before.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from pylitefs.compare.bench.contestant import Contestant, Line, Size, prepare
from pylitefs.compare.bench.measures import measures
from pylitefs.compare.comparison import STOP_SECONDS
from pylitefs.compare.nodes import System
from pylitefs.compare.programs import Program
from pylitefs.errors import ConfigError


def run(
    ours: Program,
    theirs: Program,
    base: Path,
    size: Size,
    tell: Callable[[str], None],
    *,
    only: Sequence[str] = (),
) -> tuple[list[str], list[Line]]:
    """Measure everything, in rounds, or `only` what has one of these texts in its name; the contestants'
    names and a line a measure. ConfigError if nothing has."""
    chosen = [one for one in measures(size, base) if not only or any(text in one.name for text in only)]
    if not chosen:
        names = ", ".join(one.name for one in measures(size, base))
        raise ConfigError(f"nothing is measured under {', '.join(only)}; there are: {names}")
    with ExitStack() as stack:
        contestants = list(_contestants(ours, theirs, base, stack))
        tell("preparing …")
        for contestant in contestants:
            prepare(contestant, base, size)
        lines = [Line(measure) for measure in chosen]
        for number in range(size.rounds):
            tell(f"round {number + 1} of {size.rounds} …")
            for line in lines:
                if number < (line.measure.rounds or size.rounds):
                    _measure(line, _rotated(contestants, number))
        return [contestant.name for contestant in contestants], lines


def _measure(line: Line, contestants: Sequence[Contestant]) -> None:
    for contestant in contestants:
        value = line.measure.run(contestant)
        contestant.settle()
        if value is not None:
            line.figures.setdefault(contestant.name, []).append(value)


def _rotated(contestants: Sequence[Contestant], number: int) -> list[Contestant]:
    """Another one first in each round."""
    at = number % len(contestants)
    return [*contestants[at:], *contestants[:at]]


def _contestants(ours: Program, theirs: Program, base: Path, stack: ExitStack) -> Iterator[Contestant]:
    plain = base / "plain"
    plain.mkdir(parents=True)
    yield _with_clients(Contestant("SQLite", plain, None), stack)
    for folder, program in (("ours", ours), ("theirs", theirs)):
        system = System(base / folder, program)
        stack.callback(system.stop, STOP_SECONDS)
        system.start()
        yield _with_clients(Contestant(program.name, base / folder, system), stack)


def _with_clients(contestant: Contestant, stack: ExitStack) -> Contestant:
    stack.callback(contestant.clients.close)
    return contestant
