"""The backup's thread: woken by commits, in step with the node's role, and not stopped by what goes wrong."""

import logging
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pylitefs.backup import task
from pylitefs.backup.folder import BackupFolder
from pylitefs.backup.task import Backup
from pylitefs.ltx.position import Pos
from pylitefs.store.store import Store
from tests.backup.backups import back_up, insert, names
from tests.store.serving import Served
from tests.store.support import opened

Eventually = Callable[..., None]


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROLE_S", "AGAIN_S", "MOST_AGAIN_S"):
        monkeypatch.setattr(task, name, 0.02)


@contextmanager
def running(
    store: Store, place: Path, on_level: Callable[[], None] = lambda: None, interval: float = 0.05
) -> Iterator[Backup]:
    backup = Backup(store, place, delay=0.01, full_sync_interval=interval, compress=True, on_level=on_level)
    backup.start()
    try:
        yield backup
    finally:
        assert backup.stop(10)


def position(place: Path, name: str = "a.db") -> Pos:
    return BackupFolder(place).position(name)


def test_what_is_committed_is_backed_up_and_the_mark_follows(
    served: Served, store: Store, tmp_path: Path, eventually: Eventually
) -> None:
    """The folder is made, with those above it."""
    place = tmp_path / "some" / "backup"
    with running(store, place, interval=60) as backup:
        eventually(lambda: backup.state.is_running, "the backup to run")
        for count in (1, 3):
            insert(served, count)
            insert(served, count, "b.db")
            eventually(lambda: position(place) == store.require("a.db").pos, "a level backup")
            eventually(lambda: position(place, "b.db") == store.require("b.db").pos, "of each database")
        eventually(lambda: backup.state.positions == {"a.db": 5, "b.db": 5}, "the state to say so")
        assert store.require("a.db").state.high_water_mark == 5
        eventually(lambda: backup.state.level_at > 0, "all to be level")
        assert backup.state.files >= 4 and backup.state.size == sum(
            path.stat().st_size for path in place.rglob("*.ltx")
        )


def test_a_clean_end_backs_up_what_there_is(
    served: Served, store: Store, place: Path, eventually: Eventually
) -> None:
    """Nothing is waited for then, neither more changes nor a folder that is not there."""
    insert(served, 1)
    backup = Backup(store, place, delay=60, full_sync_interval=60, compress=True)
    backup.start()
    eventually(lambda: backup.state.level_at > 0, "a backup")
    insert(served, 2)
    assert backup.stop(10)
    assert position(place) == store.require("a.db").pos
    place.rename(place.with_name("away"))
    backup = Backup(store, place.with_name("other"), delay=60, full_sync_interval=60, compress=True)
    backup.start()
    place.with_name("other").rename(place)
    assert backup.stop(10)


def test_a_lost_disk_is_restored_before_the_node_is_ready(
    served: Served, store: Store, place: Path, tmp_path: Path
) -> None:
    insert(served, 3)
    pos = back_up(store, place)
    ready = threading.Event()
    with opened(tmp_path / "new") as new:
        seen: list[dict[str, Pos]] = []

        def on_level() -> None:
            seen.append(new.positions())
            ready.set()

        with running(new, place, on_level):
            assert ready.wait(10)
        assert seen == [{"a.db": pos}]


def test_a_node_without_data_waits_for_a_backup_that_is_in_trouble(
    served: Served, store: Store, place: Path, tmp_path: Path, eventually: Eventually
) -> None:
    """An application would begin with an empty database, which the backup replaces later. One that has data
    does not wait."""
    insert(served, 3)
    pos = back_up(store, place)
    torn = min((place / "a.db").iterdir())
    content = torn.read_bytes()
    torn.write_bytes(content[:-1])
    ready, other = threading.Event(), threading.Event()
    with opened(tmp_path / "new") as new, running(new, place, ready.set) as backup:
        eventually(lambda: "damaged" in backup.state.troubles().get("a.db", ""), "the trouble")
        assert not ready.is_set()
        torn.write_bytes(content)
        assert ready.wait(10)
        assert new.positions() == {"a.db": pos} and backup.state.troubles() == {}
    torn.write_bytes(content[:-1])
    with running(store, place, other.set):
        assert other.wait(10)


