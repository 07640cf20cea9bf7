"""A lease that goes to and fro under writes: who rests when, and which rows are looked for."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from pylitefs.cluster.nursery import Nursery
from pylitefs.compare import mixed_lease, programs
from pylitefs.compare.driver import ENDED
from pylitefs.compare.findings import Findings, MixedOutcome
from pylitefs.compare.leased import LeasedSystem
from pylitefs.compare.mixed_lease import Writer, hand_over
from pylitefs.compare.programs import ProgramError, find
from tests.compare.plain import OURS, THEIRS

READONLY = {"error": "SQLITE_READONLY: attempt to write a readonly database"}


class ScriptedDriver:
    """A client that gives the answers of a test, then always takes a write."""

    answers: list[dict[str, Any]] = []
    asked: list[str] = []

    def __init__(self, salt: str) -> None:
        self.salt = salt

    def ask(self, op: str, seconds: float = 0, **arguments: object) -> dict[str, Any]:
        self.asked.append(op)
        if op == "close":
            return {"error": ENDED} if "ended" in self.asked else {"rows": []}
        return self.answers.pop(0) if op == "sql" and self.answers else {"rows": []}

    def kill(self) -> None:
        self.asked.append("kill")

    def close(self) -> None:
        self.asked.append("end")


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> type[ScriptedDriver]:
    monkeypatch.setattr(mixed_lease, "Driver", ScriptedDriver)
    monkeypatch.setattr(mixed_lease, "_PATIENT", 2)
    ScriptedDriver.answers, ScriptedDriver.asked = [], []
    return ScriptedDriver


def candidate(name: str = "n1", program: Any = OURS, txid: int = 7) -> Any:
    positions = {"a.db": SimpleNamespace(txid=txid)}
    return SimpleNamespace(name=name, mount=Path("/mnt"), program=program, positions=lambda: positions)


def test_a_writer_goes_on_and_connects_anew_where_that_helps(driver: type[ScriptedDriver]) -> None:
    """A refusal of a replica is borne for a while, any other one is not; a dead client is started anew."""
    writer = Writer(candidate(), "wal")
    driver.answers = [READONLY, {"rows": []}, READONLY, READONLY, {"error": "SQLITE_IOERR"}]
    for number in range(5):
        writer._write(f"row {number}")
    assert writer.acknowledged == ["row 1"]
    assert driver.asked == ["sql"] * 4 + ["close", "open", "sql", "close", "open"]
    driver.asked.append("ended")
    writer._open()
    assert driver.asked[-3:] == ["close", "kill", "open"]


def test_a_writer_writes_until_it_is_stopped_and_rests_while_it_is_to(
    driver: type[ScriptedDriver], eventually: Callable[..., None]
) -> None:
    writer = Writer(candidate(), "delete")
    with writer.resting():
        writer.start()
        eventually(lambda: driver.asked == ["close", "open"], "its connection")
        assert writer.acknowledged == []
    eventually(lambda: len(writer.acknowledged) > 2, "some rows")
    writer.stop()
    assert writer.acknowledged[:2] == ["n1 delete 1", "n1 delete 2"] and driver.asked[-1] == "end"


def test_clients_rest_where_another_program_hands_the_lease_over(driver: type[ScriptedDriver]) -> None:
    """It ends itself in the middle of a write. Who writes on the other node goes on."""
    del driver
    ours, theirs = candidate("n1", OURS), candidate("n2", THEIRS)
    writers = [Writer(ours, "wal"), Writer(theirs, "wal")]
    for pair, rests in (([ours, theirs], [False, False]), ([theirs, ours], [False, True])):
        system: Any = SimpleNamespace(pair=pair)
        with mixed_lease._rested(system, writers):
            assert [writer.resting().locked() for writer in writers] == rests
        assert not any(writer.resting().locked() for writer in writers)


def test_a_row_that_is_missing_or_there_twice_is_a_difference(
    driver: type[ScriptedDriver], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {"rows": [["a"], ["b"], ["b"], ["x"]]}
    monkeypatch.setattr(driver, "ask", lambda driver, op, *more, **words: rows if op == "all" else {})
    monkeypatch.setattr(mixed_lease, "TURN_SECONDS", 0)
    outcome = MixedOutcome("title", Findings("lease"))
    mixed_lease._check_rows(candidate(), "wal", ["a", "b", "c"], outcome)
    assert [(one.aspect, one.ours) for one in outcome.findings.differences] == [
        ("rows lost", "['c']"),
        ("rows twice", "['b']"),
    ]


def test_a_handoff_is_asked_for_again_until_the_target_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    """By `/handoff` on the primary, or `/promote` on the other one. One who refuses is asked five times."""
    first, second = (SimpleNamespace(name=name, url=f"http://{name}", node_id=lambda: "AB") for name in "ab")
    led: list[Any] = [None, first, second]
    asked: list[str] = []
    system: Any = SimpleNamespace(
        pair=[first, second], leases=SimpleNamespace(acquired=3), settle=lambda **options: led.pop(0)
    )
    monkeypatch.setattr(httpx, "post", lambda url, **options: asked.append(url))
    target: Any = second
    assert mixed_lease._hand_to(system, target, by_promote=False) == "b"
    assert asked == ["http://a/handoff?nodeID=AB"] * 2
    led[:] = [first] * 5
    assert mixed_lease._hand_to(system, target, by_promote=True) == "a"
    assert asked[2:] == ["http://b/promote"] * 5


@pytest.fixture
def system(tmp_path: Path, nursery: Nursery | None) -> Iterator[Callable[..., LeasedSystem]]:
    made: list[LeasedSystem] = []

    def make(*programs: Any) -> LeasedSystem:
        one = LeasedSystem(tmp_path, *programs, reconnect="100ms")
        for node in one.candidates:
            if node.program is not None and node.program.is_pylitefs:
                node.nursery = nursery
        made.append(one)
        one.start()
        return one

    yield make
    for one in made:
        one.stop()
        for node in one.candidates:  # Shown where the test fails.
            print(f"--- {node.name}\n{node.log_tail(60)}")


@pytest.mark.fuse
@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.parametrize("other", ["pylitefs", "LiteFS first", "LiteFS second"])
def test_no_row_is_lost_while_the_lease_goes_to_and_fro(
    system: Callable[..., LeasedSystem], other: str
) -> None:
    """With another pylitefs, and with real LiteFS where there is one on the PATH."""
    both = [programs.ours(), programs.ours()]
    if other.startswith("LiteFS"):
        try:
            both[other.endswith("second")] = find(None)
        except ProgramError as error:
            pytest.skip(str(error))
    outcome = MixedOutcome("title", Findings("lease"))
    assert hand_over(system(*both), outcome, 6) == ["delete.db", "wal.db"]
    assert outcome.findings.differences == []
    assert outcome.findings.equal["handoff"] == 6 and outcome.findings.equal["rows lost"] == 4
