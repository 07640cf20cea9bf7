"""Bytes that the decoders read: what a fuzzer begins with. Real programs made them: SQLite, real LiteFS."""

import base64
import gzip
import json
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import lz4.frame

from pylitefs.ltx import page_index
from pylitefs.ltx.position import Pos
from pylitefs.replication import frames
from tests.golden.recordings import DATA, FORMATS, REPLICA

ROOT = Path(__file__).parent.parent.parent
MOST = 8
LONGEST = 20_000


def small(paths: list[Path], most: int = MOST) -> list[bytes]:
    """The content of the smallest of these files; a fuzzer is quicker with few and short ones."""
    found = sorted((path.read_bytes() for path in paths), key=len)
    return [one for one in found if len(one) <= LONGEST][:most]


@cache
def ltx_files() -> list[bytes]:
    """Of real LiteFS, plain and compressed, and of each newer format."""
    flavours = [small([*(DATA / name).rglob("*.ltx")], 4) for name in ("plain", "lz4")]
    return [
        *flavours[0],
        *flavours[1],
        *small([*FORMATS.iterdir()], 12),
        *small([*REPLICA.rglob("*.ltx")], 2),
    ]


@cache
def lz4_frames() -> list[bytes]:
    content = [bytes(3000), bytes(range(256)) * 700, b"abc"]
    return [lz4.frame.compress(one, block_linked=False, store_size=False) for one in content]


@cache
def page_indexes() -> list[bytes]:
    def of(numbers: range) -> bytes:
        return b"".join(page_index.entry(pgno, 100 + 70 * pgno, 70) for pgno in numbers) + b"\0"

    return [of(range(1, 2)), of(range(1, 40)), of(range(5, 5000, 500))]


def _sqlite_files(mode: str, page_size: int) -> dict[str, bytes]:
    """What SQLite has on disk in the middle of a transaction: suffix and content."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            for sql in (
                f"PRAGMA page_size={page_size}",
                f"PRAGMA journal_mode={mode}",
                "CREATE TABLE t(a INTEGER PRIMARY KEY, b, c DEFAULT 'x')",
                "CREATE TABLE w(k TEXT, n, PRIMARY KEY(n DESC, k)) WITHOUT ROWID",
                "CREATE INDEX i ON t(b COLLATE NOCASE, a)",
                "INSERT INTO t(b) VALUES (1), (2.5), ('text'), (x'00ff'), (NULL), (zeroblob(1500))",
                "INSERT INTO w VALUES ('a', 1), ('b', -1)",
                "PRAGMA cache_size=1",
                "BEGIN IMMEDIATE",
                "UPDATE t SET b = zeroblob(700)",
                "UPDATE w SET n = 9 WHERE n = 1",
            ):
                db.execute(sql).fetchall()
            return {one.name[4:]: one.read_bytes() for one in Path(folder).iterdir()}


@cache
def _files() -> list[dict[str, bytes]]:
    return [_sqlite_files("delete", 512), _sqlite_files("persist", 1024), _sqlite_files("wal", 512)]


def _of(suffix: str) -> Callable[[], list[bytes]]:
    return lambda: [files[suffix] for files in _files() if suffix in files]


databases, journals, wals = _of(""), _of("-journal"), _of("-wal")


def wal_indexes() -> list[bytes]:
    return [files["-shm"][:2000] for files in _files() if "-shm" in files]


def records() -> list[bytes]:
    return [
        bytes([7, 0, 1, 2, 7, 17, 14, 8]) + b"\x05\x01\x00" + struct.pack(">d", 2.5) + b"ab" + b"\xff",
        bytes([3, 25, 13]) + "täxt".encode("utf-16-le"),
    ]


@cache
def streams() -> list[bytes]:
    """A snapshot, a lone transaction, and every other frame."""
    others: list[frames.Frame] = [
        frames.Ready(), frames.Heartbeat(1_700_000_000_000), frames.HighWaterMark(7, "a.db"),
        frames.DropDb("old.db"), frames.Handoff("5f1c"), frames.End(),
    ]  # fmt: skip
    file = frames.pack_ltx_body(ltx_files()[0]) + frames.LtxEnd().pack()
    return [frames.LtxBegin("a.db").pack() + file, b"".join(one.pack() for one in others)]


def position_maps() -> list[bytes]:
    some = {"a.db": Pos(7, 1 << 63 | 5), "b-c.db": Pos(0, 0), "ü.db": Pos(1 << 40, 1 << 63)}
    return [frames.encode_positions({}), frames.encode_positions(some)]


def positions() -> list[bytes]:
    return [b"0000000000000007/8000000000000005\n", b"ffffffffffffffff/ffffffffffffffff"]


def configs() -> list[bytes]:
    """The example of the docs, and what may make a YAML reader work hard."""
    parts = (ROOT / "docs" / "config.md").read_text().split("```")
    yaml = [part[5:] for part in parts if part.startswith("yaml\n")]
    tricks = "fuse: &f {dir: '${HOME}/x'}\ndata: {<<: *f, retention: 10s}\nlog: {format: text}\n"
    return [one.encode() for one in [*yaml, tricks]]


def lessons() -> list[bytes]:
    return small([*(ROOT / "pylitefs" / "lecture" / "lessons").glob("*.md")])


def workloads() -> list[bytes]:
    return small([*(ROOT / "pylitefs" / "compare" / "workloads").glob("*.txt")])


@cache
def recordings() -> list[bytes]:
    """The first lines of two lectures, compressed as they are and not."""
    found = []
    for name in ("commit", "fenced"):
        path = ROOT / "pylitefs" / "lecture" / "recordings" / f"{name}.jsonl.gz"
        lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
        found.append(b"".join(lines[:12]))
    return [*found, gzip.compress(found[0])]


def page_requests() -> list[bytes]:
    asked: list[object] = [{"next": True}, {"answer": 2}, {"line": "sql n1 SELECT 1"}, {"again": 3}]
    return [json.dumps(one).encode() for one in asked]


def candidate_answers() -> list[bytes]:
    facts = {
        "id": "A1", "clusterID": "LFSC1", "eligible": True, "isPrimary": False, "term": 4,
        "positions": {"a.db": "0000000000000007/8000000000000005"}, "candidates": {"A2": "http://h:20202"},
    }  # fmt: skip
    return [json.dumps(facts).encode()]


def lease_answers() -> list[bytes]:
    primary = json.dumps({"hostname": "n1", "advertise-url": "http://n1:20202"}).encode()
    key = {"Key": "k", "Value": base64.b64encode(primary).decode(), "ModifyIndex": 9, "Session": "s"}
    return [json.dumps(one).encode() for one in ([key], {"ID": "s"}, [{"ID": "s", "TTL": "10s"}])] + [primary]
