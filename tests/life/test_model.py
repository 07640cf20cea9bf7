"""The model notices what the random lives look for: what is lost, half there, rolled back or changed."""

import random

import pytest

from tests.life.model import SCHEMA, Model, Statements, Transaction, loaded, memory

NAMES = ["a.db", "b.db"]


def database(name: str, *transactions: Transaction) -> bytes:
    """A database that holds these transactions."""
    db = memory()
    inner = [line for one in transactions for line in one.parts[name]]
    for line in (*SCHEMA, *inner):
        db.execute(line.format(s="main"))
    return db.serialize()


@pytest.fixture
def model() -> Model:
    return Model(NAMES)


@pytest.fixture
def one(model: Model) -> Transaction:
    """A transaction over both databases, begun."""
    one = Statements(random.Random(1)).transaction(NAMES, may_roll_back=False)
    model.begun(one)
    return one


def both(*transactions: Transaction) -> dict[str, bytes]:
    return {name: database(name, *transactions) for name in NAMES}


def beginning(one: Transaction) -> Model:
    model = Model(NAMES)
    model.begun(one)
    return model


def test_an_acknowledged_transaction_must_be_there(one: Transaction) -> None:
    one.acknowledged = True
    beginning(one).settle(both(one))
    with pytest.raises(AssertionError, match="acknowledged"):
        beginning(one).settle(both())


def test_one_without_an_answer_is_there_wholly_or_not_at_all(one: Transaction) -> None:
    beginning(one).settle(both())
    beginning(one).settle(both(one))
    with pytest.raises(AssertionError, match="half of it"):
        beginning(one).settle({"a.db": database("a.db", one), "b.db": database("b.db")})


def test_in_wal_mode_each_database_is_for_itself(model: Model, one: Transaction) -> None:
    one.atomic = False
    model.settle({"a.db": database("a.db", one), "b.db": database("b.db")})


def test_what_was_rolled_back_is_not_there(model: Model, one: Transaction) -> None:
    one.rolled_back = True
    with pytest.raises(AssertionError, match="rolled back"):
        model.settle(both(one))


def test_the_rows_are_those_of_the_statements(model: Model, one: Transaction) -> None:
    contents = both(one)
    db = loaded(contents["b.db"])
    db.execute("UPDATE t SET n = n + 1 WHERE id = (SELECT max(id) FROM t)")
    db.execute("INSERT INTO t (n) SELECT 7 WHERE NOT EXISTS (SELECT 1 FROM t)")
    with pytest.raises(AssertionError, match="rows of t"):
        model.settle({**contents, "b.db": db.serialize()})


def test_what_settled_stays(model: Model, one: Transaction) -> None:
    model.settle(both(one))
    with pytest.raises(AssertionError, match="has changed"):
        model.settle(both())
