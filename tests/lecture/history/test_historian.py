"""From raw control messages to entries: told by stores that really commit, and by made-up events."""

import base64
import shutil
from functools import reduce
from operator import xor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylitefs.lecture.history.historian import Historian
from pylitefs.lecture.model import STATE_KEYS, Entry, state_at
from pylitefs.ltx.position import Pos
from pylitefs.store.status import Status
from pylitefs.store.store import Store
from pylitefs.trace import TRACEPOINTS, Tracer
from tests.lecture.told import Told
from tests.store.serving import Served
from tests.store.support import opened


def replicate(store: Store, replica: Store) -> None:
    """Hand every LTX file of a.db that the replica lacks to it."""
    database = store.require("a.db")
    for span in database.ltx_files():
        if span[1] > replica.create("a.db").pos.txid:
            replica.receive_ltx("a.db", iter([database.ltx_path(*span).read_bytes()]))


def assert_xor_holds(entry: Entry, before: Pos, after: Pos) -> None:
    terms = entry.xor
    assert terms, entry
    assert reduce(xor, (term.value for term in terms[:-1])) == terms[-1].value
    assert terms[0].value == before.checksum
    assert terms[-1].value == after.checksum


# A commit's walk


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist"])
def test_a_commit_in_rollback_mode_is_told_from_journal_to_position(
    served: Served, told: Told, mode: str
) -> None:
    db = served.connect("a.db", "page_size=1024", f"journal_mode={mode}")
    db.execute("CREATE TABLE t (x)")
    before = served.store.require("a.db").pos
    told.entries.clear()
    db.execute("INSERT INTO t VALUES ('Anna')")
    names = list(dict.fromkeys(entry.name for entry in told.entries))
    wanted = [
        "journal.write",
        "journal.sync",
        "page.write",
        "journal.invalidate",
        "ltx.encode",
        "ltx.commit",
        "pos.advance",
    ]
    assert [name for name in names if name in wanted] == wanted
    syncs = [entry.text for entry in told.named("journal.sync")]
    assert ["it is hot" in text for text in syncs][:2] == [False, True]
    assert all("end is on the disk" in text for text in syncs[2:])
    commit = told.last("ltx.commit")
    assert commit.lights == (("n1", "a.db", 1, "captured"), ("n1", "a.db", 2, "captured"))
    assert_xor_holds(commit, before, served.store.require("a.db").pos)
    assert [term.label for term in commit.xor] == [
        "before", "page 1, old", "page 1, new", "page 2, old", "page 2, new", "after",
    ]  # fmt: skip
    pos = served.store.require("a.db").pos
    state = told.state
    assert state["db/n1/a.db/txid"] == pos.txid
    assert state["db/n1/a.db/checksum"] == f"{pos.checksum:016x}"
    assert state["db/n1/a.db/pages"] == 2
    assert state["db/n1/a.db/mode"] == mode
    assert told.pages("n1") == {1: "captured", 2: "captured"}
    assert commit.text.startswith(f"The LTX file {pos.txid:016x}-{pos.txid:016x}.ltx")
    assert commit.detail["path"] == f"{pos.txid:016x}-{pos.txid:016x}.ltx"
    assert ("n1", "a.db", 2, "journalled") in [light for entry in told.entries for light in entry.lights]


