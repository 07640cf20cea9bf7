"""One history: its steps, one after the other, and what must hold after each.

    run(seed, steps)      the log of it; Wrong, with the log, if something does not hold

The rule: the same seed and the same steps are the same history, to the byte.
"""

import contextlib
import hashlib
import logging
import os
import random
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from pylitefs.errors import SqliteFormatError
from pylitefs.store import content, visitors
from tests.sim import seam
from tests.sim.accidents import Accidents, attempt
from tests.sim.backups import Backups
from tests.sim.clients import Clients
from tests.sim.exports import Exports
from tests.sim.halts import HaltSteps
from tests.sim.moments import Moments
from tests.sim.network import Link, wired
from tests.sim.oracle import Wrong
from tests.sim.program import BACKUPS, ROLES, Step
from tests.sim.restores import Restores
from tests.sim.roles import Roles, changing
from tests.sim.scenarios import Scenes, drawn, of
from tests.sim.unjournaled import Unjournaled
from tests.sim.world import Told, World

MEMORY = "/dev/shm"


@dataclass
class Outcome:
    """What came of a history."""

    seed: int
    steps: list[Step]
    log: list[str]
    error: BaseException | None = None
    story: list[Told] = field(default_factory=list)
    cluster: str = ""
    failed_at: int = 0
    """The step in which it went wrong."""

    @property
    def why(self) -> str:
        """In one line, without numbers that differ from run to run."""
        if isinstance(self.error, Wrong):
            return str(self.error)
        return f"{type(self.error).__name__}: {self.error}" if self.error is not None else ""

    def plain(self) -> "Outcome":
        """The same for another process: its error is words."""
        error = Wrong(self.why) if self.error is not None else None
        return replace(self, error=error)


def run(seed: int, steps: Sequence[Step] | None = None) -> Outcome:
    """Live through one history."""
    steps = drawn(seed) if steps is None else list(steps)
    outcome = Outcome(seed, list(steps), [])
    world = None
    with _folder(seed) as folder, _quiet():
        leased = any(step.kind in ROLES for step in steps)
        scenario = of(seed)
        fixed = (scenario.world, scenario.pragmas) if scenario else ()
        world = World(folder, seed, *fixed, leased=leased)
        outcome.log, outcome.story, outcome.cluster = world.log, world.story, world.cluster
        secrets = random.Random(f"secrets {seed}")
        with seam.replaced(world.clock, secrets), _in_process(), wired(world.links), changing():
            seam.seed_sqlite(seed)
            try:
                _live(world, steps, outcome, leased=leased)
            except (Exception, AssertionError) as error:
                outcome.error = error
            finally:
                world.close()
    return outcome


def _live(world: World, steps: Sequence[Step], outcome: Outcome, *, leased: bool) -> None:
    clients = Clients(world)
    accidents = Accidents(world, clients)
    roles = Roles(world, clients, accidents)
    backups = Backups(world, clients, accidents)
    if leased:
        roles.begin()
    elif any(step.kind in BACKUPS for step in steps):
        backups.begin(outcome.seed)
    world.start()
    halts, scenes = HaltSteps(world, accidents), Scenes(world, clients, accidents)
    exports = Exports(world, clients, accidents, roles)
    more = (
        Unjournaled(world, clients, accidents),
        Restores(world, clients, accidents),
        Moments(world, clients),
    )
    acts = _acts(clients, accidents, Streams(world), halts, scenes, roles, exports, backups, *more)
    for at, step in enumerate(steps):
        outcome.failed_at = at
        chance = random.Random(step.seed)
        world.clock.sleep(chance.choice((0.0, 0.0005, 0.002, 0.02, 1.0)))
        world.story.append(Told(step.kind))
        said = attempt(acts[step.kind], chance)
        if chance.random() < 0.35:
            world.primary.work()
        world.story[-1].text = said
        world.say(f"{at:3} {step.kind}: {said}")
        for node in world.nodes:
            world.check_all(node)
            if node.served is not None and node.served.unexpected:
                raise node.served.unexpected[0]
        world.say(f"    {_positions(world)}")
    outcome.failed_at = len(steps)
    roles.end()
    _end(world, clients, backups)


def _acts(*owners: object) -> dict[str, Callable[[random.Random], str]]:
    acts: dict[str, Callable[[random.Random], str]] = {}
    for owner in owners:
        for name in dir(owner):
            if not name.startswith("_"):
                acts[name.rstrip("_")] = getattr(owner, name)
    return acts


