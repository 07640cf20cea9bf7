"""The control channel: gates of a running node, held and released from another process.

A lecture or a test starts a node with one end of a socket pair and puts the descriptor's number into
PYLITEFS_CONTROL_FD. Requests and answers are JSON, one a line:

    {"do": "gate", "names": ["ltx.commit"], "database": "a.db", "pids": [123]}   -> {"gate": 1}
    {"do": "wait", "gate": 1, "seconds": 5}                                     -> {"event": {...} or null}
    {"do": "release", "gate": 1}                                                -> {"event": {...} or null}
    {"do": "close", "gate": 1}                                                  -> {}

The rule: the channel's end, also that of a killed lecture, releases everything that is held.
"""

import json
import os
import socket
import threading
from collections.abc import Iterable
from typing import Any

from pylitefs.trace import Event, Gate, Tracer

CONTROL_FD = "PYLITEFS_CONTROL_FD"

Message = dict[str, Any]


def serve_from_environment(tracer: Tracer) -> threading.Thread | None:
    """Serve the channel that whoever started this process handed down, if there is one."""
    number = os.environ.pop(CONTROL_FD, "")
    if not number:
        return None
    os.set_inheritable(int(number), False)
    channel = socket.socket(fileno=int(number))
    thread = threading.Thread(target=serve, args=(tracer, channel), name="control", daemon=True)
    thread.start()
    return thread


def serve(tracer: Tracer, channel: socket.socket) -> None:
    """Answer requests until the other end is gone; then release everything."""
    gates: dict[int, tuple[Gate, Any]] = {}

    def answer(request: Message) -> Message:
        what = request["do"]
        if what == "gate":
            gate = Gate(
                request.get("names", ()),
                database=request.get("database", ""),
                pids=request.get("pids", ()),
            )
            number = len(gates) + 1
            gates[number] = (gate, tracer.listen(gate))
            return {"gate": number}
        gate, stop = gates[request["gate"]]
        if what == "wait":
            return {"event": _as_message(gate.wait_held(float(request.get("seconds", 10))))}
        if what == "release":
            return {"event": _as_message(gate.release_oldest())}
        if what == "close":
            stop()
            gate.close()
            return {}
        raise ValueError(f"no such request: {what!r}")

    try:
        # Not one object for both ways: a text file forgets what it has read ahead when it is written to.
        with channel, channel.makefile("r", encoding="utf-8") as lines:
            for line in lines:
                try:
                    reply = answer(json.loads(line))
                except (ValueError, KeyError, TypeError) as error:
                    reply = {"error": f"{type(error).__name__}: {error}"}
                channel.sendall(json.dumps(reply).encode() + b"\n")
    except OSError:
        pass  # The other end was killed while it was answered.
    finally:
        for gate, stop in gates.values():
            stop()
            gate.close()


def _as_message(event: Event | None) -> Message | None:
    if event is None:
        return None
    return {
        "name": event.name,
        "node": event.node,
        "database": event.database,
        "txid": event.txid,
        "pid": event.pid,
        "payload": {key: str(value) for key, value in event.payload.items()},
    }


class Control:
    """The other end: sets gates in a node.

    `fd_for_node` goes to the child (`pass_fds`, and CONTROL_FD in its environment), then `close_child`.
    """

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._lines = self._ours.makefile("rw", encoding="utf-8")

    @property
    def fd_for_node(self) -> int:
        return self._theirs.fileno()

    def close_child(self) -> None:
        """The child has been started: its end is its own."""
        self._theirs.close()

    def gate(
        self, *names: str, database: str = "", pids: Iterable[int] = ()
    ) -> "RemoteGate":
        """Hold whoever passes one of these tracepoints from now on."""
        reply = self.ask({"do": "gate", "names": names, "database": database, "pids": list(pids)})
        return RemoteGate(self, reply["gate"])

    def ask(self, request: Message) -> Message:
        """One request, one answer; ValueError if the node says it is wrong, EOFError if it is gone."""
        self._lines.write(json.dumps(request) + "\n")
        self._lines.flush()
        line = self._lines.readline()
        if not line:
            raise EOFError("the node is gone")
        reply: Message = json.loads(line)
        if "error" in reply:
            raise ValueError(reply["error"])
        return reply

    def close(self) -> None:
        """Release everything that is held in the node."""
        for one in (self._lines, self._ours, self._theirs):
            try:
                one.close()
            except OSError:
                pass


class RemoteGate:
    """A gate in the node at the other end of a `Control`."""

    def __init__(self, control: Control, number: int) -> None:
        self._control = control
        self._number = number

    def wait(self, seconds: float = 10.0) -> Message | None:
        """Wait until the gate holds something: the oldest event, or None after `seconds`."""
        return self._event({"do": "wait", "gate": self._number, "seconds": seconds})

    def release(self) -> Message | None:
        """Let the oldest held thread go on; the event it was held at."""
        return self._event({"do": "release", "gate": self._number})

    def _event(self, request: Message) -> Message | None:
        event: Message | None = self._control.ask(request)["event"]
        return event

    def close(self) -> None:
        """Release everything this gate holds, and hold nothing more."""
        self._control.ask({"do": "close", "gate": self._number})