def test_a_commit_in_wal_mode_is_told_from_frame_to_position(served: Served, told: Told) -> None:
    db = served.connect("a.db", "page_size=1024", "journal_mode=wal")
    db.execute("CREATE TABLE t (x)")
    before = served.store.require("a.db").pos
    told.entries.clear()
    db.execute("INSERT INTO t VALUES ('Anna')")
    names = list(dict.fromkeys(entry.name for entry in told.entries))
    assert names == ["wal.frame", "wal.commit", "ltx.encode", "ltx.commit", "pos.advance"]
    assert_xor_holds(told.last("ltx.commit"), before, served.store.require("a.db").pos)
    assert told.state["db/n1/a.db/mode"] == "wal"
    assert ("n1", "a.db", 2, "written") in [light for entry in told.entries for light in entry.lights]
    assert told.pages("n1")[2] == "captured"


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_rollback_takes_back_what_its_pages_showed(served: Served, told: Told, mode: str) -> None:
    db = served.connect("a.db", "page_size=512", f"journal_mode={mode}", "cache_size=1", "cache_spill=1")
    db.execute("CREATE TABLE t (x)")
    db.execute("INSERT INTO t VALUES (1)")
    before = told.pages("n1")
    db.execute("BEGIN")
    db.execute("INSERT INTO t VALUES (randomblob(20000))")
    assert "written" in told.pages("n1").values()
    db.execute("ROLLBACK")
    if mode == "wal":
        # Nobody is told of a rollback there, until the next transaction writes over its frames.
        db.execute("UPDATE t SET x = 2")
    assert told.pages("n1") == before
    assert told.state["db/n1/a.db/txid"] == served.store.require("a.db").pos.txid


def test_a_rollback_of_the_wals_first_transaction_is_taken_back_by_the_next_header(
    served: Served, told: Told
) -> None:
    served.connect("a.db", "page_size=512").execute("CREATE TABLE t (x)")
    db = served.connect("a.db", "journal_mode=wal", "cache_size=1", "cache_spill=1")
    db.execute("INSERT INTO t VALUES (1)")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = told.pages("n1")
    db.execute("BEGIN")
    db.execute("INSERT INTO t VALUES (randomblob(20000))")
    db.execute("ROLLBACK")
    assert "written" in told.pages("n1").values()
    db.execute("UPDATE t SET x = 2")
    assert told.pages("n1") == before


def test_pages_that_a_vacuum_cuts_off_are_terms_and_no_pages_any_more(served: Served, told: Told) -> None:
    db = served.connect("a.db", "page_size=512")
    db.execute("CREATE TABLE t (x)")
    db.execute("INSERT INTO t VALUES (randomblob(5000))")
    db.execute("DELETE FROM t")
    before = served.store.require("a.db").pos
    assert max(told.pages("n1")) > 5
    db.execute("VACUUM")
    entry = told.last("ltx.commit")
    assert_xor_holds(entry, before, served.store.require("a.db").pos)
    assert [term.label for term in entry.xor if "cut off" in term.label]
    assert max(told.pages("n1")) == 2
    assert told.state["db/n1/a.db/pages"] == 2


def test_the_first_transaction_another_page_size_and_a_drop_add_up(served: Served, told: Told) -> None:
    db = served.connect("a.db", "page_size=512")
    db.execute("CREATE TABLE t (x)")
    database = served.store.require("a.db")
    assert_xor_holds(told.last("ltx.commit"), Pos(), database.pos)
    assert told.last("ltx.commit").xor[0].label == "before: no transaction"
    before = database.pos
    db.execute("PRAGMA page_size=1024")
    db.execute("VACUUM")
    assert_xor_holds(told.last("ltx.commit"), before, database.pos)
    assert "page 1, cut off (512 bytes)" not in [term.label for term in told.last("ltx.commit").xor]
    assert any("(512 bytes)" in term.label for term in told.last("ltx.commit").xor)
    before = database.pos
    db.close()
    served.unlink("a.db")
    assert_xor_holds(told.last("ltx.commit"), before, database.pos)
    assert told.pages("n1") == {}
    assert told.state["db/n1/a.db/pages"] == 0


def test_a_long_xor_is_shortened_and_still_adds_up(served: Served, told: Told) -> None:
    db = served.connect("a.db", "page_size=512")
    db.execute("CREATE TABLE t AS SELECT randomblob(60000) AS x")
    entry = told.last("ltx.commit")
    assert len(entry.xor) < 70
    assert any("more terms" in term.label for term in entry.xor)
    assert_xor_holds(entry, Pos(), served.store.require("a.db").pos)


