"""A copy of a database is judged by its own bytes, and by what was acknowledged up to its position."""

import pytest

from pylitefs.ltx.position import Pos
from tests.sim.known import check_copy, rows_at, states_at
from tests.sim.oracle import Oracle, Wrong
from tests.sim.program import APART, SCHEMA, draw, with_copies
from tests.store.support import checksum_of


@pytest.fixture
def oracle() -> Oracle:
    """Three states; between the second and the third a position that only the node knows of."""
    oracle = Oracle()
    texts = [[*SCHEMA], ["INSERT INTO t (x) VALUES (1)"], ["INSERT INTO t (x) VALUES (2)"]]
    for txid, text in zip((1, 2, 4), texts, strict=True):
        oracle.acknowledged(oracle.after(text), txid)
    return oracle


def at(oracle: Oracle, index: int, txid: int) -> tuple[bytes, Pos]:
    content = oracle.all[index].content
    return content, Pos(txid, checksum_of(content, 4096))


def test_the_rows_of_a_position_are_those_acknowledged_by_then(oracle: Oracle) -> None:
    for txid, index in ((1, 1), (2, 2), (3, 2), (4, 3), (9, 3)):
        check_copy(*at(oracle, index, txid), rows_at(oracle, txid), "it")
        assert states_at(oracle, txid) == [oracle.all[index]]
    for txid, index in ((1, 2), (4, 2), (2, 3)):
        with pytest.raises(Wrong, match="the rows are"):
            check_copy(*at(oracle, index, txid), rows_at(oracle, txid), "it")


def test_what_got_no_answer_may_be_there(oracle: Oracle) -> None:
    maybe = oracle.after(["DELETE FROM t"])
    oracle.unanswered(maybe)
    check_copy(maybe.content, Pos(5, checksum_of(maybe.content, 4096)), rows_at(oracle, 5), "it")
    assert maybe not in states_at(oracle, 2)


def test_after_a_start_the_newest_state_is_known_by_the_node_s_position(oracle: Oracle) -> None:
    """A transaction that changed no row may be gone; what comes next has its TXID."""
    newest = oracle.now
    oracle.is_at(5)
    assert oracle.now is newest
    oracle.is_at(3)
    assert oracle.now.txid == 3 and oracle.now.rows == newest.rows
    assert states_at(oracle, 3) == [oracle.now] and states_at(oracle, 2) == [oracle.all[2]]


def test_bytes_of_another_position_are_wrong(oracle: Oracle) -> None:
    content, _ = at(oracle, 2, 2)
    with pytest.raises(Wrong, match="has checksum"):
        check_copy(content, at(oracle, 3, 2)[1], rows_at(oracle, 2), "it")


def test_steps_that_copy_are_put_among_the_others() -> None:
    """Most histories have none, and the others have all of their steps in their order."""
    there = 0
    for seed in range(100):
        steps = draw(seed)
        others = [one for one in steps if one.kind not in APART]
        assert with_copies(seed, others) == steps
        there += steps != others
    assert 45 < there < 85
