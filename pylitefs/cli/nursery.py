"""The process that nodes are forked from: it loads what a node needs, and forks itself at each request.

    python -m pylitefs.cli.nursery FD

cluster/nursery.py is the side that asks. The rules: this process has one thread and opens nothing, so a fork
of it is like a process that was just started. It ends when the channel does. A killed lecture ends the
channel and leaves dead mounts behind; this process takes them away, for nobody else is left to do it.
"""

import atexit
import errno
import gc
import importlib
import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

from pylitefs.cli.main import run
from pylitefs.cluster.cluster import unmount

LOADED = (
    "pylitefs.cli.mount",
    "pylitefs.control.node_end",
    "pylitefs.http.app",
    "pylitefs.http.proxy",
    "pylitefs.http.server",
    "pylitefs.mount.applier.applier",
    "pylitefs.mount.moments",
    "pylitefs.mount.observed.operations",
    "pylitefs.mount.session",
    "pylitefs.node",
    "pylitefs.numeric",
    "pylitefs.replication.replica",
    "pylitefs.store.evidence",
)
"""Also what a node that is started by itself loads late."""
_LARGEST, _MOST_FDS = 1 << 16, 8


def serve(channel: socket.socket, directories: set[str]) -> dict[str, Any] | None:
    """Fork a process for each request. In such a process the request is returned, in the nursery None.

    `directories` gets those of the processes.
    """
    while True:
        data, fds, _, _ = socket.recv_fds(channel, _LARGEST, _MOST_FDS, socket.MSG_CMSG_CLOEXEC)
        if not data:
            return None
        request: dict[str, Any] = json.loads(data)
        if "wait" in request:
            answer = {"code": exit_code(request["wait"])}
        else:
            pid = os.fork()
            if pid == 0:
                channel.close()
                become(request, fds)
                return request
            answer = {"pid": pid}
            directories.add(request["directory"])
        for fd in fds:
            os.close(fd)
        channel.sendall(json.dumps(answer).encode())


def exit_code(pid: int) -> int:
    """Of a process that has ended; who asks twice is told that it was killed."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return -signal.SIGKILL


def become(request: dict[str, Any], fds: list[int]) -> None:
    """Take over the process group, directory, environment and descriptors that the request is about."""
    os.setpgid(0, 0)
    stdin, log, *handed_down = fds
    os.dup2(stdin, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(stdin)
    os.close(log)
    os.chdir(request["directory"])
    os.environ.update(request["environment"])
    os.environ.update(zip(request["descriptors"], map(str, handed_down), strict=True))
    sys.argv = ["pylitefs", *request["arguments"]]


def leave(code: int) -> NoReturn:
    """End a fork, but do not take Python apart: that would write to all of its memory, and so copy it."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def is_dead_mount(path: Path) -> bool:
    """Whether a node was mounted here that has been killed."""
    try:
        os.stat(path)
    except OSError as error:
        return error.errno == errno.ENOTCONN
    return False


def main() -> None:
    """Serve until the channel ends; in a forked process, be `pylitefs`."""
    for name in LOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    directories: set[str] = set()
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        forked = serve(channel, directories)
    if forked is not None:
        leave(run())
    for directory in directories:
        if is_dead_mount(Path(directory) / "mnt"):
            unmount(Path(directory) / "mnt")


if __name__ == "__main__":
    main()
