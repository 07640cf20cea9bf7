"""`/events`: lines of JSON, as real LiteFS writes them."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from pylitefs.http.app import Api
from pylitefs.http.events import MAX_BEHIND, EventHub, format_timestamp
from pylitefs.http.server import HttpServer
from pylitefs.lease.static import StaticLease
from tests.golden.recordings import DATA
from tests.replication.stores import Writer, opened, serving


def test_the_first_line_is_the_recorded_one(tmp_path: Path) -> None:
    """`init`, without a hostname on the primary itself."""
    with (
        opened(tmp_path / "primary", primary=True) as store,
        serving(store) as info,
        httpx.stream("GET", f"{info.advertise_url}/events", trust_env=False) as response,
    ):
        line = next(response.iter_lines())
    assert line == (DATA / "lz4" / "events.jsonl").read_text().splitlines()[0]


def test_each_transaction_is_an_event(tmp_path: Path) -> None:
    """Keys in LiteFS's order."""
    with opened(tmp_path / "primary", primary=True) as store, serving(store) as info:
        writer = Writer(store)
        with httpx.stream("GET", f"{info.advertise_url}/events", trust_env=False) as response:
            lines = response.iter_lines()
            next(lines)
            pos = writer.commit({1: 1, 2: 2})
            line = next(lines)
        timestamp = format_timestamp(store.get("made.db").timestamp_ms)  # type: ignore[union-attr]
    assert line == (
        '{"type":"tx","db":"made.db","data":{"txID":"0000000000000001",'
        f'"postApplyChecksum":"{pos.checksum:016x}","pageSize":512,"commit":2,"timestamp":"{timestamp}"}}}}'
    )


def test_a_change_of_the_primary_is_an_event_once(tmp_path: Path) -> None:
    """With the new primary's hostname; what is no change is no event."""
    with opened(tmp_path / "replica") as store:
        api = Api(store, StaticLease(False, "a", "http://a:1"))
        server = HttpServer(api, ("127.0.0.1", 0))
        server.start()
        with httpx.stream("GET", f"http://127.0.0.1:{server.port}/events", trust_env=False) as response:
            lines = response.iter_lines()
            assert json.loads(next(lines)) == {"type": "init", "data": {"isPrimary": False}}
            api.primary_changed()
            store.status.primary_hostname = "node-1"
            api.primary_changed()
            api.primary_changed()
            assert json.loads(next(lines)) == {
                "type": "primaryChange",
                "data": {"isPrimary": False, "hostname": "node-1"},
            }
            store.status.primary_hostname = None
            api.primary_changed()
            assert json.loads(next(lines)) == {"type": "primaryChange", "data": {"isPrimary": False}}
        assert server.stop()


def test_a_reader_that_falls_behind_is_disconnected(tmp_path: Path) -> None:
    """So that it cannot fill the node's memory; the others read on."""
    with opened(tmp_path / "primary", primary=True) as store:

        async def test() -> tuple[int, int]:
            hub = EventHub(store)
            slow_got, quick_got = 0, 0
            release = asyncio.Event()

            async def slow(data: bytes) -> None:
                nonlocal slow_got
                slow_got += data.count(b"\n")
                await release.wait()

            async def quick(data: bytes) -> None:
                nonlocal quick_got
                quick_got += data.count(b"\n")

            readers = [asyncio.ensure_future(hub.serve(write)) for write in (slow, quick)]
            while not (slow_got and quick_got):
                await asyncio.sleep(0)
            writer = Writer(store)
            for value in range(MAX_BEHIND + 1):
                writer.commit({1: value % 251})
                await asyncio.sleep(0)
            assert hub.readers == 2
            release.set()
            await asyncio.wait_for(readers[0], 10)
            assert hub.readers == 1
            while quick_got < MAX_BEHIND + 2:
                await asyncio.sleep(0)
            hub.close()
            await asyncio.wait_for(readers[1], 10)
            return slow_got, quick_got

        assert asyncio.run(test()) == (1, MAX_BEHIND + 2)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (1_795_337_590_515, "2026-11-22T08:53:10.515Z"),
        (1_795_337_590_500, "2026-11-22T08:53:10.5Z"),
        (1_795_337_590_000, "2026-11-22T08:53:10Z"),
        (1_795_337_590_005, "2026-11-22T08:53:10.005Z"),
    ],
)
def test_timestamps_have_as_many_decimals_as_they_need(ms: int, text: str) -> None:
    """As Go writes them."""
    assert format_timestamp(ms) == text


def test_a_stopping_server_lets_its_readers_go(tmp_path: Path, eventually: Callable[..., None]) -> None:
    """They see an end, not a broken connection."""
    with opened(tmp_path / "primary", primary=True) as store:
        server = HttpServer(Api(store, StaticLease(True, "a", "http://a:1")), ("127.0.0.1", 0))
        server.start()
        with httpx.stream("GET", f"http://127.0.0.1:{server.port}/events", trust_env=False) as response:
            lines = response.iter_lines()
            next(lines)
            server.shutdown()
            assert list(lines) == []
        assert server.stop()
