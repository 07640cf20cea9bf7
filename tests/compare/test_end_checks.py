"""What is compared once a workload is done: equal nodes are equal, and each change is told as itself."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from pylitefs.compare import end_checks
from pylitefs.compare.end_checks import check_end, described
from pylitefs.compare.events import Heard
from pylitefs.compare.findings import Findings
from pylitefs.compare.nodes import NEVER_SYNCED
from pylitefs.compare.side import Side, digest
from tests.compare.plain import OURS, THEIRS, ltx_bytes, plain_side, put_ltx

Sides = tuple[Side, Side]

MADE = 1_700_000_000
"""When the transaction was made, by its LTX file (`ltx_bytes`)."""


def fill(side: Side, source: Path) -> None:
    """Both nodes hold one database with one transaction, as if the replica had followed."""
    for node, ear in zip(side.system.pair, side.ears, strict=True):
        (node.mount / "a.db").write_bytes(source.read_bytes())
        (node.mount / "a.db-pos").write_text(f"{1:016x}/8000000000000abc\n")
        os.utime(node.mount / "a.db-pos", (MADE, MADE))
        (node.mount / ".lag").write_bytes(b"+0000000003" if node.role == "replica" else b"+0000000000")
        folder = node.databases_dir / "a.db"
        put_ltx(folder, 1, ltx_bytes(1))
        (folder / "database").write_bytes(source.read_bytes())
        (folder / "shm").touch()
        ear.told.append(Heard("tx", "a.db", {"txID": "1", "commit": 2}, 1.0))  # type: ignore[attr-defined]


@pytest.fixture
def sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sides]:
    source = tmp_path / "source.db"
    with closing(sqlite3.connect(source)) as db:
        db.execute("CREATE TABLE t(x)")
        db.commit()
    info = SimpleNamespace(is_primary=True, candidate=True, primary_hostname=None, cluster_id="x", path="/p")
    monkeypatch.setattr("pylitefs.compare.end_checks.client.info", lambda url: info)
    monkeypatch.setattr(Side, "export", lambda side, name, role: "exported")
    monkeypatch.setattr(end_checks, "_EVENT_SECONDS", 0.02)
    made = plain_side(monkeypatch, tmp_path / "o", OURS), plain_side(monkeypatch, tmp_path / "t", THEIRS)
    for side in made:
        fill(side, source)
    yield made
    for side in made:
        side.close()


def found(sides: Sides, *, shift: int = 0, diverged: bool = False) -> Findings:
    findings = Findings("w")
    check_end(findings, sides, [("a.db", shift, diverged)])
    return findings


def test_equal_systems_have_no_difference_and_everything_is_looked_at(sides: Sides) -> None:
    findings = found(sides)
    assert findings.differences == []
    assert set(findings.equal) == {
        *("nodes run", "/info", "/events begins", "special file", "mode", "size", "database bytes"),
        *("/export", "integrity", "position's time", "data directory", "data directory's mode"),
        *("listing", "/events"),
        *("LTX files on the replica", "node id in LTX files"),
    }


def flip(side: Side) -> None:
    path = side.replica.databases_dir / "a.db" / "database"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)


def damage(side: Side) -> None:
    path = side.primary.mount / "a.db"
    path.write_bytes(path.read_bytes()[:100] + bytes(4000))


def another_ltx(side: Side) -> None:
    put_ltx(side.replica.databases_dir / "a.db", 1, ltx_bytes(1, node_id=9))


@pytest.mark.parametrize(
    ("change", "aspect", "where"),
    [
        (flip, "database bytes", "a.db on the replica"),
        (damage, "integrity", "a.db on the primary"),
        (another_ltx, "LTX files on the replica", "a.db"),
        (
            lambda side: (side.replica.databases_dir / "a.db/wal").write_bytes(b"x"),
            "data directory",
            "a.db on",
        ),
        (lambda side: (side.replica.databases_dir / "a.db").chmod(0o711), "data directory's mode", "a.db on"),
        (lambda side: (side.primary.mount / "a.db-wal").touch(), "listing", "a.db-wal on the primary"),
        (lambda side: (side.replica.mount / "a.db").chmod(0o444), "mode", "a.db on the replica"),
        (lambda side: side.replica.mount.chmod(0o700), "mode", "the directory on the replica"),
        (lambda side: (side.replica.mount / ".lag").write_bytes(NEVER_SYNCED), "special file", ".lag on"),
        (lambda side: (side.replica.mount / ".primary").touch(), "special file", ".primary on the replica"),
        (
            lambda side: os.utime(side.primary.mount / "a.db-pos", (1, 1)),
            "position's time",
            "a.db on the primary",
        ),
        (lambda side: side.ears[1].told.clear(), "/events", "a.db on the replica"),
    ],
)
def test_a_change_is_told_as_what_it_is(
    sides: Sides, change: Callable[[Side], object], aspect: str, where: str
) -> None:
    change(sides[1])
    told = [(one.aspect, one.where) for one in found(sides).differences]
    assert any(one == aspect and place.startswith(where) for one, place in told), told


def test_an_ltx_file_of_another_time_is_the_primary_s_own(sides: Sides) -> None:
    """LiteFS makes a snapshot afresh, with its own time: often, not always, another millisecond's."""
    for time in (1_700_000_000_000, 1_700_000_000_001):
        put_ltx(sides[1].replica.databases_dir / "a.db", 1, ltx_bytes(1, timestamp_ms=time))
        told = [one.aspect for one in found(sides).differences]
        assert "LTX files on the replica" not in told


@pytest.mark.parametrize("change", [{"wal_offset": 32}, {"wal_salt1": 1}, {"flags": 1}])
def test_an_ltx_file_that_differs_otherwise_is_another(sides: Sides, change: dict[str, int]) -> None:
    put_ltx(sides[1].replica.databases_dir / "a.db", 1, ltx_bytes(1, None, **change))
    (difference,) = [one for one in found(sides).differences if one.aspect == "LTX files on the replica"]
    assert difference.theirs == f"{1:016x}-{1:016x}.ltx is another file there"


def test_of_an_ltx_file_without_a_node_s_id_it_is_said(sides: Sides) -> None:
    for node in sides[1].system.pair:
        put_ltx(node.databases_dir / "a.db", 1, ltx_bytes(1, node_id=0))
    [one] = found(sides).differences
    assert (one.aspect, one.ours, one.theirs) == ("node id in LTX files", "a node's", "none")


def test_what_follows_from_a_difference_is_its_consequence(sides: Sides) -> None:
    """A replica's bytes, once its position differs; its events are not compared then."""
    flip(sides[1])
    sides[1].ears[1].told.clear()  # type: ignore[attr-defined]
    assert [(one.aspect, one.state) for one in found(sides, diverged=True).differences] == [
        ("database bytes", "consequence")
    ]


def test_two_files_are_digests_and_the_first_byte_that_differs() -> None:
    assert described(b"abc", b"abc") == (digest(b"abc"), digest(b"abc"))
    assert described(None, b"abc") == ("no file", digest(b"abc"))
    assert described(b"abcd", b"abXd") == ("4 bytes, byte 2: 6364", "4 bytes, byte 2: 5864")
    assert described(b"abc", b"abcd") == ("3 bytes", "4 bytes")
