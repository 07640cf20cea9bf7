"""A client on the primary: it opens one database, or both, and runs transactions, whole or cut short."""

import random
import select
from contextlib import suppress

from pylitefs.cluster.cluster import ClusterNode
from pylitefs.control.channel import RemoteGate
from tests.cluster.clients import Client, Clients
from tests.life.model import Model, Statements, Transaction

DATABASES = ["a.db", "b.db"]
ROLLBACK_MODES = ("delete", "truncate", "persist")
POINTS = (
    "journal.open", "journal.write", "journal.sync", "page.write", "page.write", "journal.invalidate",
    "journal.invalidate", "ltx.encode", "ltx.commit", "pos.advance", "tx.rollback", "wal.frame", "wal.commit",
)  # fmt: skip
"""Where a transaction is held, to be killed there; a point that it does not pass lets it go on."""


class Writer:
    """A client process, what it has open, and the transaction that it is at."""

    def __init__(
        self,
        node: ClusterNode,
        clients: Clients,
        model: Model,
        statements: Statements,
        chance: random.Random,
    ) -> None:
        self.node, self.model, self.statements, self.chance = node, model, statements, chance
        first, second = DATABASES
        both = chance.random() < 0.5
        if not both:
            # Who opens both does it in the same order as all others: BEGIN IMMEDIATE locks in that order.
            first = chance.choice(DATABASES)
        self.schemas = {first: "main"}
        self.client = clients(node, first, timeout=10.0)
        if both:
            self.schemas[second] = "other"
            self.client.sql(f"ATTACH '{node.database(second)}' AS other")
        self.at: Transaction | None = None
        """What was ordered and is not answered."""
        self.gate: RemoteGate | None = None
        self._set_up()

    def _set_up(self) -> None:
        choose = self.chance.choice
        # With OFF, SQLite makes no super-journal: then a kill may leave half of a transaction over two.
        safe = (0, 1, 2, 3) if len(self.schemas) == 1 else (1, 2, 3)
        for schema in self.schemas.values():
            self.client.sql(
                f"PRAGMA {schema}.cache_size={choose((2, 5, 5, 2000))}",
                f"PRAGMA {schema}.synchronous={choose(safe)}",
                f"PRAGMA {schema}.secure_delete={choose((0, 0, 0, 1))}",
            )
            if self._mode(schema) != "wal":
                # Each connection has its own; a switch away from WAL is a step of its own.
                self.client.sql(f"PRAGMA {schema}.journal_mode={choose(ROLLBACK_MODES)}")
        self.client.sql(f"PRAGMA wal_autocheckpoint={choose((0, 3, 1000))}")

    def _mode(self, schema: str) -> str:
        """The journal mode, after a look into the file: another connection may have changed it."""
        self.client.sql(f"SELECT count(*) FROM {schema}.log")
        ((mode,),) = self.client.sql(f"PRAGMA {schema}.journal_mode")
        return str(mode)

    # -- whole transactions ----------------------------------------------------------------------------

    def transact(self) -> None:
        self.begin()
        self.finish()

    def begin(self) -> None:
        """Give the order for a transaction, and do not wait for its end."""
        self._tell(self._draw())

    def _tell(self, one: Transaction) -> None:
        print(f"    {self.client.pid}: {one}")
        self.at = one
        self.client.tell("sql", sql=one.sql(self.schemas))

    def _draw(self) -> Transaction:
        names = self.chance.sample(list(self.schemas), self.chance.randint(1, len(self.schemas)))
        one = self.statements.transaction(names)
        for name in names:
            schema = self.schemas[name]
            if self._mode(schema) not in ROLLBACK_MODES:
                one.atomic = False
                if "ROLLBACK TO p" in one.parts[name]:
                    # After a spill this leaves frames without a checksum (SQLite 3.40.1): the commit, and
                    # all after it, are lost with a kill, on a plain disk as well. So it must not spill.
                    self.client.sql(f"PRAGMA {schema}.cache_size=2000")
        self.model.begun(one)
        return one

    def finish(self) -> None:
        """Wait for the transaction's end; nobody was killed, so it must not fail."""
        assert self.at
        answer = self.client.answer()
        assert "rows" in answer, f"{self.at}: {answer}"
        self.at.acknowledged = not self.at.rolled_back
        self.at = None

    def housekeeping(self, *statements: str) -> None:
        """What changes no row. It may find others in its way."""
        answer = self.client.ask("sql", sql=statements)
        error = answer.get("error", "")
        print(f"    {self.client.pid}: {'; '.join(statements)} {error}")
        assert not error or "locked" in error, error

    # -- cut short -------------------------------------------------------------------------------------

    def cut_short(self) -> None:
        """Come to a moment of a transaction at which something is to be killed; `let_go` comes after."""
        self.chance.choice((self._all_but_the_end, self._somewhere, self._held, self._held))()

    def _all_but_the_end(self) -> None:
        """With a small cache, much of the transaction is in the file."""
        one = self._draw()
        print(f"    {self.client.pid}: {one}, but for that")
        self.client.sql(*one.sql(self.schemas)[:-1])
        self.at = None

    def _somewhere(self) -> None:
        self.begin()
        self._has_answer(self.chance.random() * 0.02)

    def _held(self) -> None:
        """At a tracepoint, at the first pass or a later one."""
        assert self.node.control
        point, database = self.chance.choice(POINTS), self.chance.choice(list(self.schemas))
        passes = self.chance.choice((1, 1, 2, 3, 8))
        one = self._draw()
        self.gate = self.node.control.gate(point, database=database, pids=[self.client.pid])
        self._tell(one)
        for passed in range(passes):
            if passed:
                self.gate.release()
            if not self._is_held():
                print(f"    {point} of {database}: passed {passed} times, not held")
                return
        print(f"    {point} of {database}: held at pass {passes}")

    def _is_held(self) -> bool:
        """Whether the transaction comes to the gate, before it ends."""
        assert self.gate
        while not self.gate.wait(0.02):
            if self._has_answer(0):
                return self.gate.wait(0) is not None
        return True

    def _has_answer(self, seconds: float) -> bool:
        answers = self.client.process.stdout
        assert answers
        return bool(select.select([answers], [], [], seconds)[0])

    def let_go(self) -> None:
        """Client or node are killed: open the gate, and see whether the transaction was acknowledged."""
        if self.gate:
            with suppress(EOFError):
                self.gate.close()
            self.gate = None
        if self.at and self._has_answer(0) and "rows" in self.client.last_words():
            self.at.acknowledged = not self.at.rolled_back
        self.at = None


def commit(client: Client, model: Model, name: str, *transactions: Transaction) -> None:
    """Transactions of one database, acknowledged; the client ends."""
    for one in transactions:
        model.begun(one)
        client.sql(*one.sql({name: "main"}))
        one.acknowledged = True
    client.close()