class Streams:
    """What the network does."""

    def __init__(self, world: World) -> None:
        self._world = world

    def _link(self, chance: random.Random) -> Link | None:
        return chance.choice(self._world.links) if self._world.links else None

    def stream(self, chance: random.Random) -> str:
        """Bytes flow, to each replica for a while."""
        for link in self._world.links:
            link.flow(chance, chance.choice((1, 4, 12)), quick=chance.random() < 0.5)
        return f"to {len(self._world.links)}"

    def cut(self, chance: random.Random) -> str:
        """A connection breaks, at any byte."""
        if (link := self._link(chance)) is None:
            return "no replica"
        link.break_off("cut", chance)
        self._world.tell(f"drop {link.lesson_name}")
        return link.node.name

    def half(self, chance: random.Random) -> str:
        """Half of what is on its way comes, and then nothing more, and nobody is told."""
        link = self._link(chance)
        if link is None or link.connection is None:
            return "no connection"
        link.connection.deliver(len(link.connection.flying) // 2)
        link.connection.flying.clear()
        link.connection.silent = True
        return link.node.name

    def part(self, chance: random.Random) -> str:
        """The network is parted there, or is whole again."""
        if (link := self._link(chance)) is None:
            return "no replica"
        link.parted = not link.parted
        self._world.tell(f"{'partition' if link.parted else 'heal'} {link.lesson_name}")
        if link.parted:
            link.break_off("parted", chance)
        return f"{link.node.name}: {link.parted}"

    def pass_(self, chance: random.Random) -> str:
        seconds = chance.choice((0.0005, 0.003, 0.1, 2.0, 30.0))
        self._world.clock.sleep(seconds)
        return f"{seconds} s"


def _positions(world: World) -> str:
    found = []
    for node in world.nodes:
        if node.store is not None:
            found += [f"{node.name} {name} {pos}" for name, pos in sorted(node.store.positions().items())]
    return ", ".join(found)


def _end(world: World, clients: Clients, backups: Backups) -> None:
    """All is well again: every node has all, and starts once more with it."""
    clients.let_go(random.Random(0))
    for name in sorted(world.oracles):
        clients.close_all(name)
    world.primary.work()
    assert world.primary.store is not None
    world.primary.store.settle()
    for name in sorted(set().union(*(link.node.undone for link in world.links))):
        # A position of a replica's own is there until the primary's next transaction (docs/reliability.md).
        clients.commit(clients.open(random.Random(0), name), name, ["INSERT INTO t (x) VALUES (NULL)"])
        clients.close_all(name)
    world.primary.work()
    for link in world.links:
        link.heal()
        link.node_is_gone()
        link.node.disk.dead = False
    for node in world.nodes:
        world.check_all(node, whole=True)
        before = node.store.positions() if node.store else {}
        node.stop()
        node.disk.revive()
        node.start()
        world.check_all(node, whole=True)
        assert node.store is not None
        if node.store.positions() != before:
            raise Wrong(f"{node.name} was stopped at {before} and starts at {node.store.positions()}")
    backups.end()
    world.say(f"the end: {_digest(world)}")


def _digest(world: World) -> str:
    """Every byte that the nodes have left."""
    found = hashlib.sha256()
    for path in sorted(world.root.rglob("*")):
        if path.is_file() and path.name != "shm":
            found.update(f"{path.relative_to(world.root)}\n".encode())
            found.update(path.read_bytes())
    return found.hexdigest()[:16]


@contextmanager
def _folder(seed: int) -> Iterator[Path]:
    there = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="pylitefs-sim-", dir=there) as folder:
        yield Path(folder)


@contextmanager
def _quiet() -> Iterator[None]:
    """The node's log is for people; here thousands of disks fail."""
    log = logging.getLogger("pylitefs")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(level)


@contextmanager
def _in_process() -> Iterator[None]:
    """What the node has another process do, and what waits for other threads, is done here."""
    with contextlib.ExitStack() as stack:
        for owner, name, value in (
            (content, "check", _check_content),
            (content, "objection", _objection),
            (visitors, "OPEN_WAITS_S", 0.0),
            (visitors, "FRESH_S", 0.0),
        ):
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        yield


def _objection(path: Path) -> str:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as db:
            ((said,), *_) = db.execute("PRAGMA quick_check").fetchall()
    except sqlite3.Error as error:
        return str(error)
    return "" if said == "ok" else str(said)


def _check_content(path: Path, name: str, stopping: Callable[[float], bool]) -> None:
    if why := _objection(path):
        raise SqliteFormatError(f"cannot import {name}: {why}")
