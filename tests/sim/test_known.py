"""A copy of a database is judged by its own bytes, and by what was acknowledged up to its position."""

import pytest

from pylitefs.ltx.position import Pos
from tests.sim.known import check_known, states_at
from tests.sim.oracle import Oracle, Wrong
from tests.sim.program import SCHEMA, draw, with_copies
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
        check_known(oracle, *at(oracle, index, txid), "it")
        assert states_at(oracle, txid) == [oracle.all[index]]
    for txid, index in ((1, 2), (4, 2), (2, 3)):
        with pytest.raises(Wrong, match="the rows are"):
            check_known(oracle, *at(oracle, index, txid), "it")


def test_what_got_no_answer_may_be_there(oracle: Oracle) -> None:
    maybe = oracle.after(["DELETE FROM t"])
    oracle.unanswered(maybe)
    check_known(oracle, maybe.content, Pos(5, checksum_of(maybe.content, 4096)), "it")
    assert maybe not in states_at(oracle, 2)


def test_a_copy_that_is_older_than_it_may_be_is_wrong(oracle: Oracle) -> None:
    with pytest.raises(Wrong, match=r"allowed are \[\]"):
        check_known(oracle, *at(oracle, 2, 2), "it", among=oracle.all[3:])


def test_bytes_of_another_position_are_wrong(oracle: Oracle) -> None:
    content, _ = at(oracle, 2, 2)
    with pytest.raises(Wrong, match="has checksum"):
        check_known(oracle, content, at(oracle, 3, 2)[1], "it")


def test_steps_that_copy_are_put_among_the_others() -> None:
    """Most histories have none, and the others have all of their steps in their order."""
    there = 0
    for seed in range(100):
        steps = draw(seed)
        others = [one for one in steps if one.kind != "export"]
        assert with_copies(seed, others) == steps
        there += steps != others
    assert 15 < there < 50
