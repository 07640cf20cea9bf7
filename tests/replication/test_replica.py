"""The replica's end of a stream: a real thread against real and scripted primaries on the loopback."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pylitefs.errors import BusyError, LtxChecksumError, PositionMismatchError
from pylitefs.lease.static import PrimaryInfo
from pylitefs.ltx.header import HEADER_SIZE
from pylitefs.ltx.position import Pos
from pylitefs.replication.frames import (
    End,
    Handoff,
    Heartbeat,
    LtxBegin,
    LtxEnd,
    Ready,
    decode_positions,
    pack_ltx_body,
)
from pylitefs.replication.replica import Replica
from pylitefs.store.status import LAG_NEVER_SYNCED
from pylitefs.store.store import Store
from tests.replication.scripted import ScriptedPrimary, playing, wire
from tests.replication.stores import CLUSTER, Writer, database_bytes, opened, serving

Eventually = Callable[..., None]
READY = Ready().pack() + Heartbeat(1_700_000_000_000).pack()


class Following:
    """A replica at work, and what it called back."""

    def __init__(self, store: Store, info: PrimaryInfo, databases: tuple[str, ...], silence: float) -> None:
        self.store = store
        self.fatal: list[Exception] = []
        self.changes: list[str | None] = []
        self.replica = Replica(
            store,
            lambda: info,
            databases=databases,
            reconnect_delay=0.05,
            on_fatal=self.fatal.append,
            on_change=lambda: self.changes.append(store.status.primary_hostname),
            silence=silence,
        )


@contextmanager
def following(
    store: Store, info: PrimaryInfo, *, databases: tuple[str, ...] = (), silence: float = 5.0
) -> Iterator[Following]:
    following = Following(store, info, databases, silence)
    following.replica.start()
    try:
        yield following
    finally:
        assert following.replica.stop()
        assert store.status.primary_hostname is None


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "primary", primary=True) as store:
        yield store


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "replica", cluster=None) as store:
        yield store


def test_rows_follow(primary: Store, replica: Store, eventually: Eventually) -> None:
    """First all at once, then each transaction as it is made; position and bytes are the primary's."""
    writer = Writer(primary)
    writer.commit({1: 1, 2: 2})
    with serving(primary) as info, following(replica, info) as node:
        eventually(lambda: replica.status.ready, "ready")
        for value in range(3, 8):
            writer.commit({1 + value % 3: value})
        eventually(lambda: replica.positions() == primary.positions(), "the same positions")
        assert database_bytes(replica, "made.db") == writer.whole()
        assert node.fatal == []
        assert node.replica.latencies["made.db"] < 5


def test_the_status_tells_of_the_primary_only_while_connected(
    primary: Store, replica: Store, eventually: Eventually
) -> None:
    """Hostname and URL, and the callback for those who watch."""
    with serving(primary) as info, following(replica, info) as node:
        eventually(lambda: replica.status.ready, "ready")
        assert replica.status.primary_hostname == "primary-host"
        assert replica.status.primary_url == info.advertise_url
    assert node.changes == ["primary-host", None]


def test_heartbeats_count_the_lag(primary: Store, replica: Store, eventually: Eventually) -> None:
    """Never synced before the first one; then the primary's clock."""
    assert replica.status.lag_ms() == LAG_NEVER_SYNCED
    with serving(primary) as info, following(replica, info):
        eventually(lambda: replica.status.heard_ms is not None, "a heartbeat")
        first = replica.status.heard_ms
        eventually(lambda: replica.status.heard_ms != first, "the next heartbeat")
        assert replica.status.lag_ms() < 1500


def test_a_heartbeat_of_zero_is_a_sign_of_life_and_no_more(replica: Store, eventually: Eventually) -> None:
    """The primary is busy with a first snapshot: this node is not in sync yet."""
    beats = Heartbeat(0).pack()
    with playing(ScriptedPrimary([beats])) as info, following(replica, info):
        eventually(lambda: replica.status.primary_hostname == "scripted", "connected")
        assert replica.status.heard_ms is None


def test_a_replica_takes_the_cluster_id_of_its_primary(
    primary: Store, replica: Store, eventually: Eventually
) -> None:
    """If it has none yet."""
    with serving(primary) as info, following(replica, info):
        eventually(lambda: replica.cluster_id == CLUSTER, "the cluster id")


