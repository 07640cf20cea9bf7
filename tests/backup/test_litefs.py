"""Real LiteFS and pylitefs on one backup folder, in turns: each restores what the other wrote, and goes on.

The program is the `litefs` on the PATH, or what PYLITEFS_LITEFS names; without one these tests are left out.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.backup.folder import BackupFolder
from pylitefs.backup.merge import header_of
from pylitefs.compare.nodes import System
from pylitefs.compare.programs import Program, ProgramError, find, ours
from pylitefs.ltx.position import Pos
from tests.backup.backups import GOLDEN_POS, golden_copy

pytestmark = [pytest.mark.fuse, pytest.mark.full]
Eventually = Callable[..., None]
LITEFS = "PYLITEFS_LITEFS"


@pytest.fixture(scope="module")
def litefs() -> Program:
    named = os.environ.get(LITEFS)
    try:
        return find(Path(named) if named else None)
    except ProgramError as error:
        pytest.skip(str(error))


class Turn:
    """A primary of one program with an empty data directory, and the backup."""

    def __init__(self, program: Program, base: Path, place: Path, eventually: Eventually) -> None:
        self.system = System(base, program, settings={"backup": {"type": "file", "path": str(place)}})
        self.system.nodes = self.system.nodes[:1]
        self.place = place
        self.eventually = eventually

    def __enter__(self) -> "Turn":
        self.system.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.system.stop()

    def position(self, name: str) -> Pos:
        return Pos.parse((self.system.primary.mount / f"{name}-pos").read_text())

    def is_at(self, name: str, pos: Pos) -> bool:
        path = self.system.primary.mount / f"{name}-pos"
        return path.exists() and self.position(name) == pos

    def execute(self, name: str, sql: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.system.primary.database(name), timeout=20)) as db, db:
            return db.execute(sql).fetchall()

    def work(self, name: str, rows: int, mode: str = "delete") -> Pos:
        """So many transactions, and the position once the backup has them."""
        self.execute(name, f"PRAGMA journal_mode={mode}")
        self.execute(name, "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, x)")
        for _ in range(rows):
            self.execute(name, "INSERT INTO t (x) VALUES (randomblob(3000))")
        self.eventually(
            lambda: BackupFolder(self.place).position(name) == self.position(name), "a level backup", 20
        )
        return self.position(name)


def test_in_turns(litefs: Program, tmp_path: Path, place: Path, eventually: Eventually) -> None:
    """Each with an empty disk: what is there comes from the backup, in both journal modes."""
    expected: dict[str, Pos] = {}
    rows = 0
    for number, program in enumerate((litefs, ours(), litefs, ours(), litefs)):
        with Turn(program, tmp_path / f"turn{number}", place, eventually) as turn:
            for name, pos in expected.items():
                eventually(lambda: turn.is_at(name, pos), f"{program.name} to restore {name}", 20)  # noqa: B023
                assert turn.execute(name, "SELECT count(*) FROM t") == [(rows,)]
                assert turn.execute(name, "PRAGMA integrity_check") == [("ok",)]
            for name, mode in (("a.db", "delete"), ("w.db", "wal")):
                expected[name] = turn.work(name, 4, mode)
            rows += 4
    assert len(list((place / "a.db").glob("*.ltx"))) >= 5


def test_the_recording_s_folder_is_restored_by_both(
    litefs: Program, tmp_path: Path, place: Path, eventually: Eventually
) -> None:
    golden_copy(place)
    for number, program in enumerate((ours(), litefs)):
        with Turn(program, tmp_path / f"turn{number}", place, eventually) as turn:
            eventually(lambda: turn.is_at("x.db", GOLDEN_POS), program.name, 20)


def test_what_each_writes_is_of_the_same_form(
    litefs: Program, tmp_path: Path, eventually: Eventually
) -> None:
    """Names, and what each header says but for time and node id: the same work on both."""
    found = []
    for program in (litefs, ours()):
        place = tmp_path / program.name / "backup"
        with Turn(program, tmp_path / program.name / "node", place, eventually) as turn:
            facts = []
            for rows in (1, 1, 3):
                turn.work("a.db", rows)
            for path in sorted((place / "a.db").iterdir()):
                header = header_of(path)
                facts.append(
                    (path.suffix, header.flags, header.page_size, header.node_id != 0, header.wal_size)
                )
            found.append(facts)
        assert sorted(path.name for path in place.iterdir()) == ["a.db"]
    assert {one[:3] for one in found[0]} == {one[:3] for one in found[1]}
    assert [one[3] for one in found[0]] == [True] + [False] * (len(found[0]) - 1)
    assert [one[3] for one in found[1]] == [True] + [False] * (len(found[1]) - 1)
