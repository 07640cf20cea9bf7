"""The recordings' SQL, run again on mounted nodes: pylitefs goes through the positions that LiteFS did.

With SQLite 3.40.1, which made the recordings, everything is the same but timestamps, node ids and the
WAL's random salts; another version writes its own number into page 1, which changes checksums alone.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from pylitefs.cluster.cluster import Cluster, is_mounted, wait_until
from pylitefs.cluster.nursery import Nursery
from pylitefs.ltx.decoder import verify_file
from pylitefs.ltx.header import Header, Trailer
from tests.golden.recordings import FLAVOURS, RecordedDatabase, recorded_databases

pytestmark = pytest.mark.fuse

SAME_SQLITE = sqlite3.sqlite_version == "3.40.1"
FIELDS = ("page_size", "commit", "min_txid", "max_txid", "wal_offset", "wal_size", "flags")


@pytest.fixture(scope="module", params=FLAVOURS)
def replayed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, nursery: Nursery | None
) -> Iterator[Cluster]:
    """A primary and a replica that compress LTX files as the recording's nodes did."""
    settings = {"data": {"compress": request.param == "lz4"}}
    cluster = Cluster(tmp_path_factory.mktemp(request.param), replicas=1, settings=settings, nursery=nursery)
    with cluster:
        yield cluster
    assert not any(is_mounted(node.mount) for node in cluster)


def recordings(cluster: Cluster) -> list[RecordedDatabase]:
    flavour = cluster.base_dir.name.rstrip("0123456789")
    return [one for one in recorded_databases() if one.flavour == flavour]


def position(path: Path) -> str:
    """What `DB-pos` says; a database without a transaction has none."""
    try:
        return path.with_name(path.name + "-pos").read_text().strip()
    except FileNotFoundError:
        return f"{0:016x}/{0:016x}"


def wait_at(path: Path, wanted: str) -> None:
    assert wait_until(lambda: position(path) == wanted, 10), f"{path} is at {position(path)}, not {wanted}"


def same(position: str) -> str:
    """The part of a position that this SQLite must reproduce."""
    return position if SAME_SQLITE else position.partition("/")[0]


def replay(path: Path, recording: RecordedDatabase) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for step in recording.manifest["steps"]:
            match step["sql"]:
                case "-- close":
                    db.close()
                case "-- unlink the database file":
                    os.unlink(path)
                case sql:
                    db.execute(sql).fetchall()
            assert same(position(path)) == same(step["pos"]), f"{recording} after {step['sql']}"


def read_ltx(path: Path) -> tuple[Header, Trailer, list[int]]:
    pgnos: list[int] = []
    header, trailer = verify_file(path, lambda pgno, _: pgnos.append(pgno))
    return header, trailer, pgnos


def compare_ltx(directory: Path, recording: RecordedDatabase) -> None:
    """Each LTX file's header, page numbers and checksums are the recording's."""
    entries = recording.manifest["ltx"]
    assert sorted(path.name for path in directory.iterdir()) == [entry["file"] for entry in entries]
    salts: set[tuple[int, int]] = set()
    for entry in entries:
        header, trailer, pgnos = read_ltx(directory / entry["file"])
        assert {name: getattr(header, name) for name in FIELDS} == {name: entry[name] for name in FIELDS}
        assert pgnos == entry["pages"]
        assert bool(header.wal_salt1) == bool(entry["wal_salt1"])
        salts.add((header.wal_salt1, header.wal_salt2))
        if SAME_SQLITE:
            assert f"{header.pre_apply_checksum:016x}" == entry["pre_apply"]
            assert f"{trailer.post_apply_checksum:016x}" == entry["post_apply"]
    assert len(salts) == len({(entry["wal_salt1"], entry["wal_salt2"]) for entry in entries})


def test_every_statement_leads_to_the_recorded_position(replayed: Cluster) -> None:
    """On the primary statement by statement; the replica ends at the same position with the same bytes."""
    primary, replica = replayed.nodes
    for recording in recordings(replayed):
        name = recording.name
        replay(primary.database(name), recording)
        compare_ltx(primary.data / "dbs" / name / "ltx", recording)
        wanted = position(primary.database(name))
        wait_at(replica.database(name), wanted)
        for node in (primary, replica):
            answer = httpx.get(f"{node.url}/export", params={"name": name}, trust_env=False)
            if recording.export:
                assert answer.status_code == httpx.codes.OK
                assert len(answer.content) == len(recording.export)
                assert answer.content == recording.export or not SAME_SQLITE
            else:
                assert (answer.status_code, answer.text) == (404, "database not found\n")
