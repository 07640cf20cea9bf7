"""The replica's end of a stream when the wire, the primary, the disk or we ourselves fail."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pylitefs.errors import BusyError, LtxChecksumError, PositionMismatchError
from pylitefs.lease.static import PrimaryInfo
from pylitefs.ltx.header import HEADER_SIZE
from pylitefs.ltx.position import Pos
from pylitefs.replication import replica as replica_module
from pylitefs.replication.frames import (
    Heartbeat,
    LtxBegin,
    LtxEnd,
    Ready,
    decode_positions,
    pack_ltx_body,
)
from pylitefs.replication.replica import Replica
from pylitefs.store.status import now_ms
from pylitefs.store.store import Store
from tests.replication.following import READY, following
from tests.replication.scripted import ScriptedPrimary, playing, wire
from tests.replication.stores import CLUSTER, Writer, database_bytes, opened, serving

Eventually = Callable[..., None]


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


def test_a_slow_link_is_not_a_silent_one(primary: Store, replica: Store, eventually: Eventually) -> None:
    """A frame of 64 KiB takes longer than the silence that is allowed; its bytes are a sign of life."""
    writer = Writer(primary)
    writer.commit_pages({pgno: os.urandom(4096) for pgno in range(1, 61)})
    whole = primary.positions()
    with (
        serving(primary) as info,
        wire(info, rate=80_000) as cable,
        following(replica, PrimaryInfo("p", f"http://127.0.0.1:{cable.port}"), silence=0.4) as node,
    ):
        eventually(lambda: replica.positions() == whole, "a snapshot over a slow link", seconds=20)
        assert cable.connections == 1
        assert node.fatal == []


def test_bytes_that_make_up_no_frame_are_no_sign_of_life_for_ever(
    primary: Store,
    replica: Store,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a damaged length HTTP/2 swallows one Heartbeat after the other."""
    monkeypatch.setattr(replica_module, "FRAME_TIMES", 2)

    def lengthen(number: int, data: bytes) -> bytes:
        is_data_frame = data.startswith(b"\0\0") and data[3] == 0
        return b"\x00\xff\xff" + data[3:] if number == 1 and is_data_frame else data

    with (
        serving(primary) as info,
        wire(info, lengthen) as cable,
        following(replica, PrimaryInfo("p", f"http://127.0.0.1:{cable.port}"), silence=1.5),
    ):
        eventually(lambda: cable.connections == 2, "the second connection", seconds=15)
        assert "sent bytes for 3 s that make up no frame" in caplog.text


def test_a_skew_of_the_clocks_is_told_and_is_no_lag(
    replica: Store, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """The primary's clock is an hour behind: one line, and the lag of a replica that has everything."""
    hour_ago = now_ms() - 3_600_000
    beats = Ready().pack() + b"".join(Heartbeat(hour_ago + beat).pack() for beat in range(4))
    with playing(ScriptedPrimary([beats])) as info, following(replica, info):
        eventually(lambda: "ahead of the primary's" in caplog.text, "the line in the log")
        assert replica.status.lag_ms() < 5_000
        skew = replica.status.skew_ms
        assert skew is not None and abs(skew - 3_600_000) < 5_000
    assert caplog.text.count("ahead of the primary's") == 1


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

    def fails(name: str, chunks: Iterator[bytes], patience: float) -> object:
        for error in failures:
            raise error
        return receive(name, chunks, patience)

    monkeypatch.setattr(replica, "receive_ltx", fails)
    with serving(primary) as info, following(replica, info) as node:
        eventually(lambda: replica.positions() == primary.positions(), "caught up")
        assert node.fatal == []


def test_our_own_bug_stops_the_replica_loudly(
    primary: Store, replica: Store, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than a thread that died without a word."""
    Writer(primary).commit({1: 1})

    def bug(name: str, chunks: Iterator[bytes], patience: float) -> None:
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
