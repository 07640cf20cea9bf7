"""Run SQLite's own tests on mounts, one file after another, and print what differs from a plain folder."""

import argparse
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pylitefs.cluster.nursery import Nursery
from tests.sqlite_suite import places
from tests.sqlite_suite.reading import Outcome
from tests.sqlite_suite.verdict import Expected, Judged, Verdict, judge, load

EXPECTED = Path(__file__).with_name("expected.yaml")
MOST = 12
"""Differences of one file that are printed; the rest mostly follows from the first."""
PLACES = ("mount", "observed", "litefs")
SUITE = Path(__file__).with_name("suite.txt")


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    asked = _arguments()
    known = load(EXPECTED.read_text())
    used: set[str] = set()
    counts: Counter[tuple[str, Verdict]] = Counter()
    cases: Counter[str] = Counter()
    nursery = Nursery()
    try:
        print(f"{'test':24}{'plain':>16}" + "".join(f"{place:>28}" for place in asked.on), flush=True)
        for name in asked.names or SUITE.read_text().split():
            plain, judged = one_file(asked, name, nursery, known)
            for place, (outcome, verdict) in judged.items():
                counts[place, verdict.verdict] += 1
                cases[place] += len(plain.passed & outcome.passed)
                used |= verdict.expected.keys()
    finally:
        nursery.close()
    for place in asked.on:
        told = ", ".join(f"{counts[place, verdict]} {verdict.value}" for verdict in Verdict)
        print(f"{place}: {told}; {cases[place]} cases pass as on the plain folder")
    print("expected, and seen: " + (", ".join(sorted(used)) or "nothing"))
    return 1 if any(counts[place, Verdict.DIFFERS] for place in asked.on) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.sqlite_suite", description=__doc__)
    parser.add_argument(
        "--testfixture", type=Path, required=True, help="the program of SQLite's source package"
    )
    parser.add_argument("--tests", type=Path, required=True, help="its folder of tests")
    parser.add_argument("--on", nargs="+", choices=PLACES, default=["mount", "observed"])
    parser.add_argument("--litefs", type=Path, help="the real litefs, for --on litefs")
    parser.add_argument("--seconds", type=float, default=300.0, help="for one file in one place")
    parser.add_argument("--keep", type=Path, help="keep what was printed and the nodes' logs here")
    parser.add_argument(
        "names", nargs="*", help="test files without .test; all of suite.txt if none is named"
    )
    asked = parser.parse_intermixed_args()
    asked.testfixture, asked.tests = asked.testfixture.absolute(), asked.tests.absolute()
    return asked


def one_file(
    asked: argparse.Namespace, name: str, nursery: Nursery, known: Sequence[Expected]
) -> tuple[Outcome, dict[str, tuple[Outcome, Judged]]]:
    """One test file in all places; its line is printed."""
    test = asked.tests / f"{name}.test"
    judged: dict[str, tuple[Outcome, Judged]] = {}
    with tempfile.TemporaryDirectory(prefix="sqlite-suite-") as temporary:
        base = (asked.keep or Path(temporary)) / name
        base.mkdir(parents=True, exist_ok=True)
        folder = Path(temporary) / "plain"
        folder.mkdir()
        plain = places.run_test(asked.testfixture, test, folder, base / "plain", asked.seconds)
        print(f"{name:24}{_told(plain):>16}", end="", flush=True)
        for place in asked.on:
            cluster = places.cluster_for(place, Path(temporary) / place, nursery, asked.litefs)
            scratch = base / place
            scratch.mkdir(exist_ok=True)
            cluster.start()
            try:
                primary = cluster.primary.mount
                outcome = places.run_test(asked.testfixture, test, primary, scratch, asked.seconds)
                found = places.findings(cluster, Path(temporary))
            finally:
                left = places.stop(cluster)
                for node in cluster:
                    (scratch / f"{node.name}.log").write_bytes(node.log.read_bytes())
            judged[place] = outcome, judge(name, place, (plain, outcome), [*found, *left], known)
            print(f"{f'{_told(outcome)} {judged[place][1].verdict.value}':>28}", end="", flush=True)
    print(flush=True)
    if plain.ended:
        print(f"    plain: {plain.ended}")
    for place, (_, verdict) in judged.items():
        for difference in verdict.unexpected[:MOST]:
            print(f"    {place}: {difference.case}: {difference.gave}")
        if len(verdict.unexpected) > MOST:
            print(f"    {place}: … {len(verdict.unexpected) - MOST} more, and {verdict.unexpected[-1].case}")
        for entry, differences in verdict.expected.items():
            print(f"    {place}: {entry}: {', '.join(difference.case for difference in differences)}"[:200])
    return plain, judged


def _told(outcome: Outcome) -> str:
    return f"{len(outcome.passed)}/{outcome.ran} {outcome.seconds:.0f}s"


if __name__ == "__main__":
    sys.exit(main())