def test_a_replica_stores_and_applies_with_the_same_xor(served: Served, told: Told, tmp_path: Path) -> None:
    db = served.connect("a.db", "page_size=1024")
    db.execute("CREATE TABLE t (x)")
    db.execute("INSERT INTO t VALUES (1)")
    with opened(tmp_path / "replica", primary=False) as replica:
        told.listen(replica, "n2")
        replicate(served.store, replica)
    entry = told.last("ltx.store")
    assert entry.node == "n2"
    assert entry.who == "n2 itself"
    assert entry.xor == told.last("ltx.commit").xor
    assert told.state["db/n2/a.db/checksum"] == told.state["db/n1/a.db/checksum"]
    assert set(told.pages("n2").values()) <= {"stored", "applied"}


def test_a_snapshot_adds_up_from_nothing_and_what_follows_goes_on_from_it(
    served: Served, told: Told, tmp_path: Path
) -> None:
    db = served.connect("a.db", "page_size=1024")
    db.execute("CREATE TABLE t (x)")
    db.execute("INSERT INTO t VALUES (1)")
    database = served.store.require("a.db")
    served.store.snapshot(database.name, tmp_path / "snapshot.ltx")
    with opened(tmp_path / "replica", primary=False) as replica:
        told.listen(replica, "n2")
        replica.receive_ltx("a.db", iter([(tmp_path / "snapshot.ltx").read_bytes()]))
        assert_xor_holds(told.last("ltx.store"), Pos(), database.pos)
        assert "a snapshot, so it replaces" in told.last("ltx.store").text
        before = database.pos
        db.execute("INSERT INTO t VALUES (2)")
        replicate(served.store, replica)
    assert_xor_holds(told.last("ltx.store"), before, database.pos)


def test_a_crash_and_the_recovery_take_back_what_was_in_no_ltx_file(tmp_path: Path) -> None:
    told = Told()
    with opened(tmp_path / "data", compress=False) as store:
        told.listen(store, "n1")
        served = Served(store, tmp_path / "mnt")
        db = served.connect("a.db", "page_size=512", "cache_size=1", "cache_spill=1")
        db.execute("CREATE TABLE t (x)")
        before = told.pages("n1")
        db.execute("BEGIN")
        db.execute("INSERT INTO t VALUES (randomblob(9000))")
        assert "written" in told.pages("n1").values()
        shutil.copytree(tmp_path / "data", tmp_path / "crashed")
        told.hears = False
        db.execute("ROLLBACK")
        served.close()
    told.hears = True
    store = Store(tmp_path / "crashed", tracer=Tracer(), status=Status(is_primary=True), monitor_interval_s=0)
    told.listen(store, "n1")
    store.open(None)
    store.close()
    assert told.pages("n1") == before
    assert told.last("recovery.journal").text.startswith("A journal with a valid header was there")
    assert told.state["db/n1/a.db/pages"] == 2


def test_the_mode_is_told_when_a_database_enters_and_leaves_wal(
    served: Served, told: Told, tmp_path: Path
) -> None:
    db = served.connect("a.db", "page_size=1024")
    with opened(tmp_path / "replica", primary=False) as replica:
        told.listen(replica, "n2")
        for mode in ("delete", "wal", "delete"):
            db.execute(f"PRAGMA journal_mode={mode}")
            db.execute("CREATE TABLE IF NOT EXISTS t (x)")
            db.execute("INSERT INTO t VALUES (1)")
            replicate(served.store, replica)
            assert told.state["db/n1/a.db/mode"] == mode
            assert told.state.get("db/n2/a.db/mode", "") == ("wal" if mode == "wal" else "")


def test_a_position_that_was_asked_for_says_what_an_event_would(served: Served, told: Told) -> None:
    db = served.connect("a.db", "page_size=512")
    db.execute("CREATE TABLE t AS SELECT randomblob(3000)")
    changes = told.historian.position("n1", "a.db", Pos(9, 1 << 63), 2, "truncate")
    assert changes["db/n1/a.db/txid"] == 9
    assert changes["db/n1/a.db/checksum"] == "8000000000000000"
    assert changes["db/n1/a.db/mode"] == "truncate"
    assert changes["page/n1/a.db/3"] is None


