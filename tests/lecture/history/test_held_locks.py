"""Who holds which of SQLite's locks, as the kernel counts them: by owner and by byte."""

from pylitefs.lecture.history.held_locks import HeldLocks, lock_label
from pylitefs.lecture.model import Json
from pylitefs.sqlite.locks import PENDING_BYTE, RESERVED_BYTE, SHARED_FIRST, SHARED_SIZE, WAL_READ_LOCK0


def call(
    first: int, length: int = 1, kind: str = "read", *, owner: str = "a", file: str = "database"
) -> Json:
    return {"first": first, "length": length, "kind": kind, "owner": owner, "file": file}


def labels(held: HeldLocks, node: str = "n1") -> list[str]:
    return [f"{one['who']} {one['lock']} {one['kind']}" for one in held.state(node, "a.db")]


def test_a_lock_is_held_by_its_owner_until_released_and_on_its_node() -> None:
    held = HeldLocks()
    held.take("n1", "a.db", call(SHARED_FIRST, SHARED_SIZE), "writer")
    held.take("n1", "a.db", call(SHARED_FIRST, SHARED_SIZE, owner="b"), "reader")
    held.take("n1", "a.db", call(RESERVED_BYTE, kind="write"), "writer")
    assert labels(held) == ["writer RESERVED write", "reader SHARED read", "writer SHARED read"]
    held.release("n1", "a.db", call(SHARED_FIRST, SHARED_SIZE, owner="b"))
    held.release("n1", "b.db", call(RESERVED_BYTE))
    assert labels(held) == ["writer RESERVED write", "writer SHARED read"] and labels(held, "n2") == []
    held.release("n1", "a.db", call(0, 0))
    assert labels(held) == []


def test_a_later_call_converts_what_its_owner_holds() -> None:
    held = HeldLocks()
    assert held.take("n1", "a.db", call(SHARED_FIRST, SHARED_SIZE), "w") == ""
    assert held.take("n1", "a.db", call(SHARED_FIRST, SHARED_SIZE), "w") == "", "the same again"
    assert held.take("n1", "a.db", call(SHARED_FIRST, SHARED_SIZE, "write"), "w") == "SHARED"
    assert labels(held) == ["w EXCLUSIVE write"]
    assert held.take("n1", "a.db", call(SHARED_FIRST, SHARED_SIZE, "write", owner="b"), "x") == ""


def test_a_range_is_every_lock_that_it_touches_in_its_file() -> None:
    held = HeldLocks()
    held.take("n1", "a.db", call(WAL_READ_LOCK0, 2, "write", file="shm"), "w")
    assert labels(held) == ["w READ0 write", "w READ1 write"]
    held.take("n1", "a.db", call(PENDING_BYTE, 2 + SHARED_SIZE, "write", owner="b"), "applier")
    assert len(labels(held)) == 5
    held.take("n1", "a.db", call(0, 0, file="journal"), "w")
    assert len(labels(held)) == 5
    held.release("n1", "a.db", call(WAL_READ_LOCK0, file="shm"))
    assert "w READ0 write" not in labels(held) and "w READ1 write" in labels(held)


def test_an_event_without_a_range_names_its_lock() -> None:
    held = HeldLocks()
    held.take("n1", "a.db", {"lock": "EXCLUSIVE", "kind": "write", "owner": "a"}, "w")
    assert labels(held) == ["w EXCLUSIVE write"] and lock_label(SHARED_FIRST, "read") == "SHARED"


def test_who_stands_in_the_way_is_who_has_what_excludes() -> None:
    held = HeldLocks()
    held.take("n1", "a.db", call(SHARED_FIRST, SHARED_SIZE, owner="r"), "reader")
    held.take("n1", "a.db", call(SHARED_FIRST, SHARED_SIZE, owner="w"), "writer")
    wanted = call(SHARED_FIRST, SHARED_SIZE, "write", owner="w")
    assert held.holders("n1", "a.db", wanted) == ["reader (SHARED)"], "not itself"
    assert held.holders("n1", "a.db", call(SHARED_FIRST, SHARED_SIZE, owner="x")) == [], "readers share"
    held.take("n1", "a.db", wanted, "writer")
    assert held.holders("n1", "a.db", call(SHARED_FIRST, SHARED_SIZE, owner="x")) == ["writer (EXCLUSIVE)"]


def test_a_node_s_end_is_the_end_of_its_locks() -> None:
    held = HeldLocks()
    for node in ("n1", "n2"):
        held.take(node, "a.db", call(RESERVED_BYTE, kind="write"), "w")
    assert held.forget("n1") == ["a.db"] and held.forget("n1") == []
    assert labels(held) == [] and labels(held, "n2") == ["w RESERVED write"]
