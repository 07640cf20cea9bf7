"""The measure of many replicas on one primary: real streams, real commits, figures that belong together."""

import pytest

from pylitefs.compare.bench.fan_out import _lags, _Stream, measure
from pylitefs.ltx.header import Header
from pylitefs.replication.frames import LtxBegin, LtxEnd, pack_ltx_body


@pytest.mark.fuse
@pytest.mark.parametrize(
    ("replicas", "commits"),
    [(3, 20), pytest.param(100, 1000, marks=[pytest.mark.full, pytest.mark.timeout(300)])],
)
def test_every_commit_comes_on_every_stream(replicas: int, commits: int) -> None:
    """`measure` itself asserts that none is missing."""
    found = measure(replicas, commits)
    print(found)
    assert found.replicas == replicas and found.rate > 0
    assert found.p50 <= found.p99 <= found.worst and found.processor_us > 0 and found.memory_mib > 10


def test_a_stream_s_newest_transaction_is_found_whatever_the_pieces() -> None:
    ltx = [Header(0, 512, 1, txid, txid, 1, 5).pack() + bytes(40) for txid in (7, 8)]
    frames = b"".join(LtxBegin("a.db").pack() + pack_ltx_body(one) + LtxEnd().pack() for one in ltx)
    http2 = b"".join(
        len(frames[at : at + 90]).to_bytes(3, "big") + b"\0" + bytes(5) + frames[at : at + 90]
        for at in range(0, len(frames), 90)
    )
    for size in (1, 10, 99, 1000):
        stream = _Stream()
        for at in range(0, len(http2), size):
            stream.take(http2[at : at + size])
        assert stream.txid == 8


def test_the_lag_is_from_the_answer_until_it_has_come() -> None:
    """Files that come together came with the newest; what came before SQLite's answer has none."""
    assert _lags([(5, 1.001), (7, 1.010)], 5, [1.0, 1.004, 1.020]) == pytest.approx([1.0, 6.0, 0.0])
