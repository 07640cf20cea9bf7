"""A node's parts are what the config asks for, and no more."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pylitefs import parts
from pylitefs.config.model import Config
from pylitefs.lease.static import StaticLease
from pylitefs.replication.replica import SILENCE_S
from pylitefs.store.retention import Limits
from pylitefs.store.store import Store
from pylitefs.trace import Tracer


def config(tmp_path: Path, **sections: Mapping[str, Any]) -> Config:
    return Config.model_validate(
        {"data": {"dir": str(tmp_path / "data"), **sections.pop("data", {})}, **sections}
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    plain = config(tmp_path)
    yield parts.make_store(plain, Tracer("n"), parts.make_status(plain))


def test_a_store_keeps_what_the_config_says(tmp_path: Path) -> None:
    """With a backup, nothing goes that it has not got."""
    data = {"retention": "5s", "retention_behind_files": 7, "retention_behind_bytes": 9, "pace": False}
    made = config(tmp_path, data=data, backup={"type": "file", "path": str(tmp_path / "b")})
    store = parts.make_store(made, Tracer("n"), parts.make_status(made))
    assert store.retention.limits == Limits(5.0, 7, 9, until_backed_up=True)
    assert not store.pace.enabled and store.data_dir == tmp_path / "data"


@pytest.mark.parametrize(
    ("candidate", "wanted", "stays"),
    [(True, "auto", True), (False, "auto", False), (True, "read-only", False), (False, "writable", True)],
)
def test_a_wal_stays_writable_where_the_node_may_become_the_primary(
    tmp_path: Path, candidate: bool, wanted: str, stays: bool
) -> None:
    made = config(tmp_path, lease={"candidate": candidate}, fuse={"replica_wal": wanted})
    status = parts.make_status(made)
    assert (status.candidate, status.wal_stays_writable) == (candidate, stays)


def test_what_is_not_asked_for_is_not_made(tmp_path: Path, store: Store) -> None:
    plain = config(tmp_path)
    assert parts.make_backup(plain, store, lambda: None) is None and store.status.backup is None
    assert parts.make_proxy(plain, store, "") is None
    asked = config(
        tmp_path,
        backup={"type": "file", "path": str(tmp_path / "b")},
        proxy={"addr": ":0", "target": "localhost:1", "db": "a.db"},
    )
    made = parts.make_backup(asked, store, lambda: None)
    assert made is not None and store.status.backup is made.state
    assert parts.make_proxy(asked, store, "") is not None


def test_a_mount_is_told_of_locks_where_somebody_looks(tmp_path: Path, store: Store) -> None:
    plain, watched = (
        parts.make_mount_operations(config(tmp_path), store, lambda thread: False, locks)
        for locks in (None, parts.make_lock_table())
    )
    assert hasattr(watched, "lock") and type(plain) is not type(watched)


@pytest.mark.parametrize(("own_url", "ttl", "silence"), [("", 3.0, SILENCE_S), ("http://me:1", 3.0, 3.0)])
def test_a_candidate_waits_for_its_primary_no_longer_than_a_lease_lasts(
    tmp_path: Path, store: Store, own_url: str, ttl: float, silence: float
) -> None:
    made = config(tmp_path, lease={"consul": {"url": "http://c:1", "key": "k", "ttl": f"{ttl}s"}})
    replica = parts.make_replica(
        made,
        store,
        StaticLease(False, "p", "http://p:1"),
        own_url=own_url,
        on_fatal=lambda error: None,
        on_change=lambda: None,
    )
    assert replica._silence == silence


def test_halt_on_write_is_told_of_locks_and_keeps_a_wal_writable(tmp_path: Path, store: Store) -> None:
    """What asks the primary is made once, when it is wanted."""
    made = config(tmp_path, lease={"halt_on_write": True, "candidate": False, "halt_acquire_timeout": "3s"})
    assert parts.make_status(made).wal_stays_writable
    halts = parts.make_halt_holder(made, store)
    assert halts.calls is halts.calls
    mounted = parts.make_mount_operations(made, store, lambda thread: False, parts.make_lock_table(), halts)
    assert mounted.halts is halts and getattr(mounted, "on_write", None) is not None
    plain = parts.make_mount_operations(config(tmp_path), store, lambda thread: False, None, halts)
    assert plain.halts is halts
