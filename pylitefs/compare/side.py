"""One system while workloads run on it: its clients and observers, and what each kind of step does.

The rule: whatever a step does, it ends, with an answer in words that can be compared.
"""

import contextlib
import hashlib
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterable
from typing import Any

import httpx

from pylitefs.child_python import python_module
from pylitefs.compare.driver import Connections, Driver
from pylitefs.compare.events import Ear
from pylitefs.compare.ltx_facts import LtxFacts, read_facts
from pylitefs.compare.nodes import ProgramNode, System
from pylitefs.compare.probes import PROBES
from pylitefs.compare.workload import Step
from pylitefs.errors import PylitefsError, RemoteError
from pylitefs.ltx.header import parse_filename

PATIENCE = 10.0
"""Seconds until a node that does not answer counts as hanging."""
PLAIN: dict[str, Any] = {"timeout": PATIENCE, "trust_env": False, "verify": False}
"""For HTTP: nobody here speaks TLS, and to read the certificates of the world would be most of a request."""

Answer = dict[str, Any]


class Side:
    """A running system, as the runner sees it."""

    def __init__(self, system: System) -> None:
        self.system = system
        self._ears = {node.name: Ear(node.url) for node in system.pair}
        self._observers = Connections("observer")
        self._clients = Connections()
        self._seen: dict[str, int] = {}
        self._ids: dict[str, str] = {}
        self._scratch = system.base_dir / "outside"

    @property
    def name(self) -> str:
        return self.system.name

    @property
    def primary(self) -> ProgramNode:
        return self.system.pair[0]

    @property
    def replica(self) -> ProgramNode:
        return self.system.pair[1]

    @property
    def ears(self) -> list[Ear]:
        """The primary's, and the replica's."""
        return [self._ears[node.name] for node in self.system.pair]

    def pass_over_events(self, node: ProgramNode, databases: Iterable[str]) -> None:
        """Of a node that was started anew: what it caught up with is no news."""
        txids = {name: txid_of(self.position(name)) for name in databases}
        self._ears[node.name].pass_over(txids)

    @property
    def replica_runs(self) -> bool:
        return bool(self.replica.pid)

    def node(self, role: str) -> ProgramNode:
        return self.replica if role == "replica" else self.primary

    def begin(self, workload: str) -> None:
        """New clients, whose random numbers begin anew."""
        self._clients.close()
        self._clients = Connections(workload)
        self._scratch.mkdir(exist_ok=True)

    def close(self) -> None:
        """End every client and stop listening; the nodes go on."""
        for ear in self._ears.values():
            ear.close()
        self._clients.close()
        self._observers.close()

    def close_clients(self) -> None:
        self._clients.close()

    def observer(self, role: str) -> Driver:
        return self._observers.get(role)

    def forget_observer(self, name: str) -> None:
        """Give up one that hangs; the next time another is started."""
        self._observers.end(name, kill=True)

    # --- steps ---------------------------------------------------------------------------------------

    def perform(self, step: Step) -> Answer:
        """Do one step; `rows`, `text` or `error`, and where a client did it `began` and `ended`."""
        began = time.monotonic()
        do: Callable[..., Answer] = getattr(self, f"_do_{step.verb}")
        answer = do(*step.arguments)
        return {"began": began, "ended": time.monotonic(), **answer}

    def _do_sql(self, connection: str, text: str) -> Answer:
        return self._clients.get(connection).ask("sql", text=text)

    def _do_open(self, connection: str, name: str, place: str, timeout: str) -> Answer:
        folder = self._scratch if place == "outside" else self.node(place.rpartition(" ")[2]).mount
        path = str(folder / name)
        return self._clients.get(connection).ask("open", path=path, timeout=float(timeout or 5))

    def _do_close(self, connection: str) -> Answer:
        answer = self._clients.get(connection).ask("close")
        self._clients.end(connection)
        return answer

    def _do_kill(self, connection: str) -> Answer:
        self._clients.end(connection, kill=True)
        return {"text": "killed"}

    def _do_attach(self, connection: str, name: str) -> Answer:
        path = str(self.primary.mount / name)
        return self._clients.get(connection).ask("sql", text="ATTACH ? AS other", values=[path])

    def _do_touch(self, name: str) -> Answer:
        return self.observer("primary").ask("touch", path=str(self.primary.mount / name))

    def _do_drop(self, name: str) -> Answer:
        return self.observer("primary").ask("unlink", path=str(self.primary.mount / name))

    def _do_copy(self, source: str, name: str) -> Answer:
        path, target = str(self._scratch / source), str(self.primary.mount / name)
        return self.observer("primary").ask("copy", path=path, to=target)

    def _do_export(self, name: str) -> Answer:
        """`pylitefs export`, from each node."""
        return {"text": "; ".join(self._export_command(node, name) for node in self.system.pair)}

    def _export_command(self, node: ProgramNode, name: str) -> str:
        target = self._scratch / f"export-{node.name}"
        said = _pylitefs("export", "-name", name, "-url", node.url, str(target))
        return said or f"{node.role}: {digest(target.read_bytes())}"

    def _do_import(self, source: str, name: str) -> Answer:
        """`pylitefs import`, on the primary."""
        said = _pylitefs("import", "-name", name, "-url", self.primary.url, str(self._scratch / source))
        return {"error": said} if said else {"text": "imported"}

    def _do_restart(self, role: str) -> Answer:
        try:
            self.system.restart(0 if role == "primary" else 1)
        except PylitefsError as error:
            return {"error": f"does not start again: {str(error).partition(chr(10))[0]}"}
        return {"text": "restarted"}

    def _do_wait(self, seconds: str) -> Answer:
        time.sleep(float(seconds))
        return {"text": "waited"}

    def _do_reaped(self, name: str) -> Answer:
        """Wait until retention has left one LTX file on each node."""
        deadline = time.monotonic() + PATIENCE
        while True:
            left = [list(node.ltx_files(name)) for node in self.system.pair]
            if all(len(files) == 1 for files in left) or time.monotonic() > deadline:
                return {"text": f"left: {left}"}
            time.sleep(0.05)

    def _do_http(self, method: str, path: str, role: str) -> Answer:
        return {"text": self._http(method, path, self.node(role))}

    def _http(self, method: str, path: str, node: ProgramNode) -> str:
        """What a node answers, without what must differ."""
        try:
            answer = httpx.request(method, node.url + self._path(path), **PLAIN)
        except httpx.HTTPError as error:
            return type(error).__name__
        kind = answer.headers.get("content-type", "").partition(";")[0]
        ids = sorted(name for name in answer.headers if name.startswith("litefs-"))
        return f"{answer.status_code} {kind} {ids} {self.masked(answer.text)}"

    def _path(self, path: str) -> str:
        """A path as a workload has it; `{n2}` becomes that node's id, the last that it had."""

        def id_of(match: re.Match[str]) -> str:
            for node in self.system.pair:
                with contextlib.suppress(RemoteError):
                    self._ids[node.name] = node.node_id()
            return self._ids.get(match[1], "0" * 16)

        return re.sub(r"\{(n\d)\}", id_of, path)

    def _do_position(self, name: str) -> Answer:
        """`DB-pos` on the primary, with its TXID."""
        return {"text": self.position(name)}

    def _do_probe(self, name: str) -> Answer:
        probes = {f"{probe} on the {role}": self.probe(probe, name, role) for probe, role in _probes()}
        return {"parts": probes}

    def probe(self, probe: str, database: str, role: str) -> str:
        """One attempt at what the mount may refuse: what came of it."""
        mount = str(self.node(role).mount)
        driver = self.observer(role)
        answer = driver.ask("probe", PATIENCE + 5, name=probe, path=mount, database=database)
        if driver.is_silent:
            self._observers.end(role, kill=True)
        return str(answer.get("text", answer.get("error")))

    # --- looking -------------------------------------------------------------------------------------

    def position(self, database: str, role: str = "primary") -> str:
        """What `DB-pos` says on a node, or the errno's name."""
        path = str(self.node(role).mount / f"{database}-pos")
        answer = self.observer(role).ask("read", PATIENCE, path=path)
        return str(answer.get("text", answer.get("error"))).strip()

    def new_ltx(self, database: str) -> list[LtxFacts]:
        """The primary's LTX files that were not there when this was last asked."""
        after = self._seen.get(database, 0)
        found = []
        for name, path in self.primary.ltx_files(database).items():
            span = parse_filename(name)
            if span is not None and span[1] > after:
                found.append(read_facts(path))
                self._seen[database] = span[1]
        return found

    def has_ended(self) -> list[str]:
        """Nodes that do not run any more."""
        return [f"the {node.role} has ended" for node in self.system.pair if not node.pid]

    def export(self, database: str, role: str) -> str:
        """`GET /export` as size and digest, or what it answered instead."""
        try:
            answer = httpx.get(f"{self.node(role).url}/export", params={"name": database}, **PLAIN)
        except httpx.HTTPError as error:
            return "no answer" if isinstance(error, httpx.TimeoutException) else type(error).__name__
        if answer.status_code != httpx.codes.OK:
            return f"{answer.status_code} {answer.text.strip()}"
        return digest(answer.content)

    def masked(self, text: str) -> str:
        """Without what must differ: ids, ports and this machine's paths."""
        text = text.replace(str(self.system.base_dir), "BASE")
        text = re.sub(r"127\.0\.0\.1:\d+", "HOST:PORT", text)
        text = re.sub(r"\b(LFSC)?[0-9A-F]{16}\b", r"\1ID", text)
        with contextlib.suppress(ValueError):
            return json.dumps(json.loads(text), sort_keys=True)
        return text

    def log_since(self, places: dict[str, int]) -> dict[str, str]:
        """What each node logged beyond these places, for people."""
        return {
            node.role: node.log.read_bytes()[places.get(node.role, 0) :].decode(errors="replace")
            for node in self.system.pair
            if node.log.exists()
        }

    def log_places(self) -> dict[str, int]:
        return {node.role: node.log.stat().st_size for node in self.system.pair if node.log.exists()}


def txid_of(position: str) -> int:
    """The TXID of a `-pos` file's text; 0 where there is none."""
    try:
        return int(position.partition("/")[0], 16) if "/" in position else 0
    except ValueError:
        return 0


def digest(data: bytes) -> str:
    """Bytes as their number and the beginning of their SHA-256."""
    return f"{len(data)} bytes {hashlib.sha256(data).hexdigest()[:16]}"


def _probes() -> list[tuple[str, str]]:
    """Each probe on the replica, then on the primary: the last one there drops the database."""
    return [(probe, role) for role in ("replica", "primary") for probe in PROBES]


def _pylitefs(*arguments: str) -> str:
    """Run a command of pylitefs; what it complained of, empty if it did not."""
    try:
        done = subprocess.run(
            python_module("pylitefs", *arguments),
            capture_output=True,
            text=True,
            timeout=6 * PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "no answer"
    return re.sub(r"http://127\.0\.0\.1:\d+", "URL", done.stderr.strip()) if done.returncode else ""
