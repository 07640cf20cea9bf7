"""What is held, and which of it a step releases: by the step it came in, then by node, writer, peer, name."""

import itertools
import random

from pylitefs.control.events import Rule as NodeRule
from pylitefs.lecture.live.holds import Held, Holds, Pausing
from pylitefs.lecture.model import Json
from pylitefs.trace import Event

ORDER = ["n1", "n2", "n3"]


def held(
    node: str = "n1",
    seq: int = 1,
    name: str = "ltx.commit",
    *,
    born: int = 1,
    pid: int = 0,
    peer: str = "",
    applier: bool = False,
) -> Held:
    return Held(node, seq, name, "data.db", 2, pid, peer, born, 1000, applier, "n1 itself")


def order(*found: Held) -> list[Held]:
    holds = Holds(ORDER)
    for one in found:
        holds.add(one)
    return holds.on()


def test_what_is_held_longest_goes_first() -> None:
    old, new = held("n3", 9, born=1), held("n1", 1, born=2)
    assert order(new, old) == [old, new]


def test_of_one_step_the_nodes_go_in_their_order() -> None:
    first, second, third = held("n1", 5), held("n2", 3), held("n3", 1)
    assert order(third, second, first) == [first, second, third]


def test_on_a_node_the_writer_goes_before_the_node_s_own_threads_and_its_applier() -> None:
    writer, own = held(seq=7, pid=42), held(seq=3, name="stream.send", peer="n2")
    applier = held(seq=1, pid=43, name="page.apply", applier=True)
    assert order(own, applier, writer) == [writer, applier, own]


def test_streams_go_in_the_order_of_their_peers() -> None:
    to_n2, to_n3 = held(seq=8, name="stream.send", peer="n2"), held(seq=2, name="stream.send", peer="n3")
    assert order(to_n3, to_n2) == [to_n2, to_n3]


def test_the_order_in_which_events_arrive_never_matters() -> None:
    found = [
        held("n1", 1, pid=5),
        held("n1", 2, name="stream.send", peer="n2"),
        held("n1", 3, name="stream.send", peer="n3"),
        held("n2", 1, name="stream.receive", peer="n1"),
        held("n3", 1, name="stream.receive", peer="n1", born=0),
    ]
    wanted = order(*found)
    for arrival in itertools.permutations(found):
        # The nodes' own numbers depend on who was faster: they break no tie that anything else breaks.
        numbers = random.Random(str(arrival)).sample(range(100), len(arrival))
        again = [
            Held(o.node, n, o.name, o.database, o.txid, o.pid, o.peer, o.born, o.wall_ms, o.applier, o.who)
            for o, n in zip(arrival, numbers, strict=True)
        ]
        assert [(o.node, o.name, o.peer) for o in order(*again)] == [(o.node, o.name, o.peer) for o in wanted]


def test_a_node_s_own_can_be_asked_for_and_forgotten() -> None:
    holds = Holds(ORDER)
    one, two = held("n1", 1), held("n2", 1)
    holds.add(one)
    holds.add(two)
    assert holds.next() == one and holds.next("n2") == two and holds.next("n3") is None
    assert holds.told() == "n1 at ltx.commit, n2 at ltx.commit" and len(holds) == 2
    holds.forget("n1")
    assert holds.on() == [two]
    holds.remove(two)
    assert not holds and holds.told() == "nothing"


def test_the_state_names_what_is_held_on_every_node() -> None:
    holds = Holds(ORDER)
    holds.add(held("n2"))
    assert holds.shown() == {
        "node/n1/held": [],
        "node/n2/held": [
            {
                "name": "ltx.commit",
                "database": "data.db",
                "txid": 2,
                "who": "n1 itself",
                "peer": "",
                "wall_ms": 1000,
            }
        ],
        "node/n3/held": [],
    }


def test_what_comes_by_the_clock_is_held_only_where_it_is_named() -> None:
    assert "retention.reap" in Pausing().rule([])["except"]
    assert "retention.reap" not in Pausing(("retention.reap",)).rule([])["except"]
    assert Pausing(without=("page.write",)).rule([7, 3])["pids"] == [3, 7]


def message(name: str, pid: int, applier: bool) -> Json:
    payload: Json = {"applier": True} if applier else {}
    return {
        "seq": 1, "name": name, "database": "data.db", "txid": 1, "pid": pid, "wall_ns": 0, "payload": payload
    }  # fmt: skip


def test_a_rule_matches_here_what_it_matches_in_the_node() -> None:
    rules = [
        Pausing().rule([7]),
        Pausing(("ltx.commit", "lock.acquire")).rule([7]),
        Pausing(without=("page.apply", "lock.acquire")).rule([]),
        Pausing(("lock.acquire",)).rule([]),
    ]
    events = itertools.product(
        ("ltx.commit", "page.apply", "lock.acquire", "retention.reap"), (0, 7, 8), (True, False)
    )
    for rule, (name, pid, applier) in itertools.product(rules, list(events)):
        found = message(name, pid, applier)
        event = Event(name, "n1", "data.db", 1, 0, 0, pid, found["payload"])
        assert Held.of("n1", found, 1).matches(rule) == NodeRule.from_json(rule).matches(event)


def test_a_changed_rule_keeps_what_it_matches() -> None:
    holds = Holds(ORDER)
    commit, send = held(seq=1), held(seq=2, name="stream.send")
    holds.add(commit)
    holds.add(send)
    holds.keep("n2", None)
    assert len(holds) == 2
    holds.keep("n1", Pausing(("stream.send",)).rule([]))
    assert holds.on() == [send]
    holds.keep("n1", None)
    assert not holds
