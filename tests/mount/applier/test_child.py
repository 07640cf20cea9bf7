"""The node's side of the applier process: what a call's channel says and raises, and whose it is."""

import json
import logging
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pylitefs
from pylitefs.errors import ApplierError, BusyError
from pylitefs.mount.applier.child import CallChannel, Child, Died, _environment
from pylitefs.mount.applier.locks import UNKNOWN_HOLDER
from pylitefs.mount.applier.messages import MAX_MESSAGE, Message

from .support import pid_alive

APPLY: Message = {"op": "apply", "db": "a.db", "path": "/x"}


class Applier:
    """The other end of a channel. A socket keeps what is said to it, so answers can be there beforehand."""

    def __init__(self) -> None:
        ours, self.socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel = CallChannel(ours, lambda database: f"sqlite3 (process 7) on {database}")

    def says(self, *messages: Message) -> "Applier":
        for message in messages:
            self.socket.send(json.dumps(message).encode())
        return self


@pytest.fixture
def applier() -> Iterator[Applier]:
    one = Applier()
    yield one
    one.channel.close()
    one.socket.close()


def test_a_call_is_one_packet_and_so_is_its_answer(applier: Applier) -> None:
    applier.says({"pages": 3}, {"pages": 4})
    assert [applier.channel.call(APPLY), applier.channel.call(APPLY)] == [{"pages": 3}, {"pages": 4}]
    assert json.loads(applier.socket.recv(MAX_MESSAGE)) == APPLY


@pytest.mark.parametrize(
    ("op", "purpose"),
    [("apply", "apply a transaction"), ("write_lock", "write-lock it"), ("rollback_journal", "lock it")],
)
def test_a_call_that_waits_says_for_what_and_for_whom(
    applier: Applier, caplog: pytest.LogCaptureFixture, op: str, purpose: str
) -> None:
    applier.says({"waiting": UNKNOWN_HOLDER, "seconds": 1.0}, {"pages": 3})
    assert applier.channel.call({"op": op, "db": "a.db"}) == {"pages": 3}
    assert caplog.messages == [f"a.db: waiting for 1.0 s to {purpose}: sqlite3 (process 7) on a.db"]


def test_a_transaction_that_cannot_be_finished_is_an_error_in_the_log(
    applier: Applier, caplog: pytest.LogCaptureFixture
) -> None:
    applier.says({"failing": "No space left on device"}, {"pages": 3})
    assert applier.channel.call(APPLY) == {"pages": 3}
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("a.db: a transaction is written in part and waits: No space left")


@pytest.mark.parametrize(("name", "kind"), [("BusyError", BusyError), ("NoSuchError", ApplierError)])
def test_what_the_applier_raised_is_raised_here(applier: Applier, name: str, kind: type[Exception]) -> None:
    applier.says({"error": name, "text": f"locked: {UNKNOWN_HOLDER}"})
    with pytest.raises(kind, match="locked: sqlite3") as caught:
        applier.channel.call(APPLY)
    assert type(caught.value) is kind


def test_who_dies_gives_no_answer(applier: Applier) -> None:
    """In the middle of a call, before it, or shut from this side."""
    applier.says({"waiting": "x", "seconds": 1})
    applier.socket.shutdown(socket.SHUT_WR)
    with pytest.raises(Died):
        applier.channel.call(APPLY)
    applier.socket.close()
    with pytest.raises(Died):
        applier.channel.call(APPLY)
    other = Applier()
    other.channel.shut()
    other.channel.shut()
    with pytest.raises(Died):
        other.channel.call(APPLY)
    other.channel.close()
    other.socket.close()


def test_a_process_has_channels_that_are_used_again_until_they_are_discarded(tmp_path: Path) -> None:
    """And the end of one is the end of what was locked through it."""
    (tmp_path / "a.db").write_bytes(b"")
    child = Child()
    try:
        with pytest.raises(ApplierError, match="No such file"):
            child.attach(str(tmp_path / "none"))
        child.attach(str(tmp_path))
        first, second = child.take(), child.take()
        assert child.tids == {first.tid, second.tid} and len(child.tids) == 2
        assert {str(tid) for tid in child.tids} <= set(os.listdir(f"/proc/{child.process.pid}/task"))
        child.give_back(second)
        assert child.take() is second
        lock: Message = {"op": "write_lock", "db": "a.db", "timeout": 5}
        assert first.call(lock) == {"wal": False, "index": ""}
        with pytest.raises(BusyError, match="an import's write lock"):
            second.call({**lock, "timeout": 0})
        child.discard(first)
        assert child.tids == {second.tid}
        assert second.call(lock) == {"wal": False, "index": ""}
        assert os.getsid(child.process.pid) == child.process.pid, "a terminal's Ctrl-C is the node's"
    finally:
        child.end()
    assert not pid_alive(child.process.pid) and child.process.returncode == 0 and not child.tids
    with pytest.raises(Died):
        child.take()
    with pytest.raises(Died):
        second.call(lock)
    second.close()


def test_a_process_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "deaf"
    program.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr("pylitefs.mount.applier.child.STOP_S", 0.01)
    child = Child()
    child.end()
    assert child.process.returncode == -9 and not pid_alive(child.process.pid)


def test_it_is_this_very_package_that_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """From whatever directory the node was started, and beside what the user's own path leads to."""
    root = str(Path(pylitefs.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", "/own")
    assert _environment()["PYTHONPATH"] == f"{root}:/own"
    monkeypatch.delenv("PYTHONPATH")
    found = _environment()
    assert found["PYTHONPATH"] == root and found["OPENBLAS_NUM_THREADS"] == "1"
