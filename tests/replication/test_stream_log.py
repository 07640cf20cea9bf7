"""The primary's lines about streams: one for each state of a replica."""

import asyncio

import pytest

from pylitefs.replication import stream_log
from pylitefs.replication.stream_log import MOST_PEERS, StreamLog

PEER = "00000000000000AA"


def test_a_replica_that_tries_again_and_again_is_told_once_until_a_stream_lasts(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO", "pylitefs")
    told = StreamLog()

    async def live() -> None:
        for _ in range(20):
            told.begins(PEER)
            told.snapshot(PEER, "a.db", "it is new")
            told.ended(PEER, "the replica disconnected")
        assert len(caplog.records) == 7, caplog.text
        assert "connects again and again" in caplog.records[-1].getMessage()
        told.begins("00000000000000BB")
        assert "BB begins" in caplog.records[-1].getMessage(), "another replica's are told"
        monkeypatch.setattr(stream_log, "SHORT_S", 0.0)
        told.begins(PEER)
        async with asyncio.timeout(10):
            while "lasts now, after 20" not in caplog.text:
                await asyncio.sleep(0.001)
        told.ended(PEER, "this node stops")
        assert caplog.records[-1].getMessage() == f"stream to replica {PEER} ended: this node stops"

    asyncio.run(live())


def test_replicas_that_are_gone_are_forgotten() -> None:
    told = StreamLog()

    async def live() -> None:
        for number in range(MOST_PEERS + 10):
            told.begins(f"{number:016X}")
            told.ended(f"{number:016X}", "the replica disconnected")
        assert len(told._peers) == MOST_PEERS

    asyncio.run(live())


def test_a_replica_that_was_behind_has_caught_up_on_whichever_stream(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two lines: what it does again within a minute is none, nor is a replica that nobody knows."""
    caplog.set_level("INFO", "pylitefs")
    told = StreamLog()

    async def live() -> None:
        told.begins(PEER)
        caplog.clear()
        for _ in range(3):
            told.behind(PEER, "3 transactions")
        told.ended(PEER, "the replica disconnected")
        told.begins(PEER)
        assert told.is_behind(PEER)
        told.behind(PEER, "2 transactions")
        for _ in range(2):
            told.caught_up(PEER)
            told.behind(PEER, "again")
        told.caught_up("unknown")
        lines = [text for one in caplog.records if "stream" not in (text := one.getMessage())]
        assert [line.partition(":")[0] for line in lines] == [
            f"replica {PEER} is behind",
            f"replica {PEER} has caught up",
        ]
        assert not told.is_behind(PEER) and not told.is_behind("unknown")
        monkeypatch.setattr(stream_log, "AGAIN_S", 0.0)
        told.behind(PEER, "once more")
        assert "once more" in caplog.text

    asyncio.run(live())
