"""What tracing costs a commit while nobody listens: `python -m pylitefs.compare.bench.tracing_cost`.

Two ways, which have to agree:

- counted: how often a commit asks `tracer.active` (by a tracer that counts), times what asking takes, in
  the longest form that is used (`self.state.node.tracer.active`). Repeatable to the last check.
- beside each other: a node as it is and one whose `if tracer.active:` were taken out of the source as it
  was imported, in turn, round by round: the median ratio of the nodes' processor times. Noisier.

The rule: the nodes are processes of their own, and all have the same client: this one.
"""

import ast
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import timeit
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from time import perf_counter, process_time
from types import SimpleNamespace

from pylitefs.child_python import python_module

MODES = ("delete", "truncate", "persist", "wal")
LIMIT = 0.02
"""The share of a commit's time that tracing may take."""
COMMITS = 25
ROUNDS = 60
"""Short rounds in turn: what else the machine does then meets both alike."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What came out for one journal mode. Times in microseconds."""

    mode: str
    checks: float
    """How often a commit asks whether someone listens."""
    check_us: float
    commit_us: float
    counted: float
    """Share of a commit: checks times what one takes."""
    measured: float
    """By how much the node takes more processor time than one without checks; noise included."""

    def __str__(self) -> str:
        return (
            f"{self.mode:9} {self.checks:4.0f} checks of {self.check_us * 1000:3.0f} ns in a commit of "
            f"{self.commit_us:6.0f} µs: {self.counted:.3%}; beside a node without them: {self.measured:+.2%}"
        )


def measure(base: Path, commits: int = COMMITS, rounds: int = ROUNDS) -> list[Cost]:
    """The cost in each journal mode; `base` is an empty directory."""
    check_us = _check_us()
    found = []
    with ExitStack() as stack:
        plain, stripped, counting = (
            stack.enter_context(_node(base / kind, kind)) for kind in ("plain", "stripped", "counting")
        )
        for mode in MODES:
            _commits(counting, mode, 10)
            before = counting.count()
            _commits(counting, mode, commits)
            checks = (counting.count() - before) / commits
            for node in (plain, stripped):
                _commits(node, mode, commits)
            walls: list[float] = []
            ratios: list[float] = []
            for number in range(rounds):
                order = (plain, stripped) if number % 2 else (stripped, plain)
                taken: dict[str, tuple[float, float]] = {}
                for node in order:
                    before_s = node.cpu()
                    wall = _commits(node, mode, commits)
                    taken[node.kind] = (wall, node.cpu() - before_s)
                walls.append(taken["plain"][0] / commits * 1e6)
                ratios.append(taken["plain"][1] / taken["stripped"][1])
            commit_us = statistics.median(walls)
            measured = statistics.median(ratios) - 1
            found.append(Cost(mode, checks, check_us, commit_us, checks * check_us / commit_us, measured))
    return found


def _check_us() -> float:
    """Microseconds that `if self.state.node.tracer.active` takes, the empty loop taken off."""
    tracer = SimpleNamespace(active=False)
    holder = SimpleNamespace(state=SimpleNamespace(node=SimpleNamespace(tracer=tracer)))
    number = 200_000

    def best(statement: str) -> float:
        timer = timeit.Timer(statement, timer=process_time, globals={"self": holder})
        return min(timer.repeat(7, number)) / number * 1e6

    return max(0.0, best("if self.state.node.tracer.active: pass") - best("pass"))


# --- the nodes ---------------------------------------------------------------------------------------------


class _Node:
    """A node in a process of its own, and where its mount is."""

    def __init__(self, kind: str, base: Path, process: "subprocess.Popen[str]") -> None:
        self.kind = kind
        self.mount = base / "mnt"
        self._process = process

    def count(self) -> int:
        """How often its tracer was asked so far."""
        return int(self._ask("count"))

    def cpu(self) -> float:
        """Seconds of processor time that it took so far: other processes do not add to them."""
        return float(self._ask("cpu"))

    def _ask(self, what: str) -> str:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()


