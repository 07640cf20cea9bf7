"""What a replica has taken of its stream is what its window says, to the byte."""

from collections.abc import Callable

from pylitefs.replication.taken import BYTES, TRANSACTIONS, Giving, Taken
from pylitefs.store.store import Store
from tests.replication.following import following
from tests.replication.stores import Writer, serving


def test_a_transaction_is_taken_with_its_last_byte() -> None:
    taken = Taken()
    taken.sent(100, "a.db", 1)
    taken.sent(150, "b.db", 7)
    taken.sent(220, "a.db", 2)
    taken.sent(220, "a.db", 3)
    assert taken.given_back(99) == {}
    assert taken.given_back(1) == {"a.db": 1}
    assert taken.given_back(100) == {"b.db": 7}
    assert taken.given_back(20) == {"a.db": 3}
    assert taken.given_back(1000) == {}


def test_bytes_are_given_back_after_some_transactions() -> None:
    """Each time has its price, on both sides."""
    given: list[int] = []
    giving = Giving(given.append)
    for number in range(1, TRANSACTIONS):
        giving.read(10, 0, number)
    assert given == []
    giving.read(10, 0, TRANSACTIONS)
    assert given == [10 * TRANSACTIONS]


def test_bytes_of_what_is_not_applied_yet_are_kept() -> None:
    """Where something was handed on, all before that piece is applied; the piece may end within a file."""
    given: list[int] = []
    giving = Giving(given.append)
    giving.read(1000, 20, 0)
    assert given == []
    giving.read(500, 4, 64)
    assert given == [1000]
    giving.read(300, 0, 64 + TRANSACTIONS)
    assert given == [1000, 800]


def test_a_long_file_is_given_back_as_it_is_read() -> None:
    given: list[int] = []
    giving = Giving(given.append)
    for _ in range(8):
        giving.read(BYTES // 4, 0, 0)
    assert given == [BYTES, BYTES]


def test_a_primary_hears_what_its_replica_has_applied(
    primary: Store, replica: Store, eventually: Callable[..., None]
) -> None:
    """Over a real connection, and nothing of what the replica has not got."""
    writer = Writer(primary)

    def taken() -> int:
        paced = primary.pace._paced.get("made.db")
        return max(paced.taken.values(), default=0) if paced else 0

    with serving(primary) as info, following(replica, info):
        eventually(lambda: replica.status.ready, "ready")
        for value in range(1, 5 * TRANSACTIONS + 1):
            newest = writer.commit({1: value}).txid
            assert taken() <= (replica.positions()["made.db"].txid if replica.positions() else 0)
        eventually(lambda: taken() > newest - TRANSACTIONS, "the replica has said so")
    eventually(lambda: not primary.pace._paced, "nobody is waited for any more")
