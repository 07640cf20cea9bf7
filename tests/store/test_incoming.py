"""A replica takes an LTX file in: doubted to its last byte, durable, applied, and then the position moves."""

import os
from pathlib import Path

import pytest

from pylitefs.errors import LtxChecksumError, LtxError, PositionMismatchError, PylitefsError, TornLtxError
from pylitefs.ltx.position import Pos
from pylitefs.store.store import Store
from pylitefs.trace import Event
from tests.store.serving import Served
from tests.store.support import assert_position_is_the_bytes_own, data_file, opened

Files = list[bytes]


@pytest.fixture
def files(served: Served) -> Files:
    """Five transactions of a primary: one that grows, one that shrinks the database, and a drop."""
    db = served.connect("a.db", "page_size=512")
    db.execute("CREATE TABLE t (x)")
    db.execute("INSERT INTO t VALUES (randomblob(9000))")
    db.execute("DELETE FROM t")
    db.execute("VACUUM")
    db.close()
    served.unlink("a.db")
    database = served.store.require("a.db")
    return [database.ltx_path(*span).read_bytes() for span in database.ltx_files()]


def feed(replica: Store, content: bytes, size: int = 1 << 20) -> Pos:
    chunks = [content[at : at + size] for at in range(0, len(content), size)]
    return replica.receive_ltx("a.db", iter(chunks)).pos


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
def test_transactions_arrive_in_chunks_of_any_size(
    store: Store, files: Files, tmp_path: Path, size: int
) -> None:
    with opened(tmp_path / "replica", primary=False) as replica:
        for txid, content in enumerate(files, start=1):
            assert feed(replica, content, size).txid == txid
            assert_position_is_the_bytes_own(replica.require("a.db"))
            assert replica.require("a.db").ltx_path(txid, txid).read_bytes() == content
        assert replica.positions() == store.positions()
        assert replica.names() == []


def test_the_order_is_verify_store_apply_position(files: Files, tmp_path: Path) -> None:
    with opened(tmp_path / "replica", primary=False) as replica:
        events: list[tuple[str, int]] = []
        database = replica.create("a.db")

        def look(event: Event) -> None:
            events.append((event.name, database.pos.txid))

        replica.tracer.listen(look)
        feed(replica, files[0])
        assert events == [("ltx.verify", 0), ("ltx.store", 0), ("pos.advance", 1)]


def test_a_flipped_byte_is_found_before_any_page_is_touched(files: Files, tmp_path: Path) -> None:
    with opened(tmp_path / "replica", primary=False) as replica:
        feed(replica, files[0])
        before = data_file(replica, "a.db").read_bytes()
        for at in [*range(130), *range(130, len(files[1]), 97), *range(len(files[1]) - 20, len(files[1]))]:
            damaged = bytearray(files[1])
            damaged[at] ^= 1 << at % 8
            with pytest.raises(PylitefsError):
                feed(replica, bytes(damaged))
            assert replica.positions()["a.db"].txid == 1
            assert data_file(replica, "a.db").read_bytes() == before
            assert replica.require("a.db").ltx_files() == [(1, 1)]
        assert not list(replica.data_dir.rglob("*.tmp"))
        assert feed(replica, files[1]).txid == 2


def test_a_file_that_ends_early_or_goes_on_is_refused(files: Files, tmp_path: Path) -> None:
    with opened(tmp_path / "replica", primary=False) as replica:
        for length in [*range(200), len(files[0]) - 1]:
            with pytest.raises(LtxError) as caught:
                feed(replica, files[0][:length])
            assert length > 100 or isinstance(caught.value, TornLtxError)
        with pytest.raises(LtxError):
            feed(replica, files[0] + b"\0")
        assert replica.positions() == {}
        assert replica.create("a.db").ltx_files() == []


def test_a_file_that_does_not_continue_the_position_is_refused(
    store: Store, served: Served, files: Files, tmp_path: Path
) -> None:
    with opened(tmp_path / "replica", primary=False) as replica:
        with pytest.raises(PositionMismatchError, match="continues position 0000000000000001/"):
            feed(replica, files[1])
        feed(replica, files[0])
        for content in (files[2], files[0][:0] + files[3]):
            with pytest.raises(PositionMismatchError, match="it needs a snapshot"):
                feed(replica, content)
        feed(replica, files[1])
        with pytest.raises(PositionMismatchError):
            feed(replica, files[1])


