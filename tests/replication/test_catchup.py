"""What a replica gets, and why: every case of the rule."""

import pytest

from pylitefs.ltx.position import Pos
from pylitefs.replication.catchup import (
    CHEAP_BYTES,
    CHEAP_FILES,
    Files,
    History,
    NextFile,
    Nothing,
    Snapshot,
    decide,
)

A, B = 1 << 63 | 0xA, 1 << 63 | 0xB


@pytest.mark.parametrize(
    ("replica", "primary", "next_file", "kind", "reason"),
    [
        (Pos(), Pos(), None, Nothing, "no transaction yet"),
        (Pos(5, A), Pos(), None, Nothing, "no transaction yet"),
        (Pos(), Pos(1, A), NextFile(1, 1, 0), Snapshot, "yet: LTX file 0000000000000001-0000000000000001 is"),
        (Pos(), Pos(7, A), NextFile(1, 7, 0), Snapshot, "yet: LTX file 0000000000000001-0000000000000007 is"),
        (Pos(), Pos(7, A), NextFile(1, 1, 0), Snapshot, "no transaction of this database yet"),
        (Pos(), Pos(7, A), None, Snapshot, "no transaction of this database yet"),
        (Pos(8, A), Pos(7, A), None, Snapshot, "the replica is ahead"),
        (Pos(7, A), Pos(7, A), None, Nothing, "up to date at TXID 0000000000000007"),
        (Pos(7, B), Pos(7, A), None, Snapshot, "both are at TXID 0000000000000007"),
        (Pos(5, B), Pos(7, A), None, Snapshot, "begins at TXID 0000000000000006 is no longer kept"),
        (Pos(5, B), Pos(7, A), NextFile(7, 7, B), Snapshot, "0000000000000006 is no longer kept"),
        (Pos(5, B), Pos(7, A), NextFile(6, 6, A), Snapshot, "their histories differ"),
        (Pos(5, B), Pos(7, A), NextFile(6, 6, B), Files, "0000000000000006 to 0000000000000007 continue"),
        (Pos(6, B), Pos(7, A), NextFile(7, 7, B), Files, "which LTX file 0000000000000007 continues"),
        (Pos(5, B), Pos(9, A), NextFile(6, 9, B), Files, "0000000000000006 to 0000000000000009"),
    ],
)
def test_every_case_of_the_rule(
    replica: Pos, primary: Pos, next_file: NextFile | None, kind: type, reason: str
) -> None:
    """Replica's position, primary's position, next LTX file: the decision, and its reason in words."""
    decision = decide(replica, primary, next_file)
    assert type(decision) is kind
    assert reason in decision.reason


def test_files_say_from_where_to_where() -> None:
    """The first file is the next one, the last is the primary's newest."""
    decision = decide(Pos(5, B), Pos(9, A), NextFile(6, 6, B))
    assert isinstance(decision, Files)
    assert (decision.first, decision.last) == (6, 9)


def test_a_difference_names_both_checksums() -> None:
    """Whoever reads the log must be able to look them up."""
    reason = decide(Pos(7, B), Pos(7, A), None).reason
    assert f"{A:016x}" in reason
    assert f"{B:016x}" in reason


def test_the_one_file_that_holds_all_is_the_snapshot() -> None:
    """An LTX file that begins at TXID 1 holds every page: none has to be made afresh."""
    whole = NextFile(1, 4, 0)
    decision = decide(Pos(), Pos(4, A), whole)
    assert isinstance(decision, Snapshot) and decision.kept == whole
    longer = decide(Pos(), Pos(5, A), whole)
    assert isinstance(longer, Snapshot) and longer.kept is None


@pytest.mark.parametrize(
    ("history", "kind"),
    [
        (History(2, 400, 8192), Files),
        (History(CHEAP_FILES, CHEAP_BYTES, 0), Files),
        (History(CHEAP_FILES, 3 * CHEAP_BYTES, 4 * CHEAP_BYTES), Files),
        (History(CHEAP_FILES + 1, 400, 8192), Snapshot),
        (History(2, CHEAP_BYTES + 1, 8192), Snapshot),
        (History(2, 4 * CHEAP_BYTES + 1, 4 * CHEAP_BYTES), Snapshot),
    ],
)
def test_a_database_born_while_the_replica_listens_comes_from_its_first_file_on(
    history: History, kind: type
) -> None:
    """However soon the stream wakes; but a long history is not sent file by file."""
    decision = decide(Pos(), Pos(history.files, A), NextFile(1, 1, 0), history)
    assert type(decision) is kind
    if isinstance(decision, Files):
        assert (decision.first, decision.last) == (1, history.files)
        assert "LTX files 0000000000000001 to " in decision.reason
