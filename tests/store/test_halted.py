"""One HALT lock of a replica, by itself; how locks are taken and end is in test_halt_holder.py."""

import time
from pathlib import Path

import pytest

from pylitefs.ltx.header import Header
from pylitefs.store import halted
from pylitefs.store.halted import HeldHalt
from pylitefs.store.status import lease_clock
from tests.replication.stores import Writer, opened
from tests.store.test_halt_holder import Primary


def header_of(node_id: int, txid: int) -> Header:
    return Header(0, 512, 1, txid, txid, 0, 0, node_id=node_id)


def test_it_is_live_until_its_deadline_or_its_end(tmp_path: Path) -> None:
    with opened(tmp_path / "node") as store:
        writer = Writer(store)
        writer.commit({1: 1})
        ended: list[str] = []
        held = HeldHalt(
            Primary(writer.pos), lambda one, why: ended.append(why), store.require("made.db"), 1, "u"
        )
        assert not held.is_live
        held.deadline = lease_clock() + 60
        assert held.is_live and held.name == "made.db"
        held.fail("no room")
        assert ended == ["no room"]
        held.over = "no room"
        assert not held.is_live


def test_only_its_own_transaction_may_arrive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that this node has already is nothing. That which is under way is waited for, but not for ever."""
    monkeypatch.setattr(halted, "HEARD_S", 0.05)
    with opened(tmp_path / "node") as store:
        writer = Writer(store)
        writer.commit({1: 1})
        ended: list[str] = []
        held = HeldHalt(
            Primary(writer.pos), lambda one, why: ended.append(why), store.require("made.db"), 1, "u"
        )
        held.arrives(header_of(store.node_id, 1))
        held.sending = 2
        began = time.monotonic()
        held.arrives(header_of(store.node_id, 2))
        assert time.monotonic() - began >= 0.05 and not ended
        held.arrives(header_of(store.node_id, 3))
        held.arrives(header_of(99, 2))
        assert len(ended) == 2 and "somebody else" in ended[0]
