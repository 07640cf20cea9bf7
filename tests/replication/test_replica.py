"""The replica's end of a stream: a real thread against real and scripted primaries on the loopback."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pylitefs.errors import BusyError
from pylitefs.lease.static import PrimaryInfo
from pylitefs.replication.body import TOLD
from pylitefs.replication.frames import (
    End,
    Handoff,
    Heartbeat,
    LtxBegin,
    LtxChunk,
    LtxEnd,
    decode_positions,
)
from pylitefs.replication.replica import Replica
from pylitefs.store.status import LAG_NEVER_SYNCED
from pylitefs.store.store import Store
from tests.replication.following import READY, following
from tests.replication.scripted import ScriptedPrimary, playing, wire
from tests.replication.stores import CLUSTER, Writer, database_bytes, serving
from tests.slack import slack

Eventually = Callable[..., None]


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


def test_a_long_transaction_leaves_a_traced_stream_connected(
    primary: Store, replica: Store, eventually: Eventually
) -> None:
    """Of a long LTX file `stream.receive` carries the beginning; the frames after its end come as ever."""
    writer = Writer(primary)
    received: list[str] = []
    replica.tracer.listen(lambda event: received.append(event.name))
    with serving(primary) as info, following(replica, info) as node:
        eventually(lambda: replica.status.ready, "ready")
        for value in range(1, 4):
            pages = {pgno: bytes([value]) * 4096 for pgno in range(1, 2 * TOLD // 4096)}
            writer.commit_pages(pages)
            eventually(lambda: replica.positions() == primary.positions(), "the same positions")
        assert received.count("stream.receive") >= 3
    assert node.changes == ["primary-host", None]


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
        assert replica.status.lag_ms() < 1500 * slack()


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


def test_a_replica_keeps_the_primary_s_high_water_mark(
    primary: Store, replica: Store, eventually: Eventually
) -> None:
    """Its own retention goes by it, where it has a backup configured: it may be the next primary."""
    writer = Writer(primary)
    writer.commit({1: 1})
    with serving(primary) as info, following(replica, info):
        eventually(lambda: replica.status.ready, "ready")
        primary.require("made.db").state.high_water_mark = 1
        writer.commit({1: 2})
        eventually(lambda: replica.require("made.db").state.high_water_mark == 1, "the mark")


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


def test_a_handoff_is_refused_in_words(
    replica: Store, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """A static lease cannot be handed on."""
    body = READY + Handoff("lease-1").pack() + End().pack()
    with playing(ScriptedPrimary([body])) as info, following(replica, info):
        eventually(lambda: "hands its lease" in caplog.text, "the line")


@pytest.mark.parametrize(
    "end", [End().pack(), LtxBegin("made.db").pack(), b""], ids=["end", "torn", "closed"]
)
def test_what_comes_together_with_the_stream_s_end_is_applied(
    primary: Store, replica: Store, eventually: Eventually, end: bytes
) -> None:
    """The primary may be gone for good, and this replica be the next one: it forgot what it had gathered."""
    writer = Writer(primary)
    files = []
    for value in range(5):
        files.append(writer.next_file({1: value, 2: value}))
        writer.commit({1: value, 2: value})
    sent = b"".join(
        frame.pack() for data in files for frame in (LtxBegin("made.db"), LtxChunk(data), LtxEnd())
    )
    with (
        playing(ScriptedPrimary([READY + sent + end, b""], close=True)) as info,
        following(replica, info) as node,
    ):
        eventually(lambda: replica.positions() == primary.positions(), "all that came")
        assert node.fatal == []
    assert database_bytes(replica, "made.db") == writer.whole()


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
        assert time.monotonic() - began < 0.9 * slack()


def test_stopping_says_when_a_transaction_is_still_applied(
    primary: Store, replica: Store, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader may hold the apply up; the node then goes on with stopping the applier."""
    Writer(primary).commit({1: 1})
    entered, go = threading.Event(), threading.Event()

    def waits(name: str, chunks: Iterator[bytes], patience: float) -> None:
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


def test_a_name_that_steers_terminals_is_skipped_and_the_others_are_followed(
    primary: Store, replica: Store, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """Real LiteFS takes such names; a line says what this replica leaves out, once."""
    data = Writer(primary, "good.db").next_file({1: 1})

    def file(name: str) -> bytes:
        return b"".join(frame.pack() for frame in (LtxBegin(name), LtxChunk(data), LtxEnd()))

    script = b"".join([file("\x1b]0;bad.db"), file("\x1b]0;bad.db"), file("good.db"), READY])
    with playing(ScriptedPrimary([script])) as info, following(replica, info) as node:
        eventually(lambda: replica.status.ready, "ready")
        assert list(replica.positions()) == ["good.db"]
        assert node.fatal == []
    (line,) = [text for text in caplog.messages if "its transactions are skipped" in text]
    assert "control character" in line and "\x1b" not in line
