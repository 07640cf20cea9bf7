"""What becomes of the LTX files of a stream: together if they can be, else one by one, each in its turn."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import wait_until
from pylitefs.errors import ReplicationError
from pylitefs.replication.frames import (
    Decoder,
    Frame,
    HighWaterMark,
    LtxBegin,
    LtxChunk,
    LtxEnd,
    pack_ltx_body,
)
from pylitefs.replication.gathering import SHORT
from pylitefs.replication.intake import CannotGoOnError, Intake
from pylitefs.store.incoming import HeldUpError, Received
from pylitefs.store.store import Store
from tests.replication.stores import Writer, database_bytes, opened

NAME = "made.db"


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "primary", primary=True) as store:
        yield store


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "replica") as store:
        yield store


@pytest.fixture
def taken(replica: Store) -> Intake:
    return Intake(replica, lambda name, error: None, lambda name, txid, kind, data: None)


def files(primary: Store, count: int, size: int = 2) -> list[bytes]:
    writer = Writer(primary)
    for number in range(1, count + 1):
        writer.commit(dict.fromkeys(range(1, size + 1), number))
    database = primary.require(NAME)
    return [database.ltx_path(*span).read_bytes() for span in database.ltx_files()]


def send(taken: Intake, content: bytes, name: str = NAME) -> None:
    frames: Iterator[Frame] = iter((LtxChunk(content[:100]), LtxChunk(content[100:]), LtxEnd()))
    taken.receive(name, frames)


def count_calls(replica: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How the store takes them in."""
    calls: list[str] = []
    for method in ("receive_ltx", "receive_together"):
        original = getattr(replica, method)

        def spy(*args: object, method: str = method, original: object = original) -> object:
            calls.append(method)
            assert callable(original)
            return original(*args)

        monkeypatch.setattr(replica, method, spy)
    return calls


