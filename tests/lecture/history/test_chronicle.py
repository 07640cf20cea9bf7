"""One history of what several nodes push and the director does: in order, numbered, each entry once."""

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from pylitefs.lecture.history.chronicle import Chronicle
from pylitefs.lecture.invariants import told as of_recording
from pylitefs.lecture.model import Dump, Entry, Json, state_at


class Told:
    """A chronicle and what it emitted; `hidden` names events that are not to be told."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.hidden: set[str] = set()
        self.chronicle = Chronicle(self._emit, self._on_event)

    def _emit(self, entry: Entry, dumps: Sequence[Dump]) -> None:
        self.entries.append(entry)

    def _on_event(self, node: str, message: Json, entry: Entry) -> Json | None:
        return None if entry.name in self.hidden else {f"seen/{node}": entry.name}

    @property
    def names(self) -> list[str]:
        return [entry.name for entry in self.entries]


@pytest.fixture
def told() -> Iterator[Told]:
    one = Told()
    yield one
    one.chronicle.close()


def message(name: str, at_ns: int, node: str = "n1") -> Json:
    event = {
        "seq": 1, "name": name, "node": node, "database": "data.db", "txid": 1, "pid": 0, "thread": "x",
        "monotonic_ns": at_ns, "wall_ns": at_ns, "payload": {},
    }  # fmt: skip
    return {"event": event, "bytes": [], "held": False}


def test_events_of_several_nodes_stand_in_the_order_of_time(told: Told) -> None:
    told.chronicle.begin_command()
    told.chronicle.put("n2", message("stream.receive", 20))
    told.chronicle.put("n1", message("stream.send", 10))
    told.chronicle.put("n2", message("ltx.verify", 30))
    told.chronicle.end_command()
    assert sorted(told.names) == ["ltx.verify", "stream.receive", "stream.send"]
    assert told.names == ["stream.send", "stream.receive", "ltx.verify"]
    assert [entry.seq for entry in told.entries] == [0, 1, 2]
    assert [entry.node for entry in told.entries] == ["n1", "n2", "n2"]


def test_a_command_s_last_entry_says_stop_also_where_it_is_an_event(told: Told) -> None:
    told.chronicle.begin_command()
    told.chronicle.tell(Entry(0, 0.0, "command", "step"))
    told.chronicle.put("n1", message("ltx.commit", 1))
    told.chronicle.end_command()
    assert [(entry.name, entry.stop) for entry in told.entries] == [("step", False), ("ltx.commit", True)]
    told.chronicle.begin_command()
    told.chronicle.tell(Entry(0, 0.0, "command", "expect"))
    told.chronicle.end_command(stop=False)
    assert not told.entries[-1].stop


def test_what_comes_between_commands_is_told_by_itself(told: Told, eventually: Callable[..., None]) -> None:
    told.chronicle.put("n1", message("ltx.commit", 1))
    eventually(lambda: told.names == ["ltx.commit"], "nobody had to ask")
    assert not told.entries[0].stop


def test_the_state_is_what_all_entries_give(told: Told) -> None:
    told.chronicle.with_next({"question": "open"})
    told.chronicle.tell(Entry(0, 0.0, "command", "a"), lambda: {"mode": "paused", "nodes": ["n1"]})
    told.chronicle.tell(Entry(0, 0.0, "command", "b"), lambda: {"mode": None})
    told.chronicle.put("n1", message("ltx.commit", 1))
    told.chronicle.drain()
    assert told.chronicle.state == state_at(told.entries)
    assert told.chronicle.state == {"nodes": ["n1"], "question": "open", "seen/n1": "ltx.commit"} | {
        key: value
        for key, value in told.chronicle.state.items()
        if key.startswith(("db/", "page/", "invariants"))
    }


def test_the_five_sentences_are_told_with_the_entry_that_breaks_one(told: Told) -> None:
    """A live history says of them what a recording of it will say; a new one begins green."""
    told.chronicle.tell(Entry(0, 0.0, "command", "cluster"), lambda: {"nodes": ["n1"]})
    told.chronicle.put("n1", message("pos.advance", 1))
    told.chronicle.drain()
    assert [one.set["invariants"][0]["state"] for one in told.entries] == ["holds", "broken"]
    assert tuple(told.entries) == of_recording(told.entries)
    told.chronicle.begin_again()
    told.chronicle.tell(Entry(0, 0.0, "command", "cluster"), lambda: {"nodes": ["n1"]})
    assert told.entries[-1].set["invariants"][0]["state"] == "holds"


def test_an_event_that_is_not_to_be_told_leaves_no_gap(told: Told) -> None:
    told.hidden.add("lock.acquire")
    told.chronicle.begin_command()
    for number, name in enumerate(("ltx.encode", "lock.acquire", "ltx.commit")):
        told.chronicle.put("n1", message(name, number))
    told.chronicle.end_command()
    assert told.names == ["ltx.encode", "ltx.commit"] and told.entries[1].seq == 1
    assert told.chronicle.count == 3


def test_time_never_goes_back(told: Told) -> None:
    told.chronicle.tell(Entry(0, 0.0, "command", "a"))
    told.chronicle.put("n1", message("ltx.commit", 1))
    told.chronicle.drain()
    told.chronicle.tell(Entry(0, 0.0, "command", "b"))
    times = [entry.t_ms for entry in told.entries]
    assert times == sorted(times) and times[0] >= 0


def test_a_history_begins_anew_at_0(told: Told) -> None:
    told.chronicle.tell(Entry(0, 0.0, "command", "a"), lambda: {"mode": "paused"})
    told.chronicle.begin_again()
    told.chronicle.tell(Entry(0, 0.0, "command", "b"))
    assert [entry.seq for entry in told.entries] == [0, 0] and told.chronicle.state == {}


def test_one_entry_is_emitted_at_a_time_and_none_after_the_end() -> None:
    busy, most = threading.Semaphore(1), []

    def emit(entry: Entry, dumps: Sequence[Dump]) -> None:
        assert busy.acquire(blocking=False), "two at once"
        most.append(entry.seq)
        busy.release()

    chronicle = Chronicle(emit, lambda node, message, entry: {})

    def tell() -> None:
        for _ in range(50):
            chronicle.tell(Entry(0, 0.0, "command", "x"))

    threads = [threading.Thread(target=tell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(100):
        chronicle.put("n1", message("ltx.commit", number))
    for thread in threads:
        thread.join()
    chronicle.drain()
    assert most == list(range(300))
    chronicle.close()
    chronicle.tell(Entry(0, 0.0, "command", "late"))
    assert len(most) == 300