def test_nodes_of_different_clusters_do_not_join(
    primary: Store, tmp_path: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is taken, the log names both ids, and it tries again."""
    Writer(primary).commit({1: 1})
    other = "LFSCFFFFFFFFFFFFFFFF"
    with (
        opened(tmp_path / "other", cluster=other) as store,
        serving(primary) as info,
        following(store, info) as node,
    ):
        eventually(lambda: CLUSTER in caplog.text and other in caplog.text, "the line in the log")
        assert node.changes == []
        assert store.positions() == {}
        assert node.fatal == []


def test_a_filter_replicates_only_the_named_databases(
    primary: Store, replica: Store, eventually: Eventually
) -> None:
    """`lease.databases`."""
    for name in ("a.db", "b.db", "c.db"):
        Writer(primary, name).commit({1: 1})
    with serving(primary) as info, following(replica, info, databases=("a.db", "c.db")):
        eventually(lambda: replica.status.ready, "ready")
        assert sorted(replica.positions()) == ["a.db", "c.db"]


def test_a_replica_comes_back_where_it_was(primary: Store, replica: Store, eventually: Eventually) -> None:
    """A broken connection costs nothing but the time: it goes on with the next file."""
    writer = Writer(primary)
    writer.commit({1: 1})
    with serving(primary) as info, wire(info) as cable:
        tapped = PrimaryInfo("primary-host", f"http://127.0.0.1:{cable.port}")
        with following(replica, tapped) as node:
            eventually(lambda: replica.status.ready, "ready")
            cable.cut()
            eventually(lambda: None in node.changes, "disconnected")
            writer.commit({1: 2})
            eventually(lambda: replica.positions() == primary.positions(), "caught up")
            assert cable.connections == 2
            database = replica.get("made.db")
            assert database is not None
            assert database.ltx_files() == [(1, 1), (2, 2)]


def test_a_byte_flipped_on_the_wire_is_found_before_anything_is_applied(
    primary: Store, replica: Store, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """Then the file is asked for again, and the second time it comes whole."""
    writer = Writer(primary)
    first = writer.commit({1: 1})
    flipped: list[int] = []
    applied: list[Pos] = []
    replica.subscribe(lambda _name, pos, _header: applied.append(pos))
    marker = b"\x07" * 400

    def flip(number: int, data: bytes) -> bytes:
        at = data.find(marker)
        if at < 0 or flipped:
            return data
        flipped.append(number)
        return data[: at + 200] + b"\x08" + data[at + 201 :]

    with (
        serving(primary) as info,
        wire(info, flip) as cable,
        following(replica, PrimaryInfo("p", f"http://127.0.0.1:{cable.port}")) as node,
    ):
        eventually(lambda: replica.status.ready, "ready")
        writer.commit({1: 7})
        eventually(lambda: replica.positions() == primary.positions(), "caught up")
        assert flipped == [1]
        assert applied == [first, writer.pos]
        assert "is refused" in caplog.text
        assert database_bytes(replica, "made.db") == writer.whole()
        assert node.fatal == []


def test_bytes_that_are_no_http_end_the_connection_and_no_more(
    primary: Store, replica: Store, eventually: Eventually
) -> None:
    """A flipped byte may hit the frames of HTTP/2 itself."""
    Writer(primary).commit({1: 1})

    def spoil(number: int, data: bytes) -> bytes:
        return bytes(255 - byte for byte in data) if number == 1 else data

    with (
        serving(primary) as info,
        wire(info, spoil) as cable,
        following(replica, PrimaryInfo("p", f"http://127.0.0.1:{cable.port}"), silence=1.5) as node,
    ):
        eventually(lambda: replica.positions() == primary.positions(), "caught up")
        assert node.fatal == []


def test_an_end_of_the_primary_is_a_reason(
    primary: Store, replica: Store, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that shuts down says End; the replica says so and tries on."""
    with serving(primary) as info:
        node = following(replica, info)
        at_work = node.__enter__()
        eventually(lambda: replica.status.ready, "ready")
    eventually(lambda: "ended the stream" in caplog.text, "the reason")
    eventually(lambda: "cannot reach the primary" in caplog.text, "the next reason")
    assert at_work.fatal == []
    node.__exit__(None, None, None)


def test_a_primary_that_stays_away_is_one_line_in_the_log(
    replica: Store, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """Not one every second."""
    attempts: list[int] = []
    nowhere = PrimaryInfo("p", "http://127.0.0.1:1")

    def primary() -> PrimaryInfo:
        attempts.append(1)
        return nowhere

    node = Replica(replica, primary, reconnect_delay=0.01, on_fatal=lambda _: None)
    node.start()
    eventually(lambda: len(attempts) > 5, "several attempts")
    assert node.stop()
    assert caplog.text.count("cannot reach the primary") == 1


def test_silence_means_that_the_primary_is_gone(
    replica: Store, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """Heartbeats come every second, so a connection without any is dead."""
    scripted = ScriptedPrimary([READY])
    with playing(scripted) as info, following(replica, info, silence=0.2):
        eventually(lambda: len(scripted.requests) >= 2, "a second connection")
        assert "sent nothing for 0.2 s" in caplog.text


def test_a_stream_torn_inside_a_transaction_applies_nothing(
    primary: Store, replica: Store, eventually: Eventually
) -> None:
    """What came is forgotten, and asked for again."""
    writer = Writer(primary)
    data = writer.next_file({1: 1})
    begun = LtxBegin("made.db").pack() + pack_ltx_body(data[:-1])
    whole = LtxBegin("made.db").pack() + pack_ltx_body(data) + LtxEnd().pack() + READY
    scripted = ScriptedPrimary([begun, whole], close=True)
    with playing(scripted) as info, following(replica, info):
        eventually(lambda: replica.status.ready, "ready")
        assert decode_positions(scripted.requests[0]) == decode_positions(scripted.requests[1]) == {}
        assert replica.positions()["made.db"].txid == 1


def test_a_file_that_never_fits_stops_the_replica_loudly(
    tmp_path: Path, replica: Store, eventually: Eventually
) -> None:
    """It was sent again although the primary was told where this node is: nothing else can be done."""
    with opened(tmp_path / "source") as source:
        writer = Writer(source)
        writer.commit({1: 1})
        third = writer.next_file({1: 3})
    body = LtxBegin("made.db").pack() + pack_ltx_body(third) + LtxEnd().pack()
    scripted = ScriptedPrimary([body])
    with playing(scripted) as info, following(replica, info) as node:
        eventually(lambda: bool(node.fatal), "given up")
        assert isinstance(node.fatal[0], PositionMismatchError)
        assert len(scripted.requests) == 2


def test_a_file_that_fails_its_checks_every_time_stops_the_replica_loudly(
    primary: Store, replica: Store, eventually: Eventually
) -> None:
    """Once is the wire; three times the same file is the file."""
    data = bytearray(Writer(primary).next_file({1: 1}))
    data[HEADER_SIZE + 50] ^= 1
    body = LtxBegin("made.db").pack() + pack_ltx_body(bytes(data)) + LtxEnd().pack()
    scripted = ScriptedPrimary([body])
    with playing(scripted) as info, following(replica, info) as node:
        eventually(lambda: bool(node.fatal), "given up")
        assert isinstance(node.fatal[0], LtxChecksumError)
        assert len(scripted.requests) == 3
        assert replica.positions() == {}


def test_an_error_that_may_pass_is_tried_again(
    primary: Store, replica: Store, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that holds its lock, a disk that is full: no reason to give up."""
    Writer(primary).commit({1: 1})
    receive, failures = replica.receive_ltx, iter([BusyError("pid 1 holds SHARED"), OSError(28, "No space")])

    def fails(name: str, chunks: Iterator[bytes]) -> object:
        for error in failures:
            raise error
        return receive(name, chunks)

    monkeypatch.setattr(replica, "receive_ltx", fails)
    with serving(primary) as info, following(replica, info) as node:
        eventually(lambda: replica.positions() == primary.positions(), "caught up")
        assert node.fatal == []


def test_our_own_bug_stops_the_replica_loudly(
    primary: Store, replica: Store, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than a thread that died without a word."""
    Writer(primary).commit({1: 1})

    def bug(name: str, chunks: Iterator[bytes]) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(replica, "receive_ltx", bug)
    with serving(primary) as info, following(replica, info) as node:
        eventually(lambda: bool(node.fatal), "given up")
        assert isinstance(node.fatal[0], ZeroDivisionError)


def test_a_refusal_is_logged_in_the_primarys_words(
    replica: Store, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """Here: the advertise-url leads to this very node."""
    with serving(replica) as info, following(replica, info):
        eventually(lambda: "400 cannot connect to self" in caplog.text, "the reason")


def test_a_handoff_is_refused_in_words(
    replica: Store, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """A static lease cannot be handed on."""
    body = READY + Handoff("lease-1").pack() + End().pack()
    with playing(ScriptedPrimary([body])) as info, following(replica, info):
        eventually(lambda: "hands its lease" in caplog.text, "the line")


def test_the_request_says_who_asks_and_for_what(
    primary: Store, replica: Store, eventually: Eventually
) -> None:
    """Node id, filter and every position, also of what the filter leaves out."""
    pos = Writer(replica).commit({1: 1})
    scripted = ScriptedPrimary([READY])
    with playing(scripted) as info, following(replica, info, databases=("a.db", "ü.db")):
        eventually(lambda: replica.status.ready, "ready")
    assert scripted.node_ids == [replica.node_id_text]
    assert scripted.queries == ["filter=a.db%2C%C3%BC.db"]
    assert decode_positions(scripted.requests[0]) == {"made.db": pos}


def test_stopping_takes_no_time(replica: Store, eventually: Eventually) -> None:
    """The socket is shut from outside: nobody waits for the next heartbeat."""
    with playing(ScriptedPrimary([READY])) as info:
        node = Replica(replica, lambda: info, on_fatal=lambda _: None)
        node.start()
        eventually(lambda: replica.status.ready, "ready")
        began = time.monotonic()
        assert node.stop()
        assert time.monotonic() - began < 0.5


def test_stopping_says_when_a_transaction_is_still_applied(
    primary: Store, replica: Store, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader may hold the apply up; the node then goes on with stopping the applier."""
    Writer(primary).commit({1: 1})
    entered, go = threading.Event(), threading.Event()

    def waits(name: str, chunks: Iterator[bytes]) -> None:
        entered.set()
        go.wait(10)
        raise BusyError("stopped")

    monkeypatch.setattr(replica, "receive_ltx", waits)
    with serving(primary) as info:
        node = Replica(replica, lambda: info, on_fatal=lambda _: None)
        node.start()
        assert entered.wait(10)
        assert not node.stop(timeout=0.05)
        go.set()
        assert node.stop()
