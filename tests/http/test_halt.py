"""`/halt` and `/tx`: LiteFS's answers, and whom `/tx` refuses."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from pylitefs.cluster.cluster import wait_until
from pylitefs.http.app import Api
from pylitefs.http.halt import rfc3339
from pylitefs.http.server import HttpServer
from pylitefs.lease.static import StaticLease
from pylitefs.store.halting import Halts
from pylitefs.store.store import Store
from tests.golden.recordings import DATA
from tests.replication.stores import Writer, opened

RECORDED = (DATA / "cluster" / "cluster-answers.txt").read_text()


@contextmanager
def asked(store: Store, **more: float) -> Iterator[tuple[httpx.Client, Halts]]:
    halts = Halts(store, **more)
    server = HttpServer(Api(store, StaticLease(True, "me", "http://me:1"), halts=halts), ("127.0.0.1", 0))
    server.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as http:
            yield http, halts
    finally:
        server.stop()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "primary", primary=True) as made:
        yield made


def said(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.text


def test_the_answers_are_litefs_s(store: Store) -> None:
    """Each text of an error is in the recording of the real one; a lock has its fields, in their order."""
    Writer(store, "x.db").commit({1: 1})
    me = {"Litefs-Id": store.node_id_text}
    with asked(store) as (http, _):
        answer = http.post("/halt?name=x.db&id=7")
        found = answer.json()
        assert answer.text == json.dumps(found, separators=(",", ":")) + "\n"
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert list(found) == ["id", "pos", "expires"] and found["id"] == 7
        assert found["pos"]["TXID"] == f"{1:016x}" and found["expires"].endswith("Z")
        refused = [
            (400, http.post("/halt?name=x.db&id=zz")),
            (500, http.post("/halt?name=x.db&id=0")),
            (400, http.post("/halt?name=x.db&id=7", headers=me)),
            (404, http.post("/tx?name=nope&lockID=7", content=b"short")),
            (500, http.post("/tx?name=x.db&lockID=7", content=b"short")),
            (400, http.post("/tx?name=x.db&lockID=7", content=b"short", headers=me)),
        ]
        for status, one in refused:
            assert one.status_code == status and one.text in RECORDED, one.text
        assert http.delete("/halt?name=x.db&id=7", headers=me).text == "cannot remotely unhalt self\n"
        assert (
            said(http.delete("/halt?name=x.db&id=8"))
            == said(http.delete("/halt?name=no.db&id=7"))
            == (200, "")
        )
        assert http.post("/halt?name=..%2fx&id=1").status_code == 400
        assert said(http.post("/halt")) == said(http.delete("/halt")) == (400, 'invalid id: ""\n')
        assert "content-type" not in http.delete("/halt?name=x.db&id=8").headers, "there is nothing in it"


def test_only_the_holder_s_transaction_that_continues_is_taken(store: Store) -> None:
    """It is applied, stored and told as the primary's own. LiteFS takes it from anybody."""
    writer = Writer(store, "x.db")
    writer.commit({1: 1})
    first = writer.next_file({1: 2, 2: 3})
    with asked(store) as (http, halts):
        assert http.post("/tx?name=x.db&lockID=7", content=first).status_code == 409
        http.post("/halt?name=x.db&id=7", headers={"Litefs-Id": "AB"})
        assert halts.held()["x.db"].node == "AB"
        assert http.get("/debug/vars").json()["databases"]["x.db"]["haltedBy"] == "AB"
        assert 'pylitefs_db_halted{db="x.db"} 1' in http.get("/metrics").text
        assert http.post("/tx?name=x.db&lockID=8", content=first).status_code == 409
        assert said(http.post("/tx?name=x.db&lockID=7", content=first)) == (200, "")
        assert writer.pos.txid == 2 and store.get("x.db").page_count == 2  # type: ignore[union-attr]
        again = http.post("/tx?name=x.db&lockID=7", content=first)
        wanted = f"write ltx file: non-sequential header minimum txid {2:016x}, expecting {3:016x}\n"
        assert said(again) == (500, wanted)
        other = Writer(store, "x.db")
        other.pages = {1: b"\7" * 512}
        assert (
            "pre-apply"
            in http.post(
                "/tx?name=x.db&lockID=7", content=_with_another_checksum(other.next_file({1: 1}))
            ).text
        )
        assert http.delete("/halt?name=x.db&id=7").status_code == 200 and not halts.held()
        assert http.post("/tx?name=x.db&lockID=7", content=first).status_code == 409
    assert writer.pos.txid == 2


