"""What real LiteFS streamed: our replica takes it, and our primary sends the same."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from pylitefs.ltx.checksum import page_checksum
from pylitefs.ltx.encoder import encode
from pylitefs.ltx.header import Header
from pylitefs.ltx.position import Pos
from pylitefs.replication.frames import (
    Decoder,
    Frame,
    Heartbeat,
    HighWaterMark,
    LtxBegin,
    LtxChunk,
    LtxEnd,
    Ready,
    decode_positions,
    encode_positions,
)
from pylitefs.replication.replica import Replica
from pylitefs.store.store import Store
from tests.golden.recordings import DATA, FLAVOURS, recorded_databases
from tests.ltx.samples import read_all
from tests.replication.scripted import ScriptedPrimary, playing
from tests.replication.stores import database_bytes, feed, opened, serving

DATABASES = {(one.flavour, one.name): one for one in recorded_databases()}
CLUSTER = "LFSC4A0DD73B3CA6F0DE"
CASES = {
    "empty": ("delete.db", "wal.db"),
    "resume": ("wal.db",),
    "uptodate": ("wal.db",),
    "diverged": ("wal.db",),
    "ahead": ("wal.db",),
}
all_cases = pytest.mark.parametrize("case", CASES)
all_flavours = pytest.mark.parametrize("flavour", FLAVOURS)


def last_pos(flavour: str, name: str) -> Pos:
    return Pos.parse(DATABASES[flavour, name].manifest["steps"][-1]["pos"])


def recorded(flavour: str, case: str, suffix: str) -> bytes:
    return (DATA / flavour / f"stream-{case}.{suffix}").read_bytes()


def go_astray(store: Store, name: str, count: int) -> None:
    """Transactions that the recorded primary never had: each changes the last byte of page 2."""
    for value in range(1, count + 1):
        database = store.get(name)
        assert database is not None
        size = database.page_size
        old = database_bytes(store, name)[size : 2 * size]
        new = old[:-1] + bytes([value])
        pos = database.pos
        txid = pos.txid + 1
        header = Header(0, size, database.page_count, txid, txid, 1_700_000_000_000, pos.checksum, node_id=7)
        checksum = pos.checksum ^ page_checksum(2, old) ^ page_checksum(2, new)
        store.receive_ltx(name, iter([encode(header, [(2, new)], checksum)]))


@all_flavours
@all_cases
def test_our_replica_follows_a_recorded_primary(
    tmp_path: Path, flavour: str, case: str, eventually: Callable[..., None]
) -> None:
    """From where the recorded replica was to the recording's position, and to its bytes."""
    with opened(tmp_path / "replica", cluster=None) as store:
        for txid, path in enumerate(DATABASES[flavour, "wal.db"].ltx_paths, 1):
            if txid <= {"resume": 4, "uptodate": 10, "diverged": 9, "ahead": 10}.get(case, 0):
                feed(store, "wal.db", path)
        go_astray(store, "wal.db", {"diverged": 1, "ahead": 5}.get(case, 0))
        fatal: list[Exception] = []
        scripted = ScriptedPrimary([recorded(flavour, case, "body")], cluster=CLUSTER)
        with playing(scripted) as info:
            replica = Replica(store, lambda: info, databases=CASES[case], on_fatal=fatal.append)
            replica.start()
            eventually(lambda: store.status.ready and store.status.heard_ms is not None, "ready")
            assert replica.stop()
        assert fatal == []
        if case in ("empty", "resume", "uptodate"):
            assert scripted.requests == [recorded(flavour, case, "request")]
        assert store.cluster_id == CLUSTER
        assert store.positions() == {name: last_pos(flavour, name) for name in CASES[case]}
        for name in CASES[case]:
            assert database_bytes(store, name) == DATABASES[flavour, name].export


