"""The applier process: it changes a mounted database from outside, as SQLite does.

Started by `applier.py` before the mount, so that it holds nothing of `/dev/fuse`. It is told what to do
over sockets: one for itself, whose end is its own end, and one channel for each call that the node has
under way. A channel has a thread here, so waiting for one database's locks keeps no other waiting, and
what a channel has locked is released when the channel ends, however it ends.

    node                                              applier
    control    {"op": "attach", "dir": ...}     ->    opens the mount's root directory
               {"op": "channel"} + a socket     ->    a thread; answers with its thread id
    channel    {"op": "apply", ...}             ->    waits for the locks, perhaps {"waiting": ...} ->
                                                <-    {"pages": ...} or {"error": ..., "text": ...}

Messages are JSON objects, one a packet (but for one kind: messages.py). The rule: this process imports
little, so that it starts at once, and what takes longer to import (SQLite, the WAL index) it imports while it
waits for its first call. NumPy it loads for the pages of a WAL alone.
"""

import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable

from pylitefs import limits
from pylitefs.errors import ApplierError, BusyError, PylitefsError
from pylitefs.mount.applier.calls import Calls
from pylitefs.mount.applier.messages import MAX_MESSAGE, Channel, Message, decode, encode, text_of

FINISH_S = 2.0
"""How long a transaction that is being written keeps the process from ending with its node."""


class ChannelClosed(Exception):
    """The node closed the channel while a call waited for locks."""


class SocketChannel(Channel):
    """The socket of one call at a time, and how a call waits."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._started = 0.0
        self._noted = False
        self._deadline: float | None = None
        self._next_look = 0.0
        self._holders: Callable[[], str] = str
        self._failing = ""

    def receive(self) -> Message | None:
        packet = self._socket.recv(MAX_MESSAGE)
        self._failing = ""
        if not packet:
            return None
        return decode(packet)

    def send(self, message: Message) -> None:
        self._socket.send(encode(message))

    def begin_wait(self, timeout: float | None, holders: Callable[[], str]) -> None:
        self._started = time.monotonic()
        self._deadline = None if timeout is None else self._started + timeout
        self._next_look = self._started + 0.05
        self._noted = False
        self._holders = holders

    def pause(self, seconds: float) -> None:
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline:
            raise BusyError(f"locked: {self._holders()} (waited {now - self._started:.1f} s)")
        if now >= self._next_look:
            self._next_look = now + 0.05
            if self._is_closed():
                raise ChannelClosed
            if not self._noted and now - self._started >= 1.0:
                self._noted = True
                self.send({"waiting": self._holders(), "seconds": round(now - self._started, 1)})
        if seconds:
            time.sleep(seconds)
        else:
            os.sched_yield()

    def rest(self, seconds: float, why: str) -> None:
        if self._is_closed():
            raise ChannelClosed
        if why != self._failing:
            self._failing = why
            self.send({"failing": why})
        time.sleep(seconds)

    def _is_closed(self) -> bool:
        try:
            return not self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False

    def close(self) -> None:
        self._socket.close()


def serve_channel(calls: Calls, channel: SocketChannel) -> None:
    """One thread: answer calls until the channel ends, then give back what it had locked."""
    try:
        channel.send({"tid": threading.get_native_id()})
        while (message := channel.receive()) is not None:
            channel.send(answer(calls, channel, message))
    except (ChannelClosed, OSError):
        pass
    finally:
        try:
            calls.let_go(channel)
        except (OSError, PylitefsError):
            pass  # The mount is gone, and every lock with it.
        channel.close()


def answer(calls: Calls, channel: Channel, message: Message) -> Message:
    """Do what a message asks; an error becomes an answer, too."""
    try:
        return calls.dispatch(channel, message)
    except PylitefsError as error:
        return {"error": type(error).__name__, "text": str(error)}
    except OSError as error:
        text = limits.explain(error) if limits.is_shortage(error) else f"the mount says {error}"
        return {"error": ApplierError.__name__, "text": text, "errno": error.errno}
    except ChannelClosed:
        raise
    except Exception as error:
        traceback.print_exc()
        return {"error": ApplierError.__name__, "text": f"unexpected {type(error).__name__}: {error}"}


def import_the_rest() -> None:
    """What the first WAL index header and the first hot journal need."""
    import sqlite3

    import pylitefs.sqlite.wal_index

    assert sqlite3 and pylitefs.sqlite.wal_index


def serve(control: socket.socket) -> None:
    """Serve the node until it closes the control socket or is gone."""
    calls = Calls()
    threading.Thread(target=import_the_rest, daemon=True).start()
    while True:
        packet, fds, _, _ = socket.recv_fds(control, MAX_MESSAGE, 1)
        if not packet:
            break
        message = decode(packet)
        if message["op"] == "attach":
            try:
                calls.attach(text_of(message, "dir"))
                control.send(b"{}")
            except OSError as error:
                text = f"cannot open {message['dir']}: {error.strerror}"
                control.send(encode({"error": ApplierError.__name__, "text": text}))
        else:
            channel = SocketChannel(socket.socket(fileno=fds[0]))
            threading.Thread(target=serve_channel, args=(calls, channel), daemon=True).start()
    calls.wait_until_written(FINISH_S)


def main() -> None:
    """`python -m pylitefs.mount.applier.process FD`: FD is the control socket."""
    limits.raise_open_files()
    limits.keep_buffers()
    # It ends with its node and not before: a signal to the whole group, as Ctrl-C, is the node's.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        serve(socket.socket(fileno=int(sys.argv[1])))
    except ConnectionError:
        pass
    os._exit(0)  # Threads may wait in the kernel for a mount that is gone.


if __name__ == "__main__":
    main()