def _with_another_checksum(ltx: bytes) -> bytes:
    head = bytearray(ltx)
    head[47] ^= 1  # The last byte of the pre-apply checksum.
    return bytes(head)


def test_the_same_id_renews_and_time_ends_a_lock(store: Store) -> None:
    """Another id waits for it."""
    Writer(store, "x.db").commit({1: 1})
    with asked(store, ttl=0.3, acquire_timeout=5.0) as (http, halts):
        first = http.post("/halt?name=x.db&id=7").json()
        again = http.post("/halt?name=x.db&id=7").json()
        assert again["expires"] > first["expires"] and again["pos"] == first["pos"]
        began = time.monotonic()
        assert http.post("/halt?name=x.db&id=8").json()["id"] == 8
        assert time.monotonic() - began > 0.1
        assert wait_until(lambda: not halts.held(), 10)


def test_a_node_that_is_no_primary_gives_none(store: Store) -> None:
    Writer(store, "x.db").commit({1: 1})
    store.status.is_primary = False
    with asked(store) as (http, _):
        assert said(http.post("/halt?name=x.db&id=7")) == (503, "lease expired\n")
        assert said(http.post("/tx?name=x.db&lockID=7", content=b"")) == (503, "lease expired\n")


def test_a_lock_that_nobody_waits_for_any_more_is_not_given(store: Store) -> None:
    """Its client has gone while it waited."""
    Writer(store, "x.db").commit({1: 1})
    with asked(store) as (http, halts):
        http.post("/halt?name=x.db&id=7")
        with pytest.raises(httpx.ReadTimeout):
            http.post("/halt?name=x.db&id=8", timeout=0.2)
        http.delete("/halt?name=x.db&id=7")
        assert wait_until(lambda: not halts.held(), 10)
        assert http.post("/halt?name=x.db&id=9").json()["id"] == 9


def test_times_are_written_as_go_does() -> None:
    assert rfc3339(1_795_750_829_154_125_392) == "2026-11-27T03:40:29.154125392Z"
    assert rfc3339(1_795_750_829_150_000_000) == "2026-11-27T03:40:29.15Z"
    assert rfc3339(1_795_750_829_000_000_000) == "2026-11-27T03:40:29Z"


def test_an_id_that_is_no_number_of_64_bits_is_refused_in_words(store: Store) -> None:
    """Two signs, digits without end, digits that are not ASCII: an answer, not this node's own error."""
    Writer(store, "x.db").commit({1: 1})
    with asked(store) as (http, halts):
        for text in ("-%2B5", "--5", "%2B", "9" * 5000, "%D9%A3", str(1 << 63)):
            answer = http.post(f"/halt?name=x.db&id={text}")
            assert answer.status_code == 400 and answer.text.startswith("invalid id: "), text[:10]
            assert http.delete(f"/halt?name=x.db&id={text}").status_code == 400
            assert http.post(f"/tx?name=x.db&lockID={text}", content=b"short").status_code in {409, 500}
        assert not halts.held()
        assert "lockID" not in http.post(f"/tx?name=x.db&lockID={'9' * 5000}", content=bytes(200)).text


def test_who_has_no_lock_fills_no_disk(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """His transaction is refused before its first byte is kept."""
    Writer(store, "x.db").commit({1: 1})
    made: list[str] = []
    temp_path = store.temp_path

    def noted(suffix: str) -> Path:
        made.append(suffix)
        return temp_path(suffix)

    monkeypatch.setattr(store, "temp_path", noted)
    with asked(store) as (http, _):
        assert http.post("/tx?name=x.db&lockID=7", content=bytes(1 << 20)).status_code == 409
        assert made == []
        http.post("/halt?name=x.db&id=7")
        assert http.post("/tx?name=x.db&lockID=7", content=bytes(1 << 20)).status_code == 500
        assert made == [".tx"]
