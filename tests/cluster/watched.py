"""The lecture's side of a node's control channel, as tests use it: what was heard, what is held."""

import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx

from pylitefs.cluster.cluster import ClusterNode, node_facts
from tests import forked

Message = dict[str, Any]

PATIENCE_S = 20.0
_LOOK = (
    "import os, sys; d, name = sys.argv[1:];"
    " assert name in os.listdir(d);"
    " [os.stat(os.path.join(d, one)) for one in os.listdir(d)];"
    " print(open(os.path.join(d, name + '-pos')).read().strip())"
)


class Watched:
    """A node whose every tracepoint is heard, and held where `hold` says so."""

    def __init__(self, node: ClusterNode, start: Message | None = None) -> None:
        """With `start` the node is started, and held by that rule from its first tracepoint on."""
        self.node = node
        self.messages: list[Message] = []
        self._held: list[Message] = []
        self._changed = threading.Condition()
        if start is not None:
            before = node.prepare
            node.prepare = lambda control: control.ahead(self._hear, start)
            try:
                node.start()
            finally:
                node.prepare = before
        assert node.control
        self.control = node.control
        if start is None:
            self.control.record(self._hear)

    def _hear(self, message: Message) -> None:
        with self._changed:
            self.messages.append(message)
            if message["held"]:
                self._held.append(message)
            self._changed.notify_all()

    def hold(self, *names: str, database: str = "", **more: object) -> None:
        self.control.hold({"names": list(names), "database": database, **more})

    def wait_held(self, seconds: float = PATIENCE_S) -> Message:
        """The oldest event that is held."""
        with self._changed:
            assert self._changed.wait_for(lambda: bool(self._held), seconds), (
                f"{self.node.name} holds nothing"
            )
            return self._held[0]

    def held_or(self, over: Callable[[], bool], seconds: float = PATIENCE_S) -> Message | None:
        """The oldest event that is held, or None once `over()`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with self._changed:
                if self._changed.wait_for(lambda: bool(self._held), 0.02):
                    return self._held[0]
            if over():
                return None
        raise AssertionError(f"{self.node.name} holds nothing, and it is not over")

    def let(self) -> None:
        """Let the oldest go on."""
        with self._changed:
            message = self._held.pop(0)
        self.control.let(message["event"]["seq"])

    def go_on(self) -> None:
        """Let all go on and hold nothing more."""
        self.control.hold(None)
        with self._changed:
            self._held.clear()

    def names(self) -> list[str]:
        return [message["event"]["name"] for message in self.messages]


def look(node: ClusterNode, database: str, seconds: float = PATIENCE_S) -> str:
    """List the mount, stat all that is in it and read `DB-pos`, in a process that may hang; the position."""
    process = forked.python("-c", _LOOK, node.mount, database)
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"a look into {node.mount} hangs") from None
    with process.stdout:
        assert code == 0
        return process.stdout.read().strip()


def assert_answers(node: ClusterNode) -> None:
    """The node's API answers at once, and its streams are alive."""
    started = time.monotonic()
    facts = node_facts(node.url)
    for path in ("/info", "/metrics"):
        assert httpx.get(f"{node.url}{path}", timeout=5, trust_env=False).status_code == 200
    assert time.monotonic() - started < 5
    if not node.is_primary:
        assert facts["primary"] is not None and facts["lagMs"] < 5_000, facts