def test_what_came_together_is_taken_in_together(
    primary: Store, replica: Store, taken: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is a snapshot, and so is received by itself, the other way; each file is kept as it came."""
    sent = files(primary, 6)
    calls = count_calls(replica, monkeypatch)
    for content in sent[:1]:
        send(taken, content)
    taken.flush()
    for content in sent[1:]:
        send(taken, content)
    assert replica.positions()[NAME].txid == 1, "nothing else came"
    taken.flush()
    assert calls == ["receive_together", "receive_ltx", "receive_together"]
    assert replica.positions() == primary.positions() and taken.is_level
    there = replica.require(NAME)
    assert [there.ltx_path(n, n).read_bytes() for n in range(1, 7)] == sent


def test_those_that_cannot_be_taken_in_together_are_one_by_one(
    primary: Store, replica: Store, taken: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = files(primary, 4)
    calls = count_calls(replica, monkeypatch)
    for content in sent:
        send(taken, content)
    taken.flush()
    assert calls == ["receive_together"] + ["receive_ltx"] * 4
    assert replica.positions() == primary.positions()


def test_a_long_one_comes_after_those_that_are_gathered(
    primary: Store, replica: Store, taken: Intake
) -> None:
    sent = files(primary, 3)
    writer = Writer(primary)
    writer.pages = dict.fromkeys((1, 2), bytes(512))
    for content in sent:
        send(taken, content)
    writer = Writer(primary)
    writer.pages = {1: bytes([3]) * 512, 2: bytes([3]) * 512}
    writer.commit(dict.fromkeys(range(1, 200), 7))
    long = primary.require(NAME).ltx_path(4, 4).read_bytes()
    assert len(long) > SHORT
    send(taken, long)
    assert replica.positions() == primary.positions()


@pytest.mark.parametrize("size", [2, 200], ids=["short", "long"])
def test_one_that_comes_while_the_one_before_is_held_up_queues_behind_it(
    primary: Store, replica: Store, taken: Intake, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """The gathered ones are handed on while the next one is half here, and their readers hold them up."""
    sent = files(primary, 2)
    writer = Writer(primary)
    writer.pages = {1: bytes([2]) * 512, 2: bytes([2]) * 512}
    for number in (7, 8):
        writer.commit(dict.fromkeys(range(1, size), number))
    sent += [primary.require(NAME).ltx_path(txid, txid).read_bytes() for txid in (3, 4)]
    send(taken, sent[0])
    taken.flush()
    gone = threading.Event()

    def held_up(name: str, contents: list[bytes], patience: float | None) -> Received:
        monkeypatch.undo()

        def finish() -> Received:
            gone.wait(10)
            return replica.receive_ltx(name, contents)

        raise HeldUpError(name, "a reader", finish)

    def half_here(content: bytes) -> Iterator[Frame]:
        yield LtxChunk(content[:200])
        taken.flush()
        yield LtxChunk(content[200:])
        yield LtxEnd()

    monkeypatch.setattr(replica, "receive_together", held_up)
    send(taken, sent[1])
    taken.receive(NAME, half_here(sent[2]))
    send(taken, sent[3])
    taken.flush()
    assert replica.positions()[NAME].txid == 1 and not taken.is_level
    gone.set()
    assert wait_until(lambda: taken.is_level, 10)
    assert replica.positions() == primary.positions()


def test_one_that_is_damaged_stops_at_its_place(primary: Store, replica: Store, taken: Intake) -> None:
    """Those before it are kept, and after three times of the same the replica gives up."""
    sent = files(primary, 4)
    damaged = sent[2][:-1] + bytes([sent[2][-1] ^ 1])
    for content in (*sent[:2], damaged, sent[3]):
        send(taken, content)
    with pytest.raises(ReplicationError, match="is refused"):
        taken.flush()
    assert replica.positions()[NAME].txid == 2
    for error in (ReplicationError, CannotGoOnError):
        taken.asking_anew()
        send(taken, damaged)
        with pytest.raises(error):
            taken.flush()


def test_what_was_gathered_when_the_connection_ended_is_asked_for_again(
    primary: Store, replica: Store, taken: Intake
) -> None:
    sent = files(primary, 2)
    for content in sent:
        send(taken, content)
    taken.asking_anew()
    taken.flush()
    assert replica.positions() == {}
    for content in sent:
        send(taken, content)
    taken.flush()
    assert replica.positions() == primary.positions()


@pytest.mark.parametrize("step", [29, pytest.param(1, marks=pytest.mark.full)])
def test_a_connection_may_end_at_any_byte(primary: Store, replica: Store, taken: Intake, step: int) -> None:
    """Of three short ones and their marks: what was not whole by then is not there; the next one goes on."""
    writer = Writer(primary, compress=True)
    send(taken, files(primary, 1)[0])
    taken.flush()
    writer.pages = {1: bytes([1]) * 512, 2: bytes([1]) * 512}
    cut, there = 0, replica.require(NAME)
    while True:
        first = primary.require(NAME).pos.txid + 1
        for number in range(first, first + 3):
            writer.commit({1: number % 250, 2 + number % 3: number % 251})
        sent = [packed(primary, txid) for txid in range(first, first + 3)]
        ends = [len(b"".join(sent[: count + 1])) for count in range(3)]
        follow(taken, b"".join(sent)[:cut])
        whole = sum(end <= cut + len(MARK) for end in ends)
        came = there.pos.txid - (first - 1)
        assert 0 <= came <= whole
        assert [span[1] for span in there.ltx_files()][-1] == there.pos.txid
        taken.asking_anew()
        follow(taken, b"".join(sent[came:]))
        assert replica.positions() == primary.positions()
        if cut >= ends[-1]:
            break
        cut = min(cut + step, ends[-1])
    assert database_bytes(replica, NAME) == database_bytes(primary, NAME)


MARK = HighWaterMark(0, NAME).pack()


def packed(primary: Store, txid: int) -> bytes:
    """A transaction as it goes over the wire."""
    content = primary.require(NAME).ltx_path(txid, txid).read_bytes()
    return b"".join((LtxBegin(NAME).pack(), pack_ltx_body(content), LtxEnd().pack(), MARK))


def follow(taken: Intake, data: bytes) -> None:
    """A connection that brings these bytes, and ends."""
    frames = Decoder().feed(data)
    with suppress(ReplicationError):
        for frame in frames:
            if isinstance(frame, LtxBegin):
                taken.receive(NAME, frames)
        taken.flush()
