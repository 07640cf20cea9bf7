"""Every page of every state is the one that the database had, without restoring it."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.errors import HistoryGoneError, LtxError, RestoreError
from pylitefs.ltx.timeline import open_timeline
from tests.ltx.histories import LivingDatabase

LITESTREAM = Path(__file__).parents[1] / "golden" / "data" / "litestream"


def grown(folder: Path, form: str, count: int = 12) -> LivingDatabase:
    """A database that grows, is emptied and cut shorter, and grows again."""
    living = LivingDatabase(folder, form)
    rng = random.Random(form)
    living.run("CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    for number in range(count):
        living.run(*(f"INSERT INTO t(x) VALUES(zeroblob({rng.randrange(3000)}))" for _ in range(9)))
        living.run(f"UPDATE t SET x = randomblob(9) WHERE id % 7 = {number % 7}")
        if number % 5 == 4:
            living.run("DELETE FROM t WHERE id % 2")
            living.db.execute("VACUUM")
            living.commit()
    return living


@pytest.fixture(params=["plain", "lz4", "v3b"])
def living(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LivingDatabase]:
    with closing(grown(tmp_path, request.param)) as one:
        yield one


def test_every_page_of_every_state_is_the_database_s(living: LivingDatabase) -> None:
    with open_timeline(living.path.parent) as timeline:
        assert timeline.txids == list(living.states)
        for txid, data in living.states.items():
            moment = timeline.moment(txid)
            assert moment.read(0, 2 * len(data)) == data
            assert moment.read(len(data) - 700, 9000) == data[-700:]
            with pytest.raises(RestoreError, match="past the end"):
                moment.page(moment.page_count + 1)
        for wrong in (0, len(living.states) + 1):
            with pytest.raises(RestoreError, match="not there"):
                timeline.moment(wrong)


def test_large_files_are_asked_and_not_listed(
    living: LivingDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pages are the same."""
    monkeypatch.setattr("pylitefs.ltx.timeline._LISTED", 2000)
    test_every_page_of_every_state_is_the_database_s(living)


@pytest.mark.parametrize("form", ["plain", "lz4"])
def test_what_retention_took_is_said_and_all_else_is_right(tmp_path: Path, form: str) -> None:
    """Pages that no later file changed come from the database as it is now."""
    with closing(grown(tmp_path, form)) as living:
        living.run("CREATE TABLE u(x)")
        living.run("INSERT INTO u VALUES(1)")
        living.run("INSERT INTO u VALUES(2)")
        living.forget(living.txid - 3)
        gone = 0
        with open_timeline(tmp_path) as timeline:
            assert timeline.begins_at == living.txid - 3
            for txid in timeline.txids:
                moment, data = timeline.moment(txid), living.states[txid]
                for pgno in range(1, moment.page_count + 1):
                    try:
                        page = moment.page(pgno)
                    except HistoryGoneError as error:
                        assert f"page {pgno} " in str(error) and f"{txid:016x}" in str(error)
                        gone += 1
                    else:
                        assert page == data[(pgno - 1) * moment.page_size : pgno * moment.page_size]
        assert gone == 0  # Every page that they changed, the first of them had changed too.
        with pytest.raises(RestoreError, match="not there any more"), open_timeline(tmp_path) as timeline:
            timeline.moment(2)


def test_a_page_that_only_later_files_have_is_gone(tmp_path: Path) -> None:
    with closing(LivingDatabase(tmp_path)) as living:
        living.run("CREATE TABLE t(x)", "CREATE TABLE u(x)")
        living.run("INSERT INTO t VALUES(1)")
        living.run("INSERT INTO u VALUES(1)")
        living.forget(1)
        with open_timeline(tmp_path) as timeline:
            assert timeline.moment(2).page(2) == living.states[2][4096:8192]
            with pytest.raises(HistoryGoneError, match="page 3 as it was after 0000000000000002 is not in"):
                timeline.moment(2).page(3)


def test_a_replica_s_states_are_those_that_its_restores_are() -> None:
    """Real Litestream's directory: several levels, a snapshot among them, where a chain begins."""
    lines = (LITESTREAM / "restored.sha256").read_text().split("\n")
    recorded = {int(line.split()[0], 16): line.split()[1] for line in lines if line}
    assert len(recorded) == 12
    for first in (None, 7):
        with open_timeline(LITESTREAM / "replica", first) as timeline:
            assert timeline.txids[-1] == 12 and (first is None or timeline.txids[0] <= first)
            for txid in timeline.txids:
                moment = timeline.moment(txid)
                digest = hashlib.sha256(moment.read(0, moment.size)).hexdigest()
                assert digest == recorded[txid]


def test_a_source_that_has_no_beginning_is_refused(tmp_path: Path) -> None:
    with closing(grown(tmp_path, "v3b", 1)) as living:
        living.forget(1)
    with pytest.raises(RestoreError, match="no beginning"), open_timeline(tmp_path, 2):
        pass


def test_what_is_behind_a_gap_is_told(tmp_path: Path) -> None:
    with closing(grown(tmp_path, "v3b", 2)) as living:
        (living.folder / f"{3:016x}-{3:016x}.ltx").unlink()
    with open_timeline(tmp_path) as timeline:
        assert timeline.txids == [1, 2]
        with pytest.raises(RestoreError, match="gap: TXIDs 0000000000000003-0000000000000003 are missing"):
            timeline.moment(4)


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    with closing(grown(tmp_path, "lz4", 1)) as living:
        path = living.folder / "0000000000000002-0000000000000002.ltx"
        path.write_bytes(path.read_bytes()[:90])
    with pytest.raises(LtxError, match=r"0002\.ltx"), open_timeline(tmp_path):
        pass
