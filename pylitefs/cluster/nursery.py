"""Nodes that are there at once: forked from a process that has loaded everything already.

Most of a node's start is Python loading modules. A lecture that starts its nodes again and again has a
nursery load them once, and each node is a fork of it (cli/nursery.py is the other side). The rule:
a forked node can be used like a `subprocess.Popen`. It has its own standard input, directory, log and process
group, and an exit code. It ends when its standard input does. The nursery ends with its channel.
"""

import json
import os
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from pylitefs.child_python import python_module
from pylitefs.errors import PylitefsError

_LARGEST = 1 << 16
UNKNOWN_CODE = -signal.SIGKILL
"""Of a process whose nursery is gone: nobody has its exit code."""


class NurseryError(PylitefsError):
    """The nursery's process is gone."""


class ForkedProcess:
    """One process of a nursery; as much of `subprocess.Popen` as nodes need. Any thread may ask."""

    def __init__(self, nursery: "Nursery", pid: int, stdin: IO[bytes]) -> None:
        self.pid = pid
        self.stdin: IO[bytes] | None = stdin
        self.returncode: int | None = None
        self._nursery = nursery
        self._asking = threading.Lock()
        # It is ours to wait for, so the number cannot be another process's by now.
        self._pidfd = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """The exit code (negative: the signal), or None while it runs."""
        with self._asking:  # the nursery can be asked for an exit code once
            if self.returncode is None and select.select([self._pidfd], [], [], 0)[0]:
                self.returncode = self._nursery.exit_code(self.pid)
            return self.returncode

    def __del__(self) -> None:
        os.close(self._pidfd)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            select.select([self._pidfd], [], [], timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired("pylitefs mount", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            signal.pidfd_send_signal(self._pidfd, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The process that nodes are forked from; it loads while others do something else."""

    def __init__(self, module: str = "pylitefs.cli.nursery") -> None:
        """`module` is what the process runs."""
        self._lock = threading.Lock()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                python_module(module, str(theirs.fileno())),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=0,
                env={**os.environ, "PYTHONFAULTHANDLER": "1", "OPENBLAS_NUM_THREADS": "1"},
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def launch(
        self,
        arguments: Sequence[str],
        directory: Path,
        log: IO[bytes],
        environment: Mapping[str, str],
        descriptors: Mapping[str, int],
    ) -> ForkedProcess:
        """`pylitefs ARGUMENTS` in a new process; `environment` are the variables to set.

        `descriptors` are handed down: each variable says which number it has there. Raises NurseryError.
        """
        theirs, ours = os.pipe()
        request = {
            "arguments": list(arguments),
            "directory": str(directory),
            "environment": dict(environment),
            "descriptors": list(descriptors),
        }
        try:
            answer = self._ask(request, [theirs, log.fileno(), *descriptors.values()])
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return ForkedProcess(self, answer["pid"], os.fdopen(ours, "wb"))

    def exit_code(self, pid: int) -> int:
        """Of a process that has ended."""
        try:
            return int(self._ask({"wait": pid}, [])["code"])
        except NurseryError:
            return UNKNOWN_CODE

    def _ask(self, request: Mapping[str, object], fds: list[int]) -> dict[str, Any]:
        with self._lock:
            try:
                socket.send_fds(self._channel, [json.dumps(request).encode()], fds)
                data = self._channel.recv(_LARGEST)
            except OSError:
                data = b""
        if not data:
            raise NurseryError(f"process {self.pid}, which nodes are forked from, is gone: start again")
        answer: dict[str, Any] = json.loads(data)
        return answer

    def close(self) -> None:
        """End it. The processes that it brought up go on until they are told to end."""
        with self._lock:
            self._channel.close()
        self._process.wait()
