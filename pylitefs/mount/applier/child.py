"""The applier process as the node sees it: the process, its control socket, and a channel for each call.

The rule: a call has a channel to itself, which is a socket here and a thread there. So a call that waits
for locks keeps no other waiting, an answer wakes exactly the thread that wants it, and the end of a
channel, however it comes, releases what was locked through it.
"""

import logging
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pylitefs
from pylitefs import errors
from pylitefs.child_python import python_module
from pylitefs.errors import ApplierError, PylitefsError
from pylitefs.mount.applier.locks import UNKNOWN_HOLDER
from pylitefs.mount.applier.messages import MAX_MESSAGE, Message, decode, encode

log = logging.getLogger("pylitefs")

STOP_S = 5.0


class Died(Exception):
    """The applier process is gone; the call got no answer."""


class CallChannel:
    """One end of a socket pair, used by one call (or one holder of locks) at a time."""

    def __init__(self, sock: socket.socket, holders: Callable[[str], str] | None = None) -> None:
        self._socket = sock
        self._holders = holders
        self.tid = 0

    def call(
        self, message: Message, packet: bytes | None = None, meanwhile: Callable[[], None] | None = None
    ) -> Message:
        """Send, do `meanwhile`, and wait for the answer. Raises what the applier raised, or Died. `packet` is
        what is sent, where it is no JSON."""
        try:
            self._socket.send(packet or encode(message))
            if meanwhile is not None:
                meanwhile()
            while True:
                answer = self.receive()
                if "failing" in answer:
                    log.error(
                        "%s: a transaction is written in part and waits: %s. Until it is whole, which is "
                        "tried again and again, the database is locked, so that nobody reads a half",
                        message.get("db"),
                        answer["failing"],
                    )
                    continue
                if "waiting" not in answer:
                    break
                self._name_holders(answer, "waiting", str(message.get("db")))
                log.warning(
                    "%s: waiting for %s s to %s: %s",
                    message.get("db"),
                    answer["seconds"],
                    _PURPOSES.get(str(message["op"]), "lock it"),
                    answer["waiting"],
                )
        except OSError:
            raise Died from None
        self._name_holders(answer, "text", str(message.get("db")))
        raise_error(answer)
        return answer

    def receive(self) -> Message:
        packet = self._socket.recv(MAX_MESSAGE)
        if not packet:
            raise Died
        return decode(packet)

    def _name_holders(self, answer: Message, key: str, database: str) -> None:
        """Say who holds what where this process knows it and the applier does not."""
        text = str(answer.get(key, ""))
        if self._holders is not None and UNKNOWN_HOLDER in text:
            answer[key] = text.replace(UNKNOWN_HOLDER, self._holders(database))

    def shut(self) -> None:
        """End it for both sides, also for a thread that waits for an answer."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()


_PURPOSES = {
    "apply": "apply a transaction",
    "apply_pages": "apply a transaction",
    "write_lock": "write-lock it",
    "read_lock": "copy it",
}


def raise_error(answer: Message) -> None:
    if "error" not in answer:
        return
    kind = getattr(errors, str(answer["error"]), ApplierError)
    assert issubclass(kind, PylitefsError)
    raise kind(str(answer["text"]))


class Child:
    """One applier process and its channels. `holders` tells who has a database locked, for people."""

    def __init__(self, holders: Callable[[str], str] | None = None) -> None:
        self._holders = holders
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        self._channels: set[CallChannel] = set()
        self._free: list[CallChannel] = []
        self.tids: frozenset[int] = frozenset()
        with theirs:
            self.process = subprocess.Popen(
                python_module("pylitefs.mount.applier.process", str(theirs.fileno())),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                cwd="/",
                env=_environment(),
                start_new_session=True,
            )

    def attach(self, mount_dir: str) -> None:
        with self._lock:
            try:
                self._control.send(encode({"op": "attach", "dir": mount_dir}))
                packet = self._control.recv(MAX_MESSAGE)
            except OSError:
                raise Died from None
        if not packet:
            raise Died
        raise_error(decode(packet))

    def take(self) -> CallChannel:
        """A channel that nobody uses."""
        with self._lock:
            if self._free:
                return self._free.pop()
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            channel = CallChannel(ours, self._holders)
            try:
                with theirs:
                    socket.send_fds(self._control, [b'{"op": "channel"}'], [theirs.fileno()])
            except OSError:
                channel.close()
                raise Died from None
            self._channels.add(channel)
        try:
            tid = channel.receive()["tid"]
        except OSError:
            raise Died from None
        assert isinstance(tid, int)
        channel.tid = tid
        with self._lock:
            self.tids |= {tid}
        return channel

    def give_back(self, channel: CallChannel) -> None:
        with self._lock:
            self._free.append(channel)

    def discard(self, channel: CallChannel) -> None:
        """End a channel: the applier releases what it holds."""
        channel.shut()
        channel.close()
        with self._lock:
            self._channels.discard(channel)
            self.tids -= {channel.tid}

    def end(self) -> None:
        """Close everything; the process ends with its control socket, and is killed if it does not."""
        self.tids = frozenset()
        with self._lock:
            for channel in self._channels:
                channel.shut()
            with suppress(OSError):
                self._control.shutdown(socket.SHUT_RDWR)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with self._lock:
            self._control.close()


def _environment() -> dict[str, str]:
    """The node's own, with the way to this very package, and no threads for numpy's algebra."""
    package_root = str(Path(pylitefs.__file__).resolve().parent.parent)
    paths = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"}
