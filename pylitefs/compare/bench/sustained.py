"""What `--bench` measures of a writer that never rests: does the replica keep up, what does a commit cost?

    client   N commits one after the other in WAL mode, then: how far is the replica behind?
    kernel   the processor time of each node's processes meanwhile, until the replica has everything

The rule: one run gives every figure, so that they belong together. Each round is a run of its own.
"""

from collections.abc import Callable

from pylitefs.compare.bench.contestant import Contestant, Measure
from pylitefs.compare.bench.processes import processor_time

BEHIND = "behind after {} commits at full speed"
FIGURES = {
    "behind": (BEHIND, "transactions", False, "≤ 20"),
    "applied": ("applied by the replica under them", "1/s", True, ""),
    "primary": ("processor time of one of them, primary", "µs", False, ""),
    "replica": ("processor time of one of them, replica", "µs", False, ""),
}


def measures(commits: int, text: str) -> list[Measure]:
    """A line for each figure; the first that is asked for measures all of its round."""
    found: dict[str, dict[str, float]] = {}

    def figure(key: str) -> Callable[[Contestant], float | None]:
        def run(contestant: Contestant) -> float | None:
            if contestant.system is None:
                return None
            if key not in found.get(contestant.name, {}):
                found[contestant.name] = measure(contestant, commits, text)
            return found[contestant.name].pop(key)

        return run

    return [
        Measure(name.format(f"{commits:,}"), unit, is_rate, figure(key), target=target)
        for key, (name, unit, is_rate, target) in FIGURES.items()
    ]


def measure(contestant: Contestant, commits: int, text: str) -> dict[str, float]:
    """Every figure of one run."""
    assert contestant.system is not None
    nodes = contestant.system.pair
    places = {role: str(contestant.path("wal.db-pos", role)) for role in ("primary", "replica")}
    before = [processor_time(node.pid) for node in nodes]
    figures = contestant.asked("wal", "sustained", text=text, times=commits, **places)
    after = [processor_time(node.pid) for node in nodes]
    for role, start, end in zip(("primary", "replica"), before, after, strict=True):
        figures[role] = (end - start) / commits * 1e6
    return figures
