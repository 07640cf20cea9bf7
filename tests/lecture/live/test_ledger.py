"""Which transactions were acknowledged, and whether a node that runs has them: by what was told alone."""

from pylitefs.lecture.live.ledger import Ledger
from pylitefs.lecture.model import Entry

WRITER = "writer n1/a (pid 7)"


class Told(Ledger):
    """A ledger that is told in few words."""

    def __init__(self, **roles: str) -> None:
        super().__init__()
        self.take(Entry(0, 0.0, "command", set={f"node/{name}/role": role for name, role in roles.items()}))

    def event(self, node: str, name: str, txid: int, checksum: str, who: str = "n2 itself") -> None:
        self.take(Entry(1, 0.0, "event", name, node, "data.db", txid, who, detail={"checksum": checksum}))

    def commit(self, node: str, txid: int, checksum: str, name: str = "done") -> None:
        self.event(node, "pos.advance", txid, checksum, f"writer {node}/a (pid 7)")
        self.take(Entry(2, 0.0, "sql", name, node, text=f"{node}/a: {name}"))

    def applies(self, node: str, txid: int, checksum: str) -> None:
        self.event(node, "pos.advance", txid, checksum)

    def becomes(self, node: str, role: str) -> None:
        self.take(Entry(3, 0.0, "fault", set={f"node/{node}/role": role}))

    @property
    def is_lost(self) -> bool:
        return self.why_nothing_is_lost() is None


def two() -> Told:
    told = Told(n1="primary", n2="replica")
    told.commit("n1", 1, "aa")
    told.applies("n2", 1, "aa")
    return told


def test_what_a_replica_or_the_primary_has_is_not_lost() -> None:
    told = two()
    assert "is on n1, n2" in str(told.why_nothing_is_lost())
    told.commit("n1", 2, "bb")
    assert "TXID 2 of n1/a, is on n1" in str(told.why_nothing_is_lost())


def test_it_is_lost_when_its_only_node_is_down_and_another_is_the_primary() -> None:
    told = two()
    told.commit("n1", 2, "bb")
    told.becomes("n1", "down")
    assert "no primary" in str(told.why_nothing_is_lost())
    told.becomes("n2", "primary")
    assert told.is_lost
    told.becomes("n1", "primary")
    assert not told.is_lost


def test_another_transaction_with_the_same_txid_is_not_it() -> None:
    told = two()
    told.commit("n1", 2, "bb")
    told.becomes("n1", "down")
    told.becomes("n2", "primary")
    told.commit("n2", 2, "cc")
    assert told.is_lost


def test_what_nobody_was_told_of_cannot_be_lost() -> None:
    """The shell's statement failed, or has not come back."""
    for ends in (True, False):
        told = Told(n1="primary", n2="replica")
        if ends:
            told.commit("n1", 1, "aa", name="error")
        else:
            told.event("n1", "pos.advance", 1, "aa", WRITER)
        told.becomes("n1", "down")
        told.becomes("n2", "primary")
        assert told.why_nothing_is_lost() == "no program was told of a commit yet"


def test_a_snapshot_takes_the_place_of_what_a_node_had() -> None:
    told = two()
    told.commit("n1", 2, "bb")
    told.becomes("n2", "primary")
    assert not told.is_lost
    told.becomes("n1", "replica")
    told.take(Entry(4, 0.0, "event", "ltx.store", "n1", "data.db", 1, detail={"snapshot": True}))
    told.applies("n1", 1, "aa")
    assert told.is_lost


def test_a_node_that_got_it_in_a_snapshot_has_it() -> None:
    told = two()
    told.commit("n1", 2, "bb")
    told.commit("n1", 3, "cc")
    told.take(Entry(4, 0.0, "event", "ltx.store", "n2", "data.db", 3, detail={"snapshot": True}))
    told.applies("n2", 3, "cc")
    told.becomes("n1", "down")
    told.becomes("n2", "primary")
    assert not told.is_lost


def test_a_new_history_begins_anew() -> None:
    told = two()
    told.take(Entry(0, 0.0, "command"))
    assert told.acknowledged == []
