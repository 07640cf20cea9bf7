"""The node's end of the control channel: answers requests, sets gates, and lets everything go at the end.

    the control thread <-- gate, wait, release, record, hold, let ... -- the lecture (channel.py)
    the mount's threads -- events --> Recorder, Outbox (events.py) --> the lecture

The rules: the end of the channel releases everything, and so does the node's own stop (`let_go`); and no
request waits for another one.
"""

import json
import os
import socket
import threading
from collections.abc import Callable, Mapping

from pylitefs.control import CONTROL_FD
from pylitefs.control.channel import Message
from pylitefs.control.events import Outbox, Recorder, Rule
from pylitefs.trace import Event, Evidence, Gate, Tracer, no_evidence

FLUSH_S = 1.0
"""So long a node that ends waits for its last events to be sent."""


def _gate_event(event: Event | None) -> Message | None:
    """What a gate's requests say of the event it holds."""
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


class NodeEnd:
    """The node's end of one channel. `run` in a thread of its own, until the other end is gone."""

    def __init__(
        self,
        tracer: Tracer,
        channel: socket.socket,
        evidence: Evidence = no_evidence,
        pass_lease_time: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._pass_lease_time = pass_lease_time
        self._tracer = tracer
        self._channel = channel
        self._outbox = Outbox(channel)
        self._recorder = Recorder(self._outbox, evidence)
        self._stop_recorder: Callable[[], None] | None = None
        self._gates: dict[int, tuple[Gate, Callable[[], None]]] = {}
        self._lock = threading.Lock()
        self._let_go = False
        self._ahead = _lines_waiting(channel)
        self.caught_up = threading.Event()
        """Set once the requests that were there before this end was made are done."""
        self._requests: Mapping[str, Callable[[Message], Message]] = {
            "gate": self._gate,
            "wait": self._wait,
            "release": self._release,
            "close": self._close_gate,
            "record": self._record,
            "hold": self._hold,
            "let": self._let,
            "let-all": self._let_all,
            "lease-time": self._lease_time,
            "ping": lambda request: {},
        }

    def run(self) -> None:
        """Answer requests until the other end is gone; then release everything."""
        try:
            # Not one object for both ways: a text file forgets what it has read ahead when it is written to.
            with self._channel.makefile("rb") as lines:
                self._count_down(0)
                for line in lines:
                    self._take(line)
                    self._count_down(1)
        except OSError:
            pass  # The other end was killed while it was answered.
        finally:
            self._end()

    def let_go(self) -> None:
        """The node is to end: everything held goes on, nothing is held any more. Events are still pushed."""
        with self._lock:
            self._let_go = True
            gates = list(self._gates.values())
        for gate, stop in gates:
            stop()
            gate.close()
        self._recorder.close()
        self._outbox.hurry()

    def close(self, timeout: float = FLUSH_S) -> None:
        """Send what waits to be sent, and end the channel."""
        self.let_go()
        self._outbox.flush(timeout)
        self._outbox.end()

    def _count_down(self, done: int) -> None:
        self._ahead -= done
        if self._ahead <= 0:
            self.caught_up.set()

    def _end(self) -> None:
        self.caught_up.set()
        self.let_go()
        if self._stop_recorder is not None:
            self._stop_recorder()
        self._outbox.end()
        self._channel.close()

    def _take(self, line: bytes) -> None:
        number: object = None
        try:
            request = json.loads(line)
            number = request.get("id")
            if number is not None and request.get("do") == "wait":
                # It may take long, and no other request is to wait for it.
                threading.Thread(target=self._answer, args=(request, number), daemon=True).start()
                return
        except (ValueError, AttributeError) as error:
            self._reply({"error": f"{type(error).__name__}: {error}"}, number)
            return
        self._answer(request, number)

    def _answer(self, request: Message, number: object) -> None:
        try:
            reply = self._requests[request["do"]](request)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        self._reply(reply, number)

    def _reply(self, reply: Message, number: object) -> None:
        self._outbox.put(reply if number is None else {**reply, "id": number})

    # Requests.

    def _gate(self, request: Message) -> Message:
        gate = Gate(
            request.get("names", ()), database=request.get("database", ""), pids=request.get("pids", ())
        )
        with self._lock:
            number = len(self._gates) + 1
            if self._let_go:
                gate.close()
            self._gates[number] = (gate, self._tracer.listen(gate))
        return {"gate": number}

    def _wait(self, request: Message) -> Message:
        gate, _ = self._gates[request["gate"]]
        return {"event": _gate_event(gate.wait_held(float(request.get("seconds", 10))))}

    def _release(self, request: Message) -> Message:
        gate, _ = self._gates[request["gate"]]
        return {"event": _gate_event(gate.release_oldest())}

    def _close_gate(self, request: Message) -> Message:
        gate, stop = self._gates[request["gate"]]
        stop()
        gate.close()
        return {}

    def _record(self, request: Message) -> Message:
        del request
        self._recorder.record()
        self._listen()
        return {}

    def _hold(self, request: Message) -> Message:
        rule = request["rule"]
        self._recorder.hold(None if rule is None else Rule.from_json(rule))
        if rule is not None:
            self._listen()
        return {}

    def _let(self, request: Message) -> Message:
        self._recorder.let(int(request["seq"]))
        return {}

    def _let_all(self, request: Message) -> Message:
        del request
        self._recorder.let_all()
        return {}

    def _lease_time(self, request: Message) -> Message:
        self._pass_lease_time(float(request["seconds"]))
        return {}

    def _listen(self) -> None:
        if self._stop_recorder is None:
            self._stop_recorder = self._tracer.listen(self._recorder)


def _lines_waiting(channel: socket.socket) -> int:
    try:
        return channel.recv(65536, socket.MSG_PEEK | socket.MSG_DONTWAIT).count(b"\n")
    except OSError:
        return 0


def serve(tracer: Tracer, channel: socket.socket, evidence: Evidence = no_evidence) -> None:
    """Answer requests until the other end is gone; then release everything."""
    NodeEnd(tracer, channel, evidence).run()


def serve_from_environment(
    tracer: Tracer,
    evidence: Evidence = no_evidence,
    pass_lease_time: Callable[[float], None] = lambda seconds: None,
) -> NodeEnd | None:
    """Serve, in a thread, the channel that whoever started this process handed down, if there is one.

    What was asked before this process began is done when this returns.
    """
    number = os.environ.pop(CONTROL_FD, "")
    if not number:
        return None
    os.set_inheritable(int(number), False)
    end = NodeEnd(tracer, socket.socket(fileno=int(number)), evidence, pass_lease_time)
    threading.Thread(target=end.run, name="control", daemon=True).start()
    end.caught_up.wait()
    return end
