"""The life of the applier process: it ends with its node and not before, and its death loses nothing."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pylitefs.errors import ApplierError
from pylitefs.mount.applier.applier import Applier
from pylitefs.mount.applier.child import Child
from pylitefs.trace import Event, Tracer
from tests import forked
from tests.slack import slack

from .conftest import Place
from .support import Reader, Source, bump, make_rows, pid_alive, wait_until

StartReader = Callable[..., Reader]
ROOT = Path(__file__).parents[3]


def large_snapshot(source: Source) -> Path:
    source.db.execute("CREATE TABLE large (x BLOB)")
    source.db.executemany("INSERT INTO large VALUES (randomblob(?))", [(1 << 20,)] * 24)
    return source.capture(snapshot=True)


def test_killed_while_it_waits_the_file_is_handed_to_the_next_one(
    *,
    applier: Applier,
    mount_dir: Path,
    tmp_path: Path,
    reader: StartReader,
    tracer: Tracer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = Source(tmp_path / "source", mode="wal")
    applier.apply("a.db", make_rows(source))
    events: list[Event] = []
    tracer.listen(events.append)
    holder = reader(mount_dir / "a.db", manual=True)
    holder.tell("begin")
    holder.tell("read")
    path = bump(source)
    thread = threading.Thread(target=applier.apply, args=("a.db", path), daemon=True)
    thread.start()
    wait_until(lambda: bool(caplog.records), "the log line about the wait")
    first = applier.pid
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: applier.pid not in (0, first), "another applier")
    assert thread.is_alive()
    assert holder.tell("read")["row"][2] == 0
    holder.tell("end")
    thread.join(5)
    assert not thread.is_alive()
    assert holder.tell("read")["row"][2] == 1
    assert (mount_dir / "a.db").read_bytes() == source.content()
    assert [event.name for event in events] == ["fault.applier", "page.apply"]
    lines = [r.getMessage() for r in caplog.records if "ended" in r.getMessage()]
    assert len(lines) == 1
    assert "applied to a.db" in lines[0] and "half a transaction" in lines[0]


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_killed_in_the_middle_of_an_apply_everything_is_there_in_the_end(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader, mode: str
) -> None:
    """Between its death and the next one's locks a reader can see half of it: the one moment there is."""
    source = Source(tmp_path / "source", mode=mode)
    applier.apply("a.db", make_rows(source))
    client = reader(mount_dir / "a.db")
    path = large_snapshot(source)
    size = (mount_dir / "a.db").stat().st_size
    thread = threading.Thread(target=applier.apply, args=("a.db", path), daemon=True)
    thread.start()
    wait_until(lambda: (mount_dir / "a.db").stat().st_size > size, "the first pages")
    os.kill(applier.pid, signal.SIGKILL)
    thread.join(20)
    assert not thread.is_alive()
    assert (mount_dir / "a.db").read_bytes() == source.content()
    applier.apply("a.db", bump(source))
    wait_until(lambda: client.tell("progress")["last"] == 1, "the newest transaction")
    assert set(client.stop()["errors"]) <= {"database is locked", "database disk image is malformed"}


def test_killed_again_and_again_it_is_there_again(applier: Applier, mount_dir: Path, tmp_path: Path) -> None:
    source = Source(tmp_path / "source")
    applier.apply("a.db", make_rows(source))
    for _ in range(3):
        os.kill(applier.pid, signal.SIGKILL)
        applier.apply("a.db", bump(source))
        assert (mount_dir / "a.db").read_bytes() == source.content()