def test_every_change_of_the_state_has_a_known_key(served: Served, told: Told) -> None:
    db = served.connect("a.db", "page_size=512")
    db.execute("CREATE TABLE t (x)")
    shapes = {
        tuple("*" if part.isupper() and len(part) > 1 else part for part in key.split("/"))
        for key in STATE_KEYS
    }
    for entry in told.entries:
        for key in entry.set:
            parts = key.split("/")
            shape = (parts[0], "*", "*", parts[3] if parts[0] == "db" else "*")
            assert shape in shapes, key
    assert Entry.from_json(told.entries[0].to_json()).to_json() == told.entries[0].to_json()


# Who


def test_who_wrote_and_who_only_read_is_told_by_what_they_did() -> None:
    told = Told(Historian(client_of={7: "n1/a"}.get))
    reading = told.event("n1", "lock.acquire", pid=7, file="database", lock="SHARED", kind="read")
    assert reading.who == "reader n1/a (pid 7)"
    assert told.event("n1", "journal.open", pid=7).who == "writer n1/a (pid 7)"
    assert told.event("n1", "lock.release", pid=7, lock="SHARED").who == "writer n1/a (pid 7)"
    assert told.event("n1", "page.apply", pid=9, pgno=1, applier=True).who == "applier"
    assert told.event("n1", "stream.connect").who == "n1 itself"


# Locks


def test_locks_held_are_those_taken_and_not_released() -> None:
    told = Told()

    def lock(name: str, owner: str, first: int, length: int, kind: str = "read", *, pid: int = 1) -> Entry:
        return told.event(
            "n1", f"lock.{name}", pid=pid, file="database", lock="?", kind=kind, first=first, length=length,
            owner=owner,
        )  # fmt: skip

    shared, pending = 0x40000002, 0x40000000
    lock("acquire", "a", shared, 510)
    lock("acquire", "b", shared, 510, pid=2)
    lock("acquire", "a", pending + 1, 1, "write")
    held = told.state["db/n1/a.db/locks"]
    assert [(one["lock"], one["kind"]) for one in held] == [
        ("RESERVED", "write"), ("SHARED", "read"), ("SHARED", "read"),
    ]  # fmt: skip
    busy = lock("busy", "a", shared, 510, "write")
    assert busy.detail["holder"] == "reader (pid 2) (SHARED)"
    assert "reader (pid 2) (SHARED) holds it" in busy.text
    lock("release", "b", 0, 0)
    lock("acquire", "a", shared, 510, "write")
    assert ("EXCLUSIVE", "write") in [(one["lock"], one["kind"]) for one in told.state["db/n1/a.db/locks"]]
    lock("release", "a", 0, 0)
    assert told.state["db/n1/a.db/locks"] == []


def test_a_range_of_wal_locks_is_each_of_them_and_an_end_of_the_node_releases_all() -> None:
    told = Told()
    told.event(
        "n2", "lock.acquire", pid=3, file="shm", lock="READ0", kind="write", first=123, length=5, owner="x",
        applier=True,
    )  # fmt: skip
    assert [one["lock"] for one in told.state["db/n2/a.db/locks"]] == [
        "READ0",
        "READ1",
        "READ2",
        "READ3",
        "READ4",
    ]
    assert told.historian.node_ended("n2") == {"db/n2/a.db/locks": []}
    assert told.historian.node_ended("n2") == {}


# Frames