def test_only_a_primary_backs_up(served: Served, store: Store, place: Path, eventually: Eventually) -> None:
    store.status.is_primary = False
    with running(store, place) as backup:
        store.status.is_primary = True
        insert(served, 1)
        eventually(lambda: position(place) == store.require("a.db").pos, "a backup")
        store.status.is_primary = False
        assert backup.wait_idle(10) and not backup.state.is_running
        BackupFolder(place).take()  # It is free for the next primary.
        store.status.is_primary = True
        insert(served, 1)


def test_two_nodes_with_one_folder(
    served: Served, store: Store, place: Path, tmp_path: Path, eventually: Eventually
) -> None:
    """The second says so and writes nothing; what it has is whole and waits."""
    insert(served, 1)
    with opened(tmp_path / "other") as other:
        theirs = Served(other, tmp_path / "mnt2")
        insert(theirs, 1, "b.db")
        with running(store, place):
            eventually(lambda: position(place) == store.require("a.db").pos, "the first's backup")
            with running(other, place) as second:
                eventually(lambda: "in use by another node" in second.state.troubles().get("", ""), "no")
                assert not (place / "b.db").exists() and other.require("b.db").state.high_water_mark == 0
        theirs.close()


def test_one_database_in_trouble_does_not_hold_up_the_others(
    served: Served, store: Store, place: Path, eventually: Eventually
) -> None:
    insert(served, 1)
    insert(served, 1, "b.db")
    (place / "a.db").write_text("in the way")
    with running(store, place) as backup:
        eventually(lambda: position(place, "b.db") == store.require("b.db").pos, "the other's backup")
        eventually(lambda: list(backup.state.troubles()) == ["a.db"], "the trouble")
        (place / "a.db").unlink()
        eventually(lambda: position(place) == store.require("a.db").pos, "its end")
        eventually(lambda: backup.state.troubles() == {}, "no trouble")


def test_a_folder_that_is_gone_and_comes_back(
    served: Served, store: Store, place: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """One line when it goes, one when it is back; in between nothing is written where it was."""
    insert(served, 1)
    with caplog.at_level(logging.WARNING), running(store, place) as backup:
        eventually(lambda: store.require("a.db").state.high_water_mark == 2, "a backup")
        place.rename(place.with_name("away"))
        insert(served, 2)
        eventually(lambda: "" in backup.state.troubles(), "the trouble")
        assert not place.exists()
        mark = store.require("a.db").state.high_water_mark
        assert mark == 2 < store.require("a.db").pos.txid
        place.with_name("away").rename(place)
        eventually(lambda: position(place) == store.require("a.db").pos, "the rest")
        eventually(lambda: backup.state.troubles() == {}, "no trouble")
    assert len([one for one in caplog.records if one.getMessage().startswith("backup goes on")]) == 1


def test_a_database_whose_backup_was_removed_is_backed_up_anew(
    served: Served, store: Store, place: Path, eventually: Eventually
) -> None:
    insert(served, 2)
    with running(store, place):
        eventually(lambda: position(place) == store.require("a.db").pos, "a backup")
        # At once: the backup may be about to write there.
        (place / "a.db").rename(place.with_name("removed"))
        eventually(lambda: position(place) == store.require("a.db").pos, "another")
    assert names(place) == ["1-3"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_backup_disk(served: Served, store: Store, tmp_path: Path, eventually: Eventually) -> None:
    """Commits go on, nothing half written counts, LTX files wait, and all follows once there is room."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], check=True)
    try:
        ballast = place / "ballast"
        with running(store, place) as backup:
            insert(served, 1)
            eventually(lambda: store.require("a.db").state.high_water_mark == 2, "a backup")
            before = names_without_temporaries(place)
            ballast.write_bytes(bytes(56 << 10))
            db = served.connect("a.db")
            db.execute("INSERT INTO t (x) VALUES (randomblob(40000))")
            db.close()
            eventually(lambda: "No space left" in backup.state.troubles().get("a.db", ""), "the trouble")
            assert names_without_temporaries(place) == before
            assert store.require("a.db").state.high_water_mark == 2
            insert(served, 1)
            ballast.unlink()
            eventually(lambda: position(place) == store.require("a.db").pos, "the rest")
            eventually(lambda: backup.state.troubles() == {}, "no trouble")
    finally:
        subprocess.run(["umount", place], check=True)


def names_without_temporaries(place: Path) -> list[str]:
    """One may be there just now: it is tried again and again."""
    found = [path.stem.split("-") for path in sorted((place / "a.db").glob("*.ltx"))]
    return [f"{int(low, 16)}-{int(high, 16)}" for low, high in found]