def test_a_file_whose_result_is_not_what_it_promises_is_refused(files: Files, tmp_path: Path) -> None:
    """The database of this node was changed behind its back: the checksums cannot come out right."""
    with opened(tmp_path / "replica", primary=False) as replica:
        feed(replica, files[0])
        state = replica.require("a.db").state
        state.sums._xor ^= 4
        with pytest.raises(LtxChecksumError) as caught:
            feed(replica, files[1])
        assert "promises checksum" in str(caught.value) and "remove" in str(caught.value)
        assert replica.require("a.db").pos.txid == 1


def test_a_snapshot_replaces_everything_whatever_was_there(
    store: Store, served: Served, tmp_path: Path
) -> None:
    """A replica that is behind, ahead, or on another history."""
    db = served.connect("a.db")
    db.execute("CREATE TABLE t (x)")
    db.execute("INSERT INTO t VALUES ('the primary')")
    snapshot = store.snapshot("a.db", tmp_path / "snapshot").path.read_bytes()
    for count in (0, 1, 6):
        with opened(tmp_path / f"replica{count}") as other:
            own = Served(other, tmp_path / f"mnt{count}")
            own_db = own.connect("a.db", "page_size=1024")
            for number in range(count):
                own_db.execute(f"CREATE TABLE t{number} (x)")
            own_db.close()
            own.close()
        with opened(tmp_path / f"replica{count}", primary=False) as replica:
            received = replica.receive_ltx("a.db", iter([snapshot]))
            assert received.outcome == "snapshot" and received.size == len(snapshot)
            assert replica.positions() == store.positions()
            assert replica.require("a.db").ltx_files() == [(1, 2)]
            assert len(list(replica.require("a.db").ltx_dir.iterdir())) == 1
            assert_position_is_the_bytes_own(replica.require("a.db"))


def test_a_transaction_of_this_node_s_own_is_skipped(
    store: Store, served: Served, files: Files, tmp_path: Path
) -> None:
    """It made it while it held the HALT lock, and the primary sends it round."""
    with opened(tmp_path / "replica", primary=False) as replica:
        feed(replica, files[0])
        replica.require("a.db").state.node.node_id = store.node_id
        received = replica.receive_ltx("a.db", iter([files[0]]))
        assert received.outcome == "skipped" and received.pos.txid == 1
        assert feed(replica, files[1]).txid == 2, "but not one that is new here"


def test_another_one_of_its_own_with_the_same_number_is_not(
    store: Store, served: Served, files: Files, tmp_path: Path
) -> None:
    """The primary took it, its answer was lost, and the client's roll-back left other free pages here: that
    is a position of this node's alone, and the primary has to send a snapshot."""
    with opened(tmp_path / "replica", primary=False) as replica:
        feed(replica, files[0])
        feed(replica, files[1])
        state = replica.require("a.db").state
        state.node.node_id = store.node_id
        state.pos = Pos(state.pos.txid, state.pos.checksum ^ 1)
        with pytest.raises(PositionMismatchError):
            replica.receive_ltx("a.db", iter([files[1]]))


def test_a_large_file_is_spooled_and_nothing_is_left_of_it(
    store: Store, served: Served, tmp_path: Path
) -> None:
    db = served.connect("a.db")
    db.execute("CREATE TABLE t (x)")
    db.execute("INSERT INTO t VALUES (randomblob(5000000))")
    database = store.require("a.db")
    small, large = (database.ltx_path(*span).read_bytes() for span in database.ltx_files())
    with opened(tmp_path / "replica", primary=False) as replica:
        feed(replica, small)
        damaged = large[:3_000_000] + os.urandom(8) + large[3_000_008:]
        for content in (damaged, large[:4_000_000]):
            with pytest.raises(LtxError):
                feed(replica, content, 65536)
            assert not list(replica.data_dir.rglob("*.tmp"))
        feed(replica, large, 65536)
        assert not list(replica.data_dir.rglob("*.tmp"))
        assert replica.positions() == store.positions()
        assert replica.require("a.db").read_ltx(2, 2) is None, "too large for memory"
