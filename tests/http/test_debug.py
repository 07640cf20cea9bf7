"""`/debug/*`: what a node looks like from inside."""

import json
import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

from pylitefs.http import debug
from pylitefs.ltx.position import Pos
from pylitefs.store.backup_state import BackupState
from pylitefs.store.status import LAG_NEVER_SYNCED, lease_clock
from tests.replication.stores import CLUSTER, Writer, opened


def test_the_node_its_databases_and_its_streams_are_told(tmp_path: Path) -> None:
    with opened(tmp_path / "primary", primary=True) as store:
        pos = Writer(store).commit({1: 1, 2: 2})
        Writer(store, "gone.db").commit({1: 1})
        Writer(store, "gone.db").drop()
        request = SimpleNamespace(node_id="AB", databases=frozenset({"made.db"}))
        here = {"made.db": Pos(1, 2)}
        stream = SimpleNamespace(
            request=request,
            positions=here,
            followed=SimpleNamespace(peer="AB", positions=here),
            lacking=lambda: ["made.db", "never.db"],
        )
        told = json.loads(debug.variables(store, [stream], {"made.db": 0.25}))  # type: ignore[list-item]
        assert (told["isPrimary"], told["ready"], told["lagMs"], told["clusterID"]) == (
            True,
            True,
            0,
            CLUSTER,
        )
        assert told["nodeID"] == store.node_id_text and told["dataDir"] == str(store.data_dir)
        assert told["setAside"] == {} and told["disk"] == ""
        made, gone = told["databases"]["made.db"], told["databases"]["gone.db"]
        assert made["pos"] == str(pos) == f"{made['txID']}/{made['checksum']}"
        assert (made["pages"], made["pageSize"], made["ltxFiles"], made["lagSeconds"]) == (2, 512, 1, 0.25)
        assert (gone["exists"], gone["ltxFiles"], gone["lagSeconds"]) == (False, 2, 0.0)
        (shown,) = told["streams"]
        assert shown.pop("behind")["made.db"].pop("seconds") >= 0
        assert shown == {
            "nodeID": "AB",
            "databases": ["made.db"],
            "positions": {"made.db": str(Pos(1, 2))},
        }


def test_a_replica_that_never_synced_says_so(tmp_path: Path) -> None:
    with opened(tmp_path / "replica") as store:
        told = json.loads(debug.variables(store, [], {}))
        assert (told["isPrimary"], told["ready"], told["lagMs"]) == (False, False, LAG_NEVER_SYNCED)


def test_every_thread_s_stack_is_shown_with_its_name() -> None:
    started, done = threading.Event(), threading.Event()

    def waits_for_the_test() -> None:
        started.set()
        done.wait(30)

    thread = threading.Thread(target=waits_for_the_test, name="the-waiting-one")
    thread.start()
    started.wait(30)
    try:
        dump = debug.thread_dump()
    finally:
        done.set()
        thread.join()
    assert "waits_for_the_test" in next(part for part in dump.split("\nthread ") if "the-waiting-one" in part)
    assert "thread MainThread" in dump


def test_the_lease_and_the_roles_are_told(tmp_path: Path) -> None:
    """Of a lease that changes hands, whether this node has it."""
    with opened(tmp_path / "primary") as store:
        assert json.loads(debug.variables(store, [], {}))["lease"] is None
        store.status.lease_ttl = 3.0
        told = json.loads(debug.variables(store, [], {}))
        assert told["lease"] == {"ttlSeconds": 3.0, "leftSeconds": None} and told["roleChanges"] == []
        store.status.lead(lease_clock() + 2)
        store.status.note_role("primary")
        told = json.loads(debug.variables(store, [], {}))
        assert 0 < told["lease"]["leftSeconds"] <= 2
        assert [one["text"] for one in told["roleChanges"]] == ["primary"] and told["roleChanges"][0][
            "atMs"
        ] > 0


def test_the_backup_is_told(tmp_path: Path) -> None:
    """How far it is, what it does, and what is wrong."""
    with opened(tmp_path / "primary", primary=True) as store:
        assert json.loads(debug.variables(store, [], {}))["backup"] is None
        state = store.status.backup = BackupState("file:///b", positions={"a.db": 5}, now="a.db: LTX files")
        state.fails("no room", "a.db")
        told = json.loads(debug.variables(store, [], {}))["backup"]
        assert told["databases"] == {"a.db": "0000000000000005"}
        assert told["now"] == "a.db: LTX files" and told["troubles"]["a.db"].startswith("no room")


def test_go_s_profiles_are_refused_by_name() -> None:
    """With what tells the same of a Python program."""
    assert f"py-spy record --pid {os.getpid()}" in debug.refused_profile("profile")
    assert debug.refused_profile("nonsense") == ""
    assert debug.command_line().split("\0") == sys.argv
