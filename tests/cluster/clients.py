"""The tests' side of their clients: processes that are asked, with a deadline.

The rule: the test's own process never touches a mount, where a fault could hang it for good. It asks
clients, looks into the data directories, and asks the nodes over HTTP (checks.py).
"""

import json
import os
import select
import time
from pathlib import Path
from typing import Any

from pylitefs.cluster.cluster import ClusterNode
from tests import forked

ANSWER_S = 20.0
"""A client that gives no answer for so long hangs."""

Message = dict[str, Any]


class ClientHangs(AssertionError):
    """A client did not answer in time."""


class Client:
    """A client process (client.py) on a database of a node's mount."""

    def __init__(self, path: Path, role: str = "shell", **options: object) -> None:
        self.name = f"{role} on {path.parent.parent.name}"
        self.path = path
        self.options = options
        arguments = (path, json.dumps({"role": role, **options}))
        self.process = forked.python("-m", "tests.cluster.client", *arguments)
        self._answer(ANSWER_S)

    @property
    def pid(self) -> int:
        return self.process.pid

    def tell(self, do: str, **more: object) -> None:
        """Give an order without waiting for the answer."""
        self.process.stdin.write(json.dumps({"do": do, **more}) + "\n")

    def _answer(self, seconds: float) -> Message:
        fd = self.process.stdout.fileno()
        data = b""
        deadline = time.monotonic() + seconds
        while not data.endswith(b"\n"):
            if not select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise ClientHangs(f"{self.name} gives no answer for {seconds:.0f} s: {self._where()}")
            piece = os.read(fd, 1 << 16)
            if not piece:
                raise AssertionError(f"{self.name} ended with {self.process.wait()}")
            data += piece
        answer: Message = json.loads(data)
        return answer

    def answer(self, seconds: float = ANSWER_S) -> Message:
        """The answer to an order that was told. Raises ClientHangs."""
        return self._answer(seconds)

    def last_words(self) -> Message:
        """What a client that was perhaps killed still answered; {} if it got no further."""
        try:
            return self._answer(ANSWER_S)
        except AssertionError:
            return {}

    def _where(self) -> str:
        try:
            return Path(f"/proc/{self.pid}/stack").read_text().strip()
        except OSError:
            return "its kernel stack cannot be read"

    def ask(self, do: str, seconds: float = ANSWER_S, **more: object) -> Message:
        """Give an order and take the answer. Raises ClientHangs."""
        self.tell(do, **more)
        return self._answer(seconds)

    def sql(self, *statements: str, seconds: float = ANSWER_S) -> list[Any]:
        """The rows of the last statement; an error fails the test."""
        answer = self.ask("sql", seconds, sql=statements)
        assert "rows" in answer, f"{self.name}: {answer['error']} ({statements})"
        rows: list[Any] = answer["rows"]
        return rows

    def report(self) -> Message:
        return self.ask("report")

    def run(self, count: int = 1 << 60) -> None:
        """Loop from now on; a writer for so many transactions."""
        self.ask("run", count=count)

    def close(self) -> None:
        """End the process as a program ends: SQLite closes what it has open."""
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(ANSWER_S)

    def kill9(self) -> None:
        self.process.kill()

    def discard(self) -> None:
        """Whatever state it is in: kill it; one that hangs in its mount ends with that."""
        self.process.kill()
        self.process.stdin.close()
        self.process.stdout.close()


class Clients:
    """Makes clients; the fixture of that name ends them all before the cluster stops."""

    def __init__(self) -> None:
        self._all: list[Client] = []

    def __call__(self, node: ClusterNode, database: str, role: str = "shell", **options: object) -> Client:
        client = Client(node.database(database), role, **options)
        self._all.append(client)
        return client

    def discard_all(self) -> None:
        for client in self._all:
            client.discard()

    def wait_all(self) -> None:
        for client in self._all:
            client.process.wait(10)
