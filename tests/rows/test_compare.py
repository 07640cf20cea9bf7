"""Which rows differ is what SQLite says of both states, and the SQL leads from one to the other and back.

Random programs change databases of all kinds; SQLite reads both states as a whole and is the judge.
"""

import random
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from sqlite3 import Connection, connect
from typing import cast

import pytest

from pylitefs.ltx.timeline import Timeline, open_timeline
from pylitefs.rows.compare import Pair
from pylitefs.rows.difference import Difference, difference
from pylitefs.rows.script import rowid_name, script
from pylitefs.sqlite.records import Value
from tests.conftest import ClusterFactory
from tests.ltx.histories import LivingDatabase
from tests.rows.judge import Rows, apply, in_order, rows_of, schema_of
from tests.rows.random_program import RandomProgram
from tests.sqlite.random_rows import sortable

KINDS = {
    "lz4": ("lz4", "UTF-8", "NONE", 1024),
    "v3b": ("v3b", "UTF-16le", "NONE", 512),
    "plain": ("plain", "UTF-16be", "FULL", 512),
    "incremental": ("lz4", "UTF-8", "INCREMENTAL", 4096),
}


def told(one: Difference, pair: Pair) -> list[tuple[str, str]]:
    """What we say of a table: each row before and after."""
    found = []
    for change in one.rows(pair):
        sides = []
        for row, side, which in ((change.before, one.old, pair.old), (change.after, one.new, pair.new)):
            values: list[Value] = list(row.values()) if row is not None else []
            if row is not None and which is not None:
                table = side.table(which.name)
                values = [row[name] for name in table.names]
                values = (
                    [change.rowid, *values] if table.has_rowid and rowid_name(table, alias=True) else values
                )
            sides.append(sortable(values) if row is not None else "")
        found.append((sides[0], sides[1]))
    return sorted(found)


def by_judge(one: Difference, pair: Pair, old: Rows, new: Rows) -> list[tuple[str, str]]:
    """What SQLite's rows of both states say."""
    table = one.new.table(pair.name) if pair.new is not None else one.old.table(pair.name)
    size = 1 if table.has_rowid else len(table.key)
    before = {sortable(row[:size]): sortable(row) for row in old[pair.old.name]} if pair.old else {}
    after = {sortable(row[:size]): sortable(row) for row in new[pair.new.name]} if pair.new else {}
    keys = [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]
    return sorted((before.get(key, ""), after.get(key, "")) for key in keys)


def check(timeline: Timeline, living: LivingDatabase, folder: Path, first: int, last: int) -> None:
    """Everything that is said of two states."""
    before, after = folder / "before.db", folder / "after.db"
    before.write_bytes(living.states[first])
    after.write_bytes(living.states[last])
    old, new = rows_of(before), rows_of(after)
    one = difference(timeline, first, last)
    for pair in one.pairs:
        objects = [found for found in (pair.old, pair.new) if found is not None]
        same = len({found.sql for found in objects}) == 1 and all(found.root for found in objects)
        if same and not pair.name.startswith("sqlite_stat") and not one.is_vacuum:
            assert told(one, pair) == by_judge(one, pair, old, new), pair.name
    for way, start, expected in ((one, first, after), (one.turned, last, before)):
        copy = folder / "copy.db"
        copy.write_bytes(living.states[start])
        apply(copy, script(way))
        found, wanted = rows_of(copy), rows_of(expected)
        if one.is_vacuum:  # It may give other rowids, which nobody has asked for.
            assert {name: len(rows) for name, rows in found.items()} == {
                name: len(rows) for name, rows in wanted.items()
            }
        else:
            assert in_order(found) == in_order(wanted)
        assert schema_of(copy) == schema_of(expected)


def run(folder: Path, kind: str, seed: int, steps: int) -> None:
    form, encoding, vacuum, page_size = KINDS[kind]

    def setup(db: Connection) -> None:
        for name, wanted in (
            ("page_size", page_size),
            ("encoding", f"'{encoding}'"),
            ("auto_vacuum", vacuum),
        ):
            db.execute(f"PRAGMA {name}={wanted}")

    with closing(LivingDatabase(folder, form, setup)) as living:
        program = RandomProgram(living, f"{kind} {seed}")
        program.begin()
        done = [program.step() for _ in range(steps)]
        rng = random.Random(seed)
        pairs = [(txid, txid + 1) for txid in range(1, living.txid)]
        pairs += [tuple(sorted(rng.sample(range(1, living.txid + 1), 2))) for _ in range(steps // 4)]  # type: ignore[misc]
        with open_timeline(folder) as timeline:
            for first, last in pairs:
                try:
                    check(timeline, living, folder, first, last)
                except BaseException as error:
                    error.add_note(f"{first}..{last} of {list(enumerate(done, 2))}")
                    raise


@pytest.mark.parametrize("kind", KINDS)
def test_a_random_program_s_rows_are_those_that_sqlite_sees(tmp_path: Path, kind: str) -> None:
    run(tmp_path, kind, 1, 6)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(2, 12))
@pytest.mark.parametrize("kind", KINDS)
def test_many_random_programs(tmp_path: Path, kind: str, seed: int) -> None:
    run(tmp_path, kind, seed, 50)


class OnAMount:
    """A database in a node's mount, in place of one whose files the test writes."""

    def __init__(self, path: Path, mode: str) -> None:
        self.db = connect(path, isolation_level=None)
        self.db.execute(f"PRAGMA journal_mode={mode}")
        self.states: dict[int, bytes] = {}

    def commit(self, *, whole: bool = False) -> int:
        """The node has seen it already."""
        return 0


@pytest.mark.parametrize("mode", ["wal", "delete"])
@pytest.mark.parametrize("steps", [2, pytest.param(60, marks=pytest.mark.full)])
def test_what_a_node_captured_is_told_as_well(
    cluster_factory: ClusterFactory, tmp_path: Path, mode: str, steps: int
) -> None:
    """The files are the node's, with the pages that SQLite wrote, in the directory of a node that runs."""
    node = cluster_factory(replicas=0).primary
    living = OnAMount(node.database("a.db"), mode)
    with closing(living.db):
        program = RandomProgram(cast(LivingDatabase, living), mode)
        program.begin()
        for _ in range(steps):
            program.step()
        folder = node.data / "dbs" / "a.db"
        with open_timeline(folder) as timeline:
            for txid in timeline.txids:
                moment = timeline.moment(txid)
                living.states[txid] = moment.read(0, moment.size)
                data = bytearray(living.states[txid])
                data[18:20] = b"\1\1"  # SQLite would want a WAL beside.
                living.states[txid] = bytes(data)
            for first, last in pairwise(timeline.txids):
                if len(living.states[first]) > 4096:
                    check(timeline, cast(LivingDatabase, living), tmp_path, first, last)