def test_a_frame_has_one_id_where_it_is_sent_and_where_it_is_received() -> None:
    told = Told(Historian({"B": "n2", "A": "n1"}.get))
    sent = told.event("n1", "stream.send", txid=4, frame="ltx", peer="B")
    received = told.event("n2", "stream.receive", txid=4, frame="ltx", peer="A")
    assert sent.frame is not None
    assert received.frame is not None
    assert sent.frame["id"] == received.frame["id"]
    assert (sent.frame["from"], sent.frame["to"], sent.frame["phase"]) == ("n1", "n2", "send")
    assert (received.frame["from"], received.frame["to"], received.frame["phase"]) == ("n1", "n2", "receive")
    assert received.text == "n2 receives an LTX frame of a.db, transaction 4, from n1."
    again = told.event("n1", "stream.send", txid=4, frame="ltx", peer="B")
    assert again.frame is not None
    assert again.frame["id"] != sent.frame["id"]


def test_pages_are_shipped_once_a_replica_has_them_and_not_while_the_frame_is_held() -> None:
    """`stream.send` is told, and held, before the frame leaves; what changed again since shows that."""
    told = Told(Historian({"B": "n2", "A": "n1"}.get))
    told.event("n1", "ltx.encode", txid=4, pages=[1, 2])
    sent = told.event("n1", "stream.send", txid=4, frame="ltx", peer="B", pages=[1, 2])
    assert not sent.lights
    assert told.pages("n1") == {1: "captured", 2: "captured"}
    told.event("n1", "page.write", txid=4, pgno=2)
    received = told.event("n2", "stream.receive", txid=4, frame="ltx", peer="A", pages=[1, 2])
    assert received.lights == (("n1", "a.db", 1, "shipped"),)
    assert told.pages("n1") == {1: "shipped", 2: "written"}
    assert told.pages("n2") == {}


def test_a_frame_that_is_told_of_at_its_end_first_is_still_one() -> None:
    told = Told(Historian({"B": "n2", "A": "n1"}.get))
    received = told.event("n2", "stream.receive", txid=4, frame="ltx", peer="A")
    sent = told.event("n1", "stream.send", txid=4, frame="ltx:snapshot", peer="B")
    assert sent.frame is not None
    assert received.frame is not None
    assert sent.frame["id"] == received.frame["id"]


def test_a_frame_lost_with_its_connection_is_not_the_one_received_later() -> None:
    told = Told(Historian({"B": "n2", "A": "n1"}.get))
    lost = told.event("n1", "stream.send", txid=4, frame="ltx", peer="B")
    told.event("n1", "stream.end", peer="B")
    told.event("n1", "stream.connect", peer="B")
    sent = told.event("n1", "stream.send", txid=4, frame="ltx", peer="B")
    received = told.event("n2", "stream.receive", txid=4, frame="ltx")
    assert lost.frame is not None
    assert sent.frame is not None
    assert received.frame is not None
    assert received.frame["id"] == sent.frame["id"] != lost.frame["id"]
    assert received.frame["from"] == "n1"


# Anything


_values = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.integers(), max_size=4)
)
_items = st.fixed_dictionaries(
    {
        "file": st.sampled_from(["journal", "wal", "shm", "database", "ltx", "frame", "other"]),
        "data": st.binary(max_size=80).map(lambda data: base64.b64encode(data).decode()),
        "offset": st.integers(0, 5000),
        "size": st.integers(0, 9000),
    }
)
_keys = st.sampled_from(
    ["pgno", "pages", "offset", "length", "checksum", "frame", "parts", "first", "last", "live", "how",
     "peer", "lock", "kind", "owner", "file", "page_size", "commit", "applier"]
)  # fmt: skip


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*TRACEPOINTS, "?"]),
            st.dictionaries(_keys, _values),
            st.lists(_items, max_size=3),
        ),
        max_size=6,
    )
)
def test_no_message_makes_the_historian_fail(
    events: list[tuple[str, dict[str, object], list[dict[str, object]]]],
) -> None:
    historian = Historian()
    entries = []
    for name, payload, items in events:
        event = {"name": name, "node": "n1", "database": "a.db", "txid": 3, "pid": 1, "payload": payload}
        entry, dumps = historian.entry({"event": event, "bytes": items}, "n1")
        assert entry.text
        assert entry.dumps == tuple(dump.id for dump in dumps)
        entries.append(Entry.from_json(entry.to_json()))
    state_at(entries)