def test_killed_while_it_is_told_of_the_mount_the_call_goes_to_the_one_after(
    applier: Applier, mount_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who made the call hears nothing of it: a successor that dies at its start has a successor."""
    source = Source(tmp_path / "source")
    applier.apply("a.db", make_rows(source))
    attach = Child.attach
    killed: list[int] = []

    def dying(child: Child, mount: str) -> None:
        if not killed:
            killed.append(child.process.pid)
            child.process.kill()
            child.process.wait()
        attach(child, mount)

    monkeypatch.setattr(Child, "attach", dying)
    os.kill(applier.pid, signal.SIGKILL)
    applier.apply("a.db", bump(source))
    assert killed and applier.pid not in killed
    assert (mount_dir / "a.db").read_bytes() == source.content()


def test_killed_while_nothing_happens_it_is_started_and_holds_what_it_held(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source(tmp_path / "source", mode="wal")
    applier.apply("a.db", make_rows(source))
    first = applier.pid
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: applier.pid not in (0, first), "another applier")
    applier.wal_index("a.db")  # It answers, so it has taken up its locks.
    client = reader(mount_dir / "a.db", manual=True)
    client.stop()
    assert (mount_dir / "a.db-shm").exists()
    assert "half a transaction" not in caplog.text


def test_killed_between_the_gate_s_two_sides_readers_help_themselves(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader
) -> None:
    """It dies with the WAL index zeroed: readers build it anew."""
    source = Source(tmp_path / "source", mode="wal")
    applier.apply("a.db", make_rows(source))
    client = reader(mount_dir / "a.db", manual=True)
    applier.release()
    child = applier.pid
    with (
        pytest.raises(ApplierError, match="lost"),
        applier.write_lock("a.db") as lock,
    ):
        assert (mount_dir / "a.db-shm").read_bytes()[:96] == bytes(96)
        lock.check()
        os.kill(child, signal.SIGKILL)
        assert client.tell("read")["row"][2] == 0
        wait_until(lambda: not pid_alive(child), "its death to be noticed")
        lock.check()
    client.tell("UPDATE t SET v = 1")
    db = sqlite3.connect(mount_dir / "a.db")
    assert db.execute("SELECT max(v) FROM t").fetchone() == (1,)
    db.close()


def test_locks_of_a_dead_applier_are_told_at_the_end(
    applier: Applier, mount_dir: Path, tmp_path: Path
) -> None:
    applier.apply("a.db", make_rows(Source(tmp_path / "source", mode="wal")))
    with pytest.raises(ApplierError, match="lost"), applier.read_lock("a.db", wal=True):
        os.kill(applier.pid, signal.SIGKILL)
    with applier.read_lock("a.db", wal=True, timeout=5):
        pass


def test_an_error_inside_a_lock_is_not_hidden_and_unlocks(
    applier: Applier, mount_dir: Path, tmp_path: Path
) -> None:
    applier.apply("a.db", make_rows(Source(tmp_path / "source")))
    with pytest.raises(KeyError), applier.write_lock("a.db"):
        raise KeyError
    with applier.write_lock("a.db", timeout=2):
        pass


def test_which_threads_are_the_applier_s(applier: Applier, mount_dir: Path, tmp_path: Path) -> None:
    """Those that answer calls, as FUSE names them: and of no other process."""
    applier.apply("a.db", make_rows(Source(tmp_path / "source")))
    tids = [int(name) for name in os.listdir(f"/proc/{applier.pid}/task")]
    known = [tid for tid in tids if applier.is_applier_thread(tid)]
    assert len(known) == 1
    with applier.read_lock("a.db"), applier.read_lock("a.db"):
        tids = [int(name) for name in os.listdir(f"/proc/{applier.pid}/task")]
        assert sum(map(applier.is_applier_thread, tids)) == 2
    assert not applier.is_applier_thread(os.getpid())
    assert not applier.is_applier_thread(threading.get_native_id())
    assert not applier.is_applier_thread(0)


def test_signals_of_the_terminal_do_not_end_it(applier: Applier, mount_dir: Path, tmp_path: Path) -> None:
    source = Source(tmp_path / "source")
    applier.apply("a.db", make_rows(source))
    child = applier.pid
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(child, number)
    applier.apply("a.db", bump(source))
    assert applier.pid == child
    assert os.getsid(child) != os.getsid(0)


def test_stop_ends_waiting_calls_and_the_process(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader
) -> None:
    source = Source(tmp_path / "source")
    applier.apply("a.db", make_rows(source))
    holder = reader(mount_dir / "a.db", manual=True)
    holder.tell("begin")
    holder.tell("read")
    errors: list[Exception] = []

    def work(path: Path) -> None:
        try:
            applier.apply("a.db", path)
        except ApplierError as error:
            errors.append(error)

    thread = threading.Thread(target=work, args=(bump(source),), daemon=True)
    thread.start()
    wait_until(lambda: Path(f"/proc/{applier.pid}/fd").exists(), "the applier")
    child = applier.pid
    started = time.monotonic()
    applier.stop()
    thread.join(5)
    assert time.monotonic() - started < 5
    assert len(errors) == 1 and not pid_alive(child)
    with pytest.raises(ApplierError, match="stopped"):
        applier.apply("a.db", source.path)
    applier.stop()
    assert holder.tell("read")["row"][2] == 0


def test_without_a_mount_or_a_start_it_says_so(tmp_path: Path) -> None:
    applier = Applier(tracer=Tracer())
    with pytest.raises(ApplierError, match="not started"):
        applier.wal_index("a.db")
    with pytest.raises(ApplierError, match="not started"):
        applier.attach(tmp_path)
    applier.start()
    try:
        with pytest.raises(ApplierError, match="attach"):
            applier.wal_index("a.db")
        with pytest.raises(ApplierError, match="No such file"):
            applier.attach(tmp_path / "none")
    finally:
        applier.stop()


def test_it_starts_at_once_and_imports_little(tmp_path: Path) -> None:
    """NumPy not even later: it would be most of its start."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import pylitefs.mount.applier.process as p; "
        "much = ('numpy', 'asyncio', 'click', 'pydantic', 'fuse', 'sqlite3'); "
        "print([m for m in much if m in sys.modules]); "
        "p.import_the_rest(); print('numpy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(ROOT)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\nFalse\n"


@pytest.mark.parametrize("how", ["SIGKILL", "exit"])
def test_it_ends_with_its_node_and_gives_its_locks_back(mount_dir: Path, tmp_path: Path, how: str) -> None:
    """However the node ends, also in the middle of holding locks."""
    db = sqlite3.connect(mount_dir / "a.db", isolation_level=None)
    db.execute("CREATE TABLE t (v)")
    code = f"""
import sys, os, signal
from pathlib import Path
from pylitefs.mount.applier.applier import Applier
from pylitefs.trace import Tracer
applier = Applier(tracer=Tracer())
applier.start()
applier.attach(Path(sys.argv[1]))
with applier.write_lock("a.db"):
    print(applier.pid, flush=True)
    sys.stdin.readline()
    {"os.kill(os.getpid(), signal.SIGKILL)" if how == "SIGKILL" else "os._exit(0)"}
"""
    node = forked.python("-c", code, mount_dir)
    child = int(node.stdout.readline())
    with pytest.raises(sqlite3.OperationalError):
        sqlite3.connect(mount_dir / "a.db", timeout=0).execute("SELECT * FROM t")
    node.stdin.write("\n")
    node.stdin.flush()
    node.wait(5)
    wait_until(lambda: not pid_alive(child), "the applier's end", 3)
    db.execute("INSERT INTO t VALUES (1)")
    db.close()
    node.stdin.close()
    node.stdout.close()


@pytest.mark.fuse
@pytest.mark.parametrize("place", ["fuse", "observed"], indirect=True)
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_mount_that_is_killed_is_an_error_and_no_hang(
    *, applier: Applier, place: Place, tmp_path: Path, reader: StartReader, mode: str
) -> None:
    source = Source(tmp_path / "source", mode=mode)
    applier.apply("a.db", make_rows(source))
    holder = reader(place.path / "a.db", manual=True)
    holder.tell("begin")
    holder.tell("read")
    errors: list[str] = []

    def work(path: Path) -> None:
        try:
            applier.apply("a.db", path)
        except ApplierError as error:
            errors.append(str(error))

    thread = threading.Thread(target=work, args=(bump(source),), daemon=True)
    thread.start()
    assert place.process
    place.process.kill()
    holder.kill()
    thread.join(5)
    assert len(errors) == 1 and "the mount says" in errors[0]
    started = time.monotonic()
    with pytest.raises(ApplierError), applier.read_lock("a.db"):
        pass
    applier.stop()
    assert time.monotonic() - started < 2 * slack()