@pytest.fixture
def primaries(tmp_path: Path) -> Iterator[Callable[[str], Store]]:
    """A primary over a data directory of real LiteFS: databases and LTX files as they were left."""
    stores = []

    def make(flavour: str) -> Store:
        directory = tmp_path / "primary"
        for name in ("delete.db", "wal.db"):
            target = directory / "dbs" / name
            shutil.copytree(DATA / flavour / name / "ltx", target / "ltx")
            (target / "database").write_bytes(DATABASES[flavour, name].export)
        (directory / "clusterid").write_text(f"{CLUSTER}\n")
        store = opened(directory, primary=True)
        stores.append(store)
        return store.__enter__()

    yield make
    for store in stores:
        store.__exit__(None, None, None)


def ask(url: str, positions: bytes, databases: tuple[str, ...]) -> tuple[httpx.Headers, list[Frame]]:
    """A stream's headers, and its frames up to the first Heartbeat after Ready."""
    found: list[Frame] = []
    decoder = Decoder()
    with (
        httpx.Client(http1=False, http2=True, trust_env=False, timeout=10) as client,
        client.stream(
            "POST",
            f"{url}/stream",
            params={"filter": ",".join(databases)},
            headers={"Litefs-Id": "00000000000000AA"},
            content=positions,
        ) as response,
    ):
        assert response.status_code == 200
        for data in response.iter_raw():
            found.extend(decoder.feed(data))
            if Ready() in found and isinstance(found[-1], Heartbeat):
                return response.headers, found
    raise AssertionError("the stream ended")


def story(frames: list[Frame]) -> dict[str, list[object]]:
    """What the frames say, by database ("" for none), less times, node ids and where chunks are cut."""
    told: dict[str, list[object]] = {}
    name, body = "", b""
    for frame in frames:
        match frame:
            case LtxBegin(name, size):
                assert size == 0
                body = b""
            case LtxChunk(data):
                body += data
            case LtxEnd():
                header, pages, trailer = read_all(body)
                whole = (header.min_txid, header.max_txid, header.commit, header.page_size, header.flags)
                sums = (header.pre_apply_checksum, trailer.post_apply_checksum)
                wal = (header.wal_offset, header.wal_size, header.wal_salt1, header.wal_salt2)
                file = b"" if header.is_snapshot else body
                told.setdefault(name, []).append((whole, sums, wal, pages, file))
            case HighWaterMark(_, of):
                told.setdefault(of, []).append(frame)
            case Heartbeat():
                told.setdefault("", []).append("heartbeat")
            case _:
                told.setdefault("", []).append(frame)
    return told


@all_flavours
@all_cases
def test_our_primary_answers_a_recorded_request_with_the_same_frames(
    primaries: Callable[[str], Store], flavour: str, case: str
) -> None:
    """LTX files byte for byte; a snapshot in everything but its time, its node and how LZ4 packed it."""
    store = primaries(flavour)
    store._facts.compress = flavour == "lz4"
    with serving(store) as info:
        headers, frames = ask(info.advertise_url, recorded(flavour, case, "request"), CASES[case])
    expected = list(Decoder().feed(recorded(flavour, case, "body")))
    first_beat = next(at for at, frame in enumerate(expected) if isinstance(frame, Heartbeat))
    assert story(frames) == story(expected[: first_beat + 1])
    assert headers["Litefs-Cluster-Id"] == CLUSTER
    assert headers["Litefs-Id"] == store.node_id_text


def test_the_recorded_requests_are_what_their_names_say() -> None:
    """So that the cases above test what they claim."""
    newest = last_pos("lz4", "wal.db")
    assert decode_positions(recorded("lz4", "empty", "request")) == {}
    assert decode_positions(recorded("lz4", "uptodate", "request")) == {"wal.db": newest}
    assert recorded("lz4", "uptodate", "request") == encode_positions({"wal.db": newest})
    assert decode_positions(recorded("lz4", "resume", "request"))["wal.db"].txid == 4
    assert decode_positions(recorded("lz4", "diverged", "request"))["wal.db"].txid == newest.txid
    assert decode_positions(recorded("lz4", "ahead", "request"))["wal.db"].txid == newest.txid + 5
    assert json.loads((DATA / "lz4" / "manifest.json").read_text()).keys() >= {"wal.db", "delete.db"}
