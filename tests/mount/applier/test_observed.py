"""A reader that meets the applier where locks are observed: it is kept waiting before it is turned away."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pylitefs.errors import ApplierError, BusyError
from pylitefs.mount.applier.applier import Applier

from .conftest import Place
from .support import Reader, Source, bump, make_rows, wait_until

StartReader = Callable[..., Reader]

pytestmark = [pytest.mark.fuse, pytest.mark.parametrize("place", ["observed"], indirect=True)]

WAIT_S = 0.1
MODES = ["delete", "wal"]


@contextmanager
def locked_for(applier: Applier, seconds: float) -> Iterator[None]:
    """Every lock on a.db is the applier's, for so long from now on."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with suppress(ApplierError), applier.write_lock("a.db"):  # It may be killed meanwhile.
            held.set()
            done.wait(seconds)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(10)
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("mode", MODES)
def test_a_reader_gets_its_lock_when_the_apply_ends_soon(
    *, applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader, mode: str
) -> None:
    """Without a busy timeout of its own."""
    source = Source(tmp_path / "source", mode=mode)
    applier.apply("a.db", make_rows(source))
    client = reader(mount_dir / "a.db", manual=True, timeout=0)
    with locked_for(applier, WAIT_S / 3):
        answer = client.tell("read")
    assert answer.get("row"), answer


@pytest.mark.parametrize("mode", MODES)
def test_a_reader_is_turned_away_after_a_tenth_of_a_second(
    *, applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader, mode: str
) -> None:
    """However long the apply takes; with a busy timeout it goes on asking."""
    source = Source(tmp_path / "source", mode=mode)
    applier.apply("a.db", make_rows(source))
    client = reader(mount_dir / "a.db", manual=True, timeout=0)
    patient = reader(mount_dir / "a.db", manual=True, timeout=10)
    with locked_for(applier, 30):
        began = time.monotonic()
        assert client.tell("read") == {"error": "database is locked"}
        waited = time.monotonic() - began
    assert WAIT_S * 0.9 < waited < 10 * WAIT_S
    assert client.tell("read")["row"][2] == 0
    with locked_for(applier, 5 * WAIT_S):
        assert patient.tell("read")["row"][2] == 0


def test_writers_are_turned_away_at_once_by_one_another(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader
) -> None:
    """The wait is for the applier alone."""
    applier.apply("a.db", make_rows(Source(tmp_path / "source")))
    writer = reader(mount_dir / "a.db", manual=True, timeout=0)
    other = reader(mount_dir / "a.db", manual=True, timeout=0)
    assert writer.tell("BEGIN EXCLUSIVE") == {"done": "BEGIN EXCLUSIVE"}
    took = []
    for _ in range(3):
        began = time.monotonic()
        assert other.tell("read") == {"error": "database is locked"}
        took.append(time.monotonic() - began)
    assert min(took) < WAIT_S / 2


@pytest.mark.parametrize("mode", MODES)
def test_a_killed_reader_that_waits_for_an_apply_ends_at_once(
    *, applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader, mode: str
) -> None:
    source = Source(tmp_path / "source", mode=mode)
    applier.apply("a.db", make_rows(source))
    client = reader(mount_dir / "a.db", manual=True, timeout=30)
    with locked_for(applier, 30):
        assert client.process.stdin is not None
        client.process.stdin.write("read\n")
        client.process.stdin.flush()
        client.process.kill()
        client.process.wait(2)
    applier.apply("a.db", bump(source))


@pytest.mark.parametrize("mode", MODES)
def test_who_keeps_an_apply_waiting_is_told_by_the_mount(
    *, applier: Applier, place: Place, tmp_path: Path, reader: StartReader, mode: str
) -> None:
    source = Source(tmp_path / "source", mode=mode)
    applier.apply("a.db", make_rows(source))
    holder = reader(place.path / "a.db", manual=True)
    holder.tell("begin")
    holder.tell("read")
    lock = "SHARED" if mode == "delete" else "READ"
    with (
        pytest.raises(BusyError, match=rf"\(process {holder.process.pid}\) holds {lock}"),
        applier.write_lock("a.db", timeout=0.2),
    ):
        pass
    holder.tell("end")
    wait_until(lambda: place.holders("a.db") == "this node itself" or mode == "wal", "the locks to be gone")
    with applier.write_lock("a.db", timeout=5):
        pass


@pytest.mark.parametrize("mode", MODES)
def test_a_killed_applier_s_locks_are_gone(
    *, applier: Applier, place: Place, tmp_path: Path, reader: StartReader, mode: str
) -> None:
    """Its descriptions end with it, and nothing on the mount remembers them."""
    source = Source(tmp_path / "source", mode=mode)
    applier.apply("a.db", make_rows(source))
    client = reader(place.path / "a.db", manual=True, timeout=0)
    for number in range(3):
        applier.apply("a.db", bump(source))
        pid = applier.pid
        with locked_for(applier, 30):
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda pid=pid: applier.pid not in (0, pid), "the next applier")  # type: ignore[misc]
            row = client.tell("read").get("row")
            assert row is not None and row[2] == number + 1
        with applier.watch_writers("a.db") as is_written:
            assert not is_written()
