"""Both programs as candidates of one lease, which goes to and fro between them while clients write on both.

    a writer on each node and for each journal mode: INSERT, note what was acknowledged, again
    POST /handoff on the primary, or POST /promote on the other one, each in both directions

The rule: what was acknowledged is there once, on both nodes. What was refused may be there, or not. Clients
of pylitefs write on while it hands its lease over. Those of LiteFS rest until it has: it ends itself where it
loses the lease in the middle of a transaction of WAL mode, and may lose what it acknowledges then.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator

import httpx

from pylitefs.cluster.cluster import wait_until
from pylitefs.compare.driver import ENDED, Driver
from pylitefs.compare.findings import MixedOutcome
from pylitefs.compare.leased import Candidate, LeasedSystem
from pylitefs.compare.nodes import ProgramNode
from pylitefs.compare.side import PATIENCE, PLAIN
from pylitefs.errors import PylitefsError

MODES = ("delete", "wal")
ASKED = 5
"""So often a handoff is asked for before it counts as failed: the target may be about to connect."""
TURN_SECONDS = 10.0
_REST_S = 0.01
_PATIENT = 20
"""After so many refusals a client connects anew: what it opened on a replica of LiteFS may stay read-only."""
_WRITES = 3
"""So many writes are acknowledged between two handoffs, at least."""


class Writer:
    """A client that writes on one node for as long as it may, and asks again for as long as it may not."""

    def __init__(self, node: Candidate, mode: str) -> None:
        self.node = node
        self.name = f"{node.name} {mode}"
        self.acknowledged: list[str] = []
        self._in_a_row = 0
        """So many writes were refused, one after the other."""
        self._path = str(node.mount / f"{mode}.db")
        self._driver = Driver(self.name)
        self._ended = threading.Event()
        self._turn = threading.Lock()
        """Held while a statement runs, and by who has the writer rest."""
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(2 * PATIENCE)
        self._driver.close()

    def _run(self) -> None:
        number = 0
        self._open()
        while not self._ended.wait(_REST_S):
            number += 1
            with self._turn:
                self._write(f"{self.name} {number}")

    def _write(self, row: str) -> None:
        answer = self._driver.ask("sql", PATIENCE, text="INSERT INTO t VALUES (?)", values=[row])
        if "rows" in answer:
            self.acknowledged.append(row)
            self._in_a_row = 0
            return
        self._in_a_row += 1
        if "SQLITE_READONLY" not in str(answer.get("error")) or not self._in_a_row % _PATIENT:
            self._open()

    def resting(self) -> threading.Lock:
        """As long as it is held nothing is written."""
        return self._turn

    def _open(self) -> None:
        """Anew; also where the process has ended: LiteFS cuts a WAL index that it has mapped (SIGBUS)."""
        if ENDED in str(self._driver.ask("close", PATIENCE).get("error")):
            self._driver.kill()
            self._driver = Driver(self.name)
        self._driver.ask("open", PATIENCE, path=self._path, timeout=1.0)


def hand_over(system: LeasedSystem, outcome: MixedOutcome, handoffs: int) -> list[str]:
    """Hand the lease to and fro, and look for every row; the databases."""
    _make_databases(system.candidates[0])
    names = [f"{mode}.db" for mode in MODES]
    target = system.candidates[1]
    if not wait_until(lambda: all((target.mount / name).exists() for name in names), TURN_SECONDS):
        outcome.findings.same("databases", f"on {target.name}", ("none", names))
        return []
    writers = {mode: [Writer(node, mode) for node in system.candidates] for mode in MODES}
    everyone = [writer for group in writers.values() for writer in group]
    try:
        for writer in everyone:
            writer.start()
        for number in range(1, handoffs + 1):
            target = next(node for node in system.candidates if not node.is_primary)
            with _rested(system, everyone):
                leads = _hand_to(system, target, by_promote=number % 4 < 2)
            outcome.findings.same("handoff", f"number {number}", (leads, target.name))
            wait_until(_writes_of([one for one in everyone if one.name.startswith(leads)]), TURN_SECONDS)
    finally:
        for writer in everyone:
            writer.stop()
    for mode, group in writers.items():
        wanted = [row for writer in group for row in writer.acknowledged]
        outcome.findings.same(
            "writes on both nodes", mode, ([bool(one.acknowledged) for one in group], [True] * 2)
        )
        for node in system.candidates:
            _check_rows(node, mode, wanted, outcome)
    return names


@contextlib.contextmanager
def _rested(system: LeasedSystem, writers: list[Writer]) -> Iterator[None]:
    """The clients of a primary that is no pylitefs rest, once all that they wrote is on both nodes."""
    primary, other = system.pair
    assert primary.program is not None
    with contextlib.ExitStack() as resting:
        if not primary.program.is_pylitefs:
            for writer in writers:
                if writer.node is primary:
                    resting.enter_context(writer.resting())
            wait_until(lambda: _txids(primary) == _txids(other), TURN_SECONDS)
        yield


def _txids(node: ProgramNode) -> dict[str, int]:
    """How far each database is: LiteFS tells no checksum."""
    return {name: pos.txid for name, pos in node.positions().items()}


def _make_databases(primary: Candidate) -> None:
    maker = Driver("made")
    for mode in MODES:
        maker.ask("open", PATIENCE, path=str(primary.mount / f"{mode}.db"))
        for text in (f"PRAGMA journal_mode={mode}", "CREATE TABLE t(row)"):
            maker.ask("sql", PATIENCE, text=text)
        maker.ask("close", PATIENCE)
    maker.close()


def _writes_of(writers: list[Writer]) -> Callable[[], bool]:
    """Whether each of them has written some more."""
    before = [len(writer.acknowledged) for writer in writers]
    return lambda: all(
        len(writer.acknowledged) >= n + _WRITES for writer, n in zip(writers, before, strict=True)
    )


def _hand_to(system: LeasedSystem, target: Candidate, *, by_promote: bool) -> str:
    """Make it the primary; who leads in the end."""
    leads = None
    for _ in range(ASKED):
        before = system.leases.acquired
        try:
            url = f"{target.url}/promote" if by_promote else _handoff_url(system.pair[0], target)
            httpx.post(url, **PLAIN)
        except (httpx.HTTPError, PylitefsError):
            continue
        leads = system.settle(after=before, seconds=TURN_SECONDS) or system.settle(seconds=TURN_SECONDS)
        if leads is target:
            break
    return leads.name if leads else "nobody"


def _handoff_url(primary: ProgramNode, target: Candidate) -> str:
    return f"{primary.url}/handoff?nodeID={target.node_id()}"


def _check_rows(node: Candidate, mode: str, wanted: list[str], outcome: MixedOutcome) -> None:
    """Every acknowledged row is there, and no row twice."""
    reader = Driver(f"{node.name} reads")
    found: list[str] = []

    def has_all() -> bool:
        reader.ask("open", PATIENCE, path=str(node.mount / f"{mode}.db"))
        answer = reader.ask("all", PATIENCE, text="SELECT row FROM t")
        reader.ask("close", PATIENCE)
        found[:] = [row for [row] in answer.get("rows", [])]
        return set(wanted) <= set(found)

    wait_until(has_all, TURN_SECONDS, 0.1)
    reader.close()
    lost = sorted(set(wanted) - set(found))
    twice = sorted({row for row in found if found.count(row) > 1}) if len(set(found)) < len(found) else []
    where = f"{mode}.db on {node.name}, {len(wanted)} acknowledged"
    outcome.findings.same("rows lost", where, (lost, []))
    outcome.findings.same("rows twice", where, (twice, []))
