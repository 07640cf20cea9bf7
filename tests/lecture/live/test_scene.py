"""What the parts of a lecture share: what is held, and what nodes told; the nodes are made up here."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pylitefs.errors import LessonError
from pylitefs.lecture.live.scene import Scene
from pylitefs.lecture.model import Entry, Json


class Channel:
    """A node's control channel that notes what is asked of it; `gone` is one that was killed."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.gone = False

    def _ask(self, what: object) -> None:
        if self.gone:
            raise EOFError
        self.asked.append(what)

    def hold(self, rule: object) -> None:
        self._ask(("hold", rule and sorted(cast(Any, rule)["pids"])))

    def let(self, seq: int) -> None:
        self._ask(("let", seq))


class Nodes:
    def __init__(self) -> None:
        self.by_name = {name: SimpleNamespace(name=name, control=Channel()) for name in ("n1", "n2")}
        self.alive = list(self.by_name.values())

    def shown(self) -> Json:
        return {"nodes": list(self.by_name)}

    def name_of_id(self, node_id: str) -> str | None:
        return {"B": "n2"}.get(node_id)


@pytest.fixture
def told() -> list[Entry]:
    return []


@pytest.fixture
def scene(told: list[Entry]) -> Iterator[Scene]:
    one = Scene(lambda entry, dumps: told.append(entry))
    one.stage = cast(Any, Nodes())
    yield one
    one.chronicle.close()


def push(scene: Scene, name: str, seq: int, *, held: bool = True, pid: int = 0, **payload: object) -> None:
    """n1 pushes an event."""
    event = {
        "seq": seq, "name": name, "node": "n1", "database": "data.db", "txid": 4, "pid": pid, "thread": "t",
        "monotonic_ns": seq, "wall_ns": seq, "payload": payload,
    }  # fmt: skip
    scene.chronicle.put("n1", {"event": event, "bytes": [], "held": held})
    scene.chronicle.drain()


def asked(scene: Scene, node: str = "n1") -> list[object]:
    found: list[object] = cast(Any, scene.nodes).by_name[node].control.asked
    return found


def test_without_nodes_it_says_how_to_begin(told: list[Entry]) -> None:
    scene = Scene(lambda entry, dumps: None)
    with pytest.raises(LessonError, match="begin with `cluster"):
        _ = scene.nodes
    assert scene.state() == {}
    scene.check_open()
    scene.close()
    with pytest.raises(LessonError, match="closed"):
        scene.check_open()
    scene.chronicle.close()


def test_what_is_held_is_let_once_and_only_there(scene: Scene) -> None:
    push(scene, "ltx.commit", 5)
    push(scene, "pos.advance", 6, held=False, checksum=9)
    (held,) = scene.holds.on("n1")
    assert (held.seq, held.name) == (5, "ltx.commit")
    scene.let(held)
    assert asked(scene) == [("let", 5)] and asked(scene, "n2") == [] and not scene.holds


def test_who_only_looks_is_not_held_and_its_locks_are_no_history(scene: Scene, told: list[Entry]) -> None:
    scene.observers.add(77)
    push(scene, "lock.acquire", 5, pid=77, lock="SHARED", kind="read", file="database")
    assert asked(scene) == [("let", 5)] and not scene.holds
    push(scene, "lock.acquire", 6, pid=78, lock="SHARED", kind="read", file="database")
    assert len(scene.holds.on("n1")) == 1
    scene.tell("note", "note", "The end.")
    assert [entry.name for entry in told] == ["lock.acquire", "note"]


def test_positions_checksums_and_connections_are_remembered_until_the_nodes_are_gone(scene: Scene) -> None:
    push(scene, "pos.advance", 5, held=False, checksum=9)
    push(scene, "stream.connect", 6, held=False, peer="B")
    push(scene, "stream.connect", 7, held=False, peer="unknown")
    assert scene.positions == {("n1", "data.db"): (4, 9)} and scene.checksums["n1", "data.db", 4] == 9
    assert scene.connects["n2"] == 1 and len(scene.seen) == 3
    scene.paused = True
    scene.clear()
    assert not (scene.positions or scene.checksums or scene.connects or scene.seen or scene.paused)


def test_a_rule_goes_to_every_node_that_runs_with_its_own_shells(scene: Scene) -> None:
    """And what is held and does not match it any more is forgotten: the node lets it go."""
    scene.typists.update({70: "n1", 71: "n2", 72: "n1"})
    push(scene, "ltx.commit", 5)
    scene.paused = True
    scene.hold_by_mode()
    assert asked(scene) == [("hold", [70, 72])] and asked(scene, "n2") == [("hold", [71])]
    assert scene.holds
    cast(Any, scene.nodes).by_name["n2"].control.gone = True
    scene.paused = False
    scene.hold_by_mode()
    assert asked(scene)[-1] == ("hold", None) and not scene.holds


def test_an_entry_brings_what_of_the_state_is_new(scene: Scene, told: list[Entry]) -> None:
    scene.tell("command", "pause", "From now on.", changes={"question": "?"})
    scene.tell("command", "run", "On.")
    assert told[0].set["nodes"] == ["n1", "n2"] and told[0].set["mode"] == "running"
    assert told[0].set["question"] == "?" and told[1].set == {}
    scene.paused = True
    scene.tell("command", "step", "One.")
    assert told[2].set == {"mode": "paused"}
