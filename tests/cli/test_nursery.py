"""What a nursery's process does: it answers for its children, and a fork of it becomes what was asked for."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pylitefs.cli.nursery import exit_code, is_dead_mount, serve

PROGRAM = """
import json, os, sys
from pylitefs.cli.nursery import become
request, *fds = json.loads(sys.argv[1])
become(request, fds)
print(json.dumps([os.getcwd(), os.getpgid(0) == os.getpid(), os.environ["ASKED"], os.environ["FD"], sys.argv,
                  sys.stdin.read()]), flush=True)
print("an error", file=sys.stderr)
"""


def test_a_forked_process_is_where_and_what_it_was_asked_to_be(tmp_path: Path) -> None:
    """Its own group, so that a signal to it is for it and what it starts; its output goes to the log."""
    (tmp_path / "in").write_text("typed")
    fds = [os.open(tmp_path / "in", os.O_RDONLY), os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)]
    handed = os.dup(fds[0])
    request = {
        "directory": str(tmp_path),
        "environment": {"ASKED": "yes"},
        "descriptors": ["FD"],
        "arguments": ["mount", "-config", "x"],
    }
    asked = json.dumps([request, *fds, handed])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, asked], pass_fds=[*fds, handed], capture_output=True, text=True
    )
    for fd in (*fds, handed):
        os.close(fd)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    first, second = (tmp_path / "log").read_text().splitlines()
    argv = ["pylitefs", "mount", "-config", "x"]
    assert json.loads(first) == [str(tmp_path), True, "yes", str(handed), argv, "typed"]
    assert second == "an error"


def test_the_exit_code_is_told_once_and_then_a_kill() -> None:
    for program, code in (("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 15)", -15)):
        child = subprocess.Popen([sys.executable, "-S", "-c", program])
        assert exit_code(child.pid) == code
        assert exit_code(child.pid) == -signal.SIGKILL
        child.returncode = code


def test_it_serves_until_its_channel_ends() -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", "raise SystemExit(4)"])
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.send(json.dumps({"wait": child.pid}).encode())
        ours.shutdown(socket.SHUT_WR)
        directories: set[str] = set()
        assert serve(theirs, directories) is None and not directories
        assert json.loads(ours.recv(1000)) == {"code": 4}
    child.returncode = 4


LEAVING = """
import atexit, sys, threading, time
from pylitefs.cli.nursery import leave
class Kept:
    def __del__(self):
        print("taken apart")
kept = Kept()
atexit.register(print, "at exit")
threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
leave(3)
"""


def test_a_fork_leaves_with_all_that_an_end_has_but_is_not_taken_apart() -> None:
    """It waits for threads, does what is due at exit, and writes its output out."""
    done = subprocess.run([sys.executable, "-c", LEAVING], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (3, "thread\nat exit\n", "")


def test_only_a_mount_whose_node_is_gone_is_a_dead_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_dead_mount(tmp_path) and not is_dead_mount(tmp_path / "none")

    def dead(path: Path) -> None:
        raise OSError(107, "Transport endpoint is not connected")

    monkeypatch.setattr("pylitefs.cli.nursery.os.stat", dead)
    assert is_dead_mount(tmp_path)
