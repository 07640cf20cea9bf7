"""What goes wrong in a history: clients and nodes that die at any call, disks that fail, power that goes.

The rule: a crash comes at a call, chosen by the step. What is there afterwards is judged at once, before
anything else happens; and now and then the recovery is killed as well.
"""

import errno
import random
import sqlite3
from collections.abc import Callable
from contextlib import suppress

from pylitefs.errors import PylitefsError
from tests.sim.clients import Clients
from tests.sim.disk import Killed
from tests.sim.node import Node
from tests.sim.oracle import Wrong, opened, rows_of
from tests.sim.world import World

Act = Callable[[random.Random], str]

_KINDS = (
    frozenset({"write"}),
    frozenset({"sync"}),
    frozenset({"truncate", "unlink", "rename"}),
    frozenset({"open"}),
    frozenset({"write", "sync", "open", "truncate", "unlink", "rename"}),
)


class Accidents:
    """Those of one history."""

    def __init__(self, world: World, clients: Clients) -> None:
        self.world = world
        self.clients = clients

    def _some_act(self, chance: random.Random) -> Act:
        clients = self.clients
        acts: list[Act] = [
            *(clients.write, clients.transaction, clients.transaction, clients.savepoint, clients.burst),
            *(clients.both, clients.vacuum, clients.checkpoint, clients.mode, clients.rollback, clients.drop),
            *(clients.import_, self.reap, self.work),
        ]
        weights = (3, 5, 5, 3, 12, 5, 2, 7, 3, 1, 1, 2, 4, 3)
        return chance.choices(acts, weights)[0]

    @staticmethod
    def _few(chance: random.Random) -> int:
        """How many calls go well: often few, now and then many."""
        return chance.randint(1, chance.choice((4, 12, 40)))

    # -- what is no accident, but may meet one ---------------------------------------------------------

    def reap(self, chance: random.Random) -> str:
        """Time passes, and what is past its retention goes."""
        self.world.clock.sleep(chance.choice((2.0, 10.0, 10.0, 700.0)))
        gone = 0
        for node in self.world.nodes:
            if node.store is not None and not node.disk.dead:
                node.disk.stamp()
                with suppress(Killed):
                    gone += node.store.reap()
        return f"{gone} LTX files are gone"

    def work(self, chance: random.Random) -> str:
        with suppress(Killed):
            self.world.primary.work()
        return "done"

    # -- accidents -------------------------------------------------------------------------------------

    def client_dies(self, chance: random.Random) -> str:
        """The clients of one database are killed in the middle of something."""
        world, clients = self.world, self.clients
        served = world.primary.served
        assert served is not None
        name = clients.name(chance)
        if not world.oracle(name).now.content:
            return "nothing there"
        left = [self._few(chance)]

        def refuse(call: str, its: str) -> int:
            left[0] -= call != "close"
            return errno.ENOTCONN if left[0] < 0 and call != "close" else 0

        def lose(call: str, its: str) -> int:
            return errno.ENOTCONN if left[0] <= 0 and call != "close" else 0

        db = clients.connection(chance, name)
        served.refuse = refuse
        if chance.random() < 0.5:
            served.lose = lose
        try:
            todo = [f"DELETE FROM w WHERE n = {chance.randint(0, 40)}", "UPDATE t SET x = x WHERE id < 3"]
            seed = chance.randint(0, 99)
            outcome = clients.commit(db, name, [*todo, f"INSERT INTO t (x) VALUES (blob({seed}, 2500))"])
            served.refuse, served.lose = Node.refuse_all, lambda call, its: 0
            if chance.random() < 0.5:
                clients.let_go(chance)
                clients.close_all(name)
            else:
                clients.close(db)
        finally:
            served.refuse = served.lose = lambda call, its: 0
        database = world.unlocked(name)
        if database is not None and database.wal_watch.tracker.unsummed:
            # SQLite's own defect: its recovery ends at such a frame (docs/reliability.md).
            content = world.seen(world.primary, name)
            world.oracle(name).forgive(rows_of(opened(content)))
        return outcome

    def fault(self, chance: random.Random) -> str:
        """One call of the primary's disk fails."""
        world = self.world
        kinds, code = chance.choice(_KINDS), chance.choice((errno.ENOSPC, errno.EIO))
        act = self._some_act(chance)
        disk = world.primary.disk
        disk.fault = (kinds, self._few(chance) - 1, code)
        outcome = attempt(act, chance)
        disk.fault = None
        store = world.primary.store
        if store is not None and any(one.state.sync_failure is not None for one in store.databases()):
            # It takes no transaction any more: a person starts it again.
            outcome += "; started again: " + self._dies(world.primary, chance, power=False)
        return f"{act.__name__}: {outcome}"

    def dies(self, chance: random.Random) -> str:
        return self._act_and_die(chance, power=False)

    def power(self, chance: random.Random) -> str:
        return self._act_and_die(chance, power=True)

    def both_power(self, chance: random.Random) -> str:
        """The power goes in a transaction over two databases, about where it counts in both."""
        disk = self.world.primary.disk
        disk.dies_when = frozenset({"unlink"}), chance.randrange(4)
        outcome = attempt(self.clients.both, chance)
        return f"{outcome}; {self._dies(self.world.primary, chance, power=True)}"

    def burst_power(self, chance: random.Random) -> str:
        """It goes after a burst, while its LTX files wait for their sync, or while pages are copied."""
        outcome = attempt(self.clients.burst, chance)
        disk = self.world.primary.disk
        if chance.random() < 0.5:
            disk.dies_when = frozenset({chance.choice(("write", "sync"))}), chance.randrange(6)
            outcome += f", then {attempt(self.clients.checkpoint, chance)}"
        return f"{outcome}; {self._dies(self.world.primary, chance, power=chance.random() < 0.7)}"

    def restart(self, chance: random.Random) -> str:
        world = self.world
        self._no_clients()
        for link in world.links:
            link.break_off("the primary stops", chance)
        world.primary.stop()
        self._start(world.primary)
        self._judge(world.primary, back=False)
        return "started again"

    def _act_and_die(self, chance: random.Random, *, power: bool) -> str:
        act = self._some_act(chance)
        disk = self.world.primary.disk
        disk.dies_soon(chance)
        outcome = attempt(act, chance)
        self.world.say(f"    in {act.__name__}: {outcome}, at call {disk.calls}")
        return f"{act.__name__}: {outcome}; {self._dies(self.world.primary, chance, power=power)}"

    def _no_clients(self) -> None:
        self.world.connections, self.world.readers = [], []

    def _dies(self, node: Node, chance: random.Random, *, power: bool, back: bool = False) -> str:
        """`back`: its power has failed before, and what came of that is judged now."""
        # With OFF SQLite writes pages before their journal is durable: a power failure may leave what no
        # LTX file that is still kept restores (docs/reliability.md).
        may_fail = self.world.synchronous > 0
        power = power and may_fail
        if node.primary:
            self._no_clients()
        self._off(node, chance, power)
        said, back = ["power off" if power else "killed"], back or power
        while chance.random() < 0.3:
            node.disk.revive()
            node.disk.dies_soon(chance)
            try:
                node.start()
            except Killed:
                said.append("its recovery killed")
                self.world.say("    its recovery is killed")
            power = may_fail and chance.random() < 0.5
            back = back or power
            self._off(node, chance, power)
        self._start(node)
        self._judge(node, back=back)
        return ", ".join(said)

    def _killed(self, node: Node, chance: random.Random) -> str:
        """It starts again with all that was written, durable or not."""
        if node.primary:
            self._no_clients()
        self._off(node, chance, power=False)
        self._start(node)
        self._judge(node, back=False)
        return "killed"

    def _off(self, node: Node, chance: random.Random, power: bool) -> None:
        if node.primary:
            for name, oracle in self.world.oracles.items():
                if power and name in node.told:
                    oracle.promised(node.told[name].txid)
        for link in self.world.links:
            if link.node is node:
                link.node_is_gone()
            elif node.primary:
                link.break_off("the primary is dead", chance)
        self.world.tell(f"kill {node.lesson_name}", f"restart {node.lesson_name}")
        if power:
            before = _sizes(node)
            node.power_off(chance)
            self.world.say(f"    power off, of {before} there is {_sizes(node)}")
        else:
            node.die()

    @staticmethod
    def _start(node: Node) -> None:
        node.disk.revive()
        before = dict(node.told)
        try:
            node.start()
        except PylitefsError as error:
            raise Wrong(f"{node.name} does not start: {error}") from error
        assert node.store is not None
        for name, told in before.items():
            database = node.store.get(name)
            now = database.pos.txid if database is not None else 0
            given_up = name in node.strays
            if now < told.txid and not given_up and name not in node.store.set_aside:
                raise Wrong(f"{name} on {node.name} is at TXID {now}, others have heard of {told.txid}")

    def _judge(self, node: Node, *, back: bool) -> None:
        self.world.check_all(node, whole=True, back=back)
        if node.primary:
            for name, oracle in self.world.oracles.items():
                oracle.states = oracle.states[-1:]
                oracle.maybe = []
                if node.store is not None and (database := node.store.get(name)) is not None:
                    oracle.is_at(database.pos.txid)

    def replica_dies(self, chance: random.Random) -> str:
        return self._replica(chance, power=False)

    def replica_power(self, chance: random.Random) -> str:
        return self._replica(chance, power=True)

    def _replica(self, chance: random.Random, *, power: bool) -> str:
        world = self.world
        if not world.links:
            return "no replica"
        link = chance.choice(world.links)
        link.node.disk.dies_soon(chance)
        link.flow(chance, 12)
        return f"{link.node.name}: {self._dies(link.node, chance, power=power)}"

    def replica_fault(self, chance: random.Random) -> str:
        world = self.world
        if not world.links:
            return "no replica"
        link = chance.choice(world.links)
        link.node.disk.fault = (
            chance.choice(_KINDS),
            self._few(chance) - 1,
            chance.choice((errno.ENOSPC, errno.EIO)),
        )
        link.flow(chance, 12)
        link.node.disk.fault = None
        return link.node.name


def attempt(act: Act, chance: random.Random) -> str:
    """What came of it; a database that could not be opened is an outcome."""
    try:
        return act(chance)
    except Killed:
        return "killed"
    except sqlite3.OperationalError as error:
        return f"failed ({error})"


def _sizes(node: Node) -> str:
    """What is on its disk, for the log."""
    files = sorted(path for path in node.disk.root.rglob("*") if path.is_file() and path.name != "shm")
    return " ".join(f"{path.relative_to(node.disk.root)}({path.stat().st_size})" for path in files)
