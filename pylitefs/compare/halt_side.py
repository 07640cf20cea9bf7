"""Who has the HALT lock while a workload runs on a primary and a replica: the steps that take it and use it.

The rule: the lock is taken as LiteFS's client libraries take it, by byte 72 of `DB-lock`, and by each
program's own `run`. What is told has no times: how long a lock lasts is no matter of a comparison.
"""

import re
import shlex
import subprocess
import time

import httpx

from pylitefs.compare.nodes import ProgramNode
from pylitefs.compare.side import PATIENCE, PLAIN, Answer, Side

FREED_SECONDS = 45.0
"""LiteFS looks every 5 seconds whether the 30 of a lock are over."""
_POLL_S = 0.2


class HaltSide(Side):
    """A running `System`, as the runner sees it."""

    def _do_halt(self, connection: str, name: str, role: str) -> Answer:
        path = str(self.node(role).mount / f"{name}-lock")
        return self._clients.get(connection).ask("halt", 2 * PATIENCE, path=path)

    def _do_unhalt(self, connection: str) -> Answer:
        """Ends once the replica says so; the kernel tells it of a close after that has returned."""
        answer = self._clients.get(connection).ask("unhalt", PATIENCE)
        self._clients.end(connection)
        return answer

    def _do_killed(self, connection: str, name: str) -> Answer:
        self._clients.end(connection, kill=True)
        writer = self._clients.get(f"after {connection}")
        writer.ask("open", path=str(self.primary.mount / name), timeout=0.0)
        end = time.monotonic() + FREED_SECONDS
        answer: Answer = {}
        while time.monotonic() < end:
            answer = writer.ask("sql", text="BEGIN IMMEDIATE")
            if "rows" in answer:
                writer.ask("sql", text="ROLLBACK")
                break
            time.sleep(_POLL_S)
        self._clients.end(f"after {connection}")
        return answer

    def _do_forward(self, name: str, lock_id: str) -> Answer:
        *_, newest = self.primary.ltx_files(name).values()
        try:
            url = f"{self.primary.url}/tx?name={name}&lockID={lock_id}"
            answer = httpx.post(url, content=newest.read_bytes(), **PLAIN)
        except httpx.HTTPError as error:
            return {"text": type(error).__name__}
        kind = answer.headers.get("content-type", "").partition(";")[0]
        return {"text": f"{answer.status_code} {kind} {self.masked(answer.text)}"}

    def _do_run(self, arguments: str, role: str) -> Answer:
        """`run` of the node's own program; its exit code, and what it said."""
        node = self.node(role)
        assert node.program is not None
        words = [self._with_paths(word, node) for word in shlex.split(arguments)]
        try:
            done = subprocess.run(
                [*node.program.command, "run", *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=6 * PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"error": "no answer"}
        # Each program begins an error in its own way.
        error = re.sub(r"^(ERROR|pylitefs): ", "", done.stderr.strip())
        said = "; ".join(self.masked(text.strip()) for text in (done.stdout, error))
        return {"text": f"exit code {done.returncode}; {said}"}

    @staticmethod
    def _with_paths(word: str, node: ProgramNode) -> str:
        return re.sub(r"\{(\S+)\}", lambda match: str(node.mount / match[1]), word)

    def masked(self, text: str) -> str:
        return re.sub(r'("expires": ?)"[^"]*"', r'\1"THEN"', super().masked(text))