@contextmanager
def _node(base: Path, kind: str) -> Iterator[_Node]:
    base.mkdir(parents=True)
    process = subprocess.Popen(
        python_module("pylitefs.compare.bench.tracing_cost", "node", str(base), kind),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # What was compiled before is not what the stripped one imports.
        env={**os.environ, "PYTHONPYCACHEPREFIX": str(base / "compiled")},
        text=True,
    )
    assert process.stdin and process.stdout
    try:
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(f"the {kind} node does not start")
        yield _Node(kind, base, process)
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(20)


def _commits(node: _Node, mode: str, count: int) -> float:
    """Seconds that so many commits of one row take."""
    with closing(sqlite3.connect(node.mount / f"{mode}.db", isolation_level=None, timeout=10)) as db:
        db.execute(f"PRAGMA journal_mode={mode}")
        db.execute("PRAGMA synchronous=normal" if mode == "wal" else "PRAGMA synchronous=full")
        db.execute("CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY, b)")
        db.execute("INSERT INTO t(b) VALUES (randomblob(100))")
        started = perf_counter()
        for _ in range(count):
            db.execute("INSERT INTO t(b) VALUES (randomblob(100))")
        return perf_counter() - started


def _serve(base: Path, kind: str) -> None:
    """The child: a primary, until its standard input ends."""
    if kind == "stripped":
        _strip_imports()
    from pylitefs.cluster.ports import free_ports
    from pylitefs.config import Config
    from pylitefs.mount.session import install_signal_handlers
    from pylitefs.node import Node
    from pylitefs.trace import Tracer

    class Counting(Tracer):
        """Counts how often it is asked."""

        asked = 0

        @property
        def active(self) -> bool:
            self.asked += 1
            return False

        @active.setter
        def active(self, value: bool) -> None:
            """Nobody listens."""

    config = Config.model_validate(
        {
            "fuse": {"dir": str(base / "mnt")},
            "data": {"dir": str(base / "data")},
            "http": {"addr": f"127.0.0.1:{free_ports(1)[0]}"},
            "lease": {"type": "static", "candidate": True, "hostname": kind},
        }
    )
    install_signal_handlers()
    tracer = Counting() if kind == "counting" else Tracer()
    node = Node(config, tracer=tracer)
    node.start()
    try:
        print("ready", flush=True)
        for line in sys.stdin:
            asked = tracer.asked if isinstance(tracer, Counting) else 0
            print(process_time() if line == "cpu\n" else asked, flush=True)
    finally:
        node.stop()


class _Stripper(ast.NodeTransformer):
    """Takes out every `if … tracer.active:`; what its `else` does is done instead."""

    def visit_If(self, node: ast.If) -> "ast.AST | list[ast.stmt]":
        self.generic_visit(node)
        if "tracer.active" not in ast.unparse(node.test):
            return node
        return node.orelse or [ast.Pass()]


def _strip_imports() -> None:
    """From now on modules of pylitefs are imported without their checks."""
    compiled = SourceFileLoader.source_to_code

    def strip(self: SourceFileLoader, data, path, **more):  # type: ignore[no-untyped-def]
        if "/pylitefs/" in str(path):
            data = ast.fix_missing_locations(_Stripper().visit(ast.parse(data)))
        return compiled(self, data, path, **more)

    SourceFileLoader.source_to_code = strip  # type: ignore[method-assign, assignment]


def main(arguments: list[str]) -> None:
    """`node DIR KIND` is a node of the measurement; otherwise measure, `--json` as JSON."""
    if arguments[:1] == ["node"]:
        _serve(Path(arguments[1]), arguments[2])
        return
    with tempfile.TemporaryDirectory(prefix="pylitefs-tracing-") as base:
        for cost in measure(Path(base)):
            print(json.dumps(asdict(cost)) if "--json" in arguments else cost, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
