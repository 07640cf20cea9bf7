"""Several nodes on this machine, each `pylitefs mount` in a process of its own, for demos and tests.

The rule: a cluster leaves nothing behind. Each node ends when its standard input does, so that a
killed parent takes its nodes along; `stop()` asks, then kills, then detaches what is still mounted.
Nodes are in process groups of their own: the terminal's Ctrl-C reaches the parent alone.

    base/cluster.json          who is there: read by `pylitefs status`
    base/n1/litefs.yml         the primary's config; n2, n3 … are replicas
    base/n1/data, base/n1/mnt  data directory and mount
    base/n1/log                what the node printed
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import yaml

from pylitefs.child_python import python_module
from pylitefs.cluster.nursery import ForkedProcess, Nursery
from pylitefs.cluster.ports import free_ports
from pylitefs.control import CONTROL_FD
from pylitefs.control.channel import Control
from pylitefs.errors import PylitefsError, RemoteError
from pylitefs.http import client
from pylitefs.ltx.position import Pos
from pylitefs.mount import mountinfo
from pylitefs.mount.session import detach

START_SECONDS = 30.0
STOP_SECONDS = 10.0
ABORT_SECONDS = 2.0
LOG_TAIL_LINES = 15

#: Sections of litefs.yml, merged over what the cluster writes: {"data": {"compress": False}}.
Settings = Mapping[str, object]


class ClusterError(PylitefsError):
    """A node did not come up or did not end; the text has the end of its log."""


def wait_until(condition: Callable[[], bool], seconds: float, every: float = 0.02) -> bool:
    """Poll `condition` until it holds; False if it still does not after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def is_mounted(path: Path) -> bool:
    """Whether something, alive or dead, is mounted at `path`; never hangs."""
    return mountinfo.find(path) is not None


def unmount(path: Path) -> None:
    """Take away whatever is mounted at `path`; a killed node leaves a mount that answers ENOTCONN."""
    while is_mounted(path):
        detach(path)


def node_facts(url: str, seconds: float = 5.0, *, token: str = "") -> dict[str, Any]:
    """A node's `/debug/vars`: `ready`, `lagMs`, `databases` and more. Raises RemoteError; never hangs."""
    try:
        # Without TLS, reading the certificates of the world would be most of the work.
        secure = url.startswith("https:")
        answer = httpx.get(
            f"{url}/debug/vars",
            timeout=seconds,
            trust_env=False,
            verify=secure,
            headers=client.shown_token(token),
        )
        facts = client.checked(answer, url).json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise RemoteError(f"{url}: {error or type(error).__name__}") from None
    return facts if isinstance(facts, dict) else {}


@dataclass
class ClusterNode:
    """One node: where its files are, and its process while it runs."""

    name: str
    dir: Path
    port: int
    is_primary: bool
    controlled: bool = False
    """Whether the node gets a control channel: then `control.gate(…)` holds it at a tracepoint."""
    arguments: tuple[str, ...] = ()
    """What `pylitefs mount` gets beside its config, at each start."""
    prepare: Callable[[Control], None] = field(default=lambda control: None, repr=False)
    """Called with each new control channel, before the process is there: `Control.ahead` is for this."""
    control: Control | None = field(default=None, repr=False)
    nursery: Nursery | None = field(default=None, repr=False)
    """Where the process comes from, if it is not to be loaded anew at each start."""
    process: "subprocess.Popen[bytes] | ForkedProcess | None" = field(default=None, repr=False)
    _told: object = field(default=None, repr=False)

    @property
    def mount(self) -> Path:
        return self.dir / "mnt"

    @property
    def data(self) -> Path:
        return self.dir / "data"

    @property
    def config(self) -> Path:
        return self.dir / "litefs.yml"

    @property
    def log(self) -> Path:
        return self.dir / "log"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id; 0 when it is not running."""
        return self.process.pid if self.process and self.process.poll() is None else 0

    def database(self, name: str) -> Path:
        """The path of a database on this node's mount."""
        return self.mount / name

    def command(self) -> list[str]:
        """What is run: a node that ends with its standard input."""
        return python_module("pylitefs", *self._mount_arguments())

    def _mount_arguments(self, more: Sequence[str] = ()) -> list[str]:
        return ["mount", "-config", str(self.config), "--until-eof", *self.arguments, *more]

    def start(self, arguments: Sequence[str] = ()) -> None:
        """Start the process; `wait_ready` tells when it serves. `arguments` go to `pylitefs mount` too."""
        self._close()
        descriptors = {}
        if self.controlled:
            self.control = Control()
            self.prepare(self.control)
            descriptors[CONTROL_FD] = self.control.fd_for_node
        with self.log.open("ab") as log:
            if self.nursery is not None:
                mount = self._mount_arguments(arguments)
                self.process = self.nursery.launch(mount, self.dir, log, {}, descriptors)
            else:
                numbers = {name: str(fd) for name, fd in descriptors.items()}
                self.process = subprocess.Popen(
                    [*self.command(), *arguments],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self.dir,
                    env={**os.environ, "PYTHONFAULTHANDLER": "1", **numbers},
                    pass_fds=tuple(descriptors.values()),
                    process_group=0,
                )
        if self.control:
            self.control.close_child()

    def _close(self) -> None:
        """Close our ends of the node's channels; a control channel that closes opens every gate."""
        if self.control:
            self.control.close()
            self.control = None
        if self.process and self.process.stdin:
            self.process.stdin.close()

    def is_ready(self) -> bool:
        """Mounted, answering, and (a replica) caught up once. Raises ClusterError if it ended."""
        if not self.pid:
            code = self.process.returncode if self.process else None
            raise ClusterError(f"node {self.name} ended with exit code {code}:\n{self.log_tail()}")
        if not is_mounted(self.mount):
            return False
        try:
            return bool(node_facts(self.url).get("ready"))
        except RemoteError:
            return False

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        """Wait until the node serves. Raises ClusterError with the end of its log if it does not."""
        if not wait_until(self.is_ready, seconds):
            raise ClusterError(f"node {self.name} is not ready after {seconds:.0f} s:\n{self.log_tail()}")

    def positions(self) -> dict[str, Pos]:
        """Each database's position, as the node's API tells it. Raises RemoteError."""
        return {name: facts.pos for name, facts in client.databases(self.url).items()}

    def signal(self, number: int) -> None:
        if self.pid and self.process:
            self.process.send_signal(number)

    def wait(self, seconds: float = STOP_SECONDS) -> int | None:
        """The process's exit code, or None if it still runs after `seconds`."""
        if self.process is None:
            return None
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def tell_to_end(self) -> None:
        """SIGTERM, once: a second one can meet a Python that has put the default back, and kill it. One that
        was stopped (SIGSTOP) goes on, or it would not hear."""
        if self._told is not self.process:
            self._told = self.process
            self.signal(signal.SIGTERM)
            self.signal(signal.SIGCONT)

    def stop(self, seconds: float = STOP_SECONDS) -> int | None:
        """End it, by force if need be; nothing is mounted afterwards. The exit code (negative: the signal).

        A node that does not end by itself leaves every thread's stack in its log.
        """
        self.tell_to_end()
        self._close()
        code = self.wait(seconds)
        if code is None:
            self.signal(signal.SIGABRT)
            code = self.wait(ABORT_SECONDS)
        if code is None:
            self.kill9()
            code = self.wait(seconds)
        unmount(self.mount)
        return code

    def kill9(self) -> None:
        """Kill the process as a crash would; its dead mount stays, as after a real crash."""
        self.signal(signal.SIGKILL)
        self.wait()

    def restart(self, seconds: float = START_SECONDS) -> None:
        """Start again on the same files and port (after `kill9`, over the dead mount) and wait for it."""
        if self.pid:
            self.stop()
        self.start()
        self.wait_ready(seconds)

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(f"  {line}" for line in text.splitlines()[-lines:])


class Cluster:
    """A primary `n1` and `replicas` replicas under `base_dir`, with a static lease.

    `settings` are merged over every node's litefs.yml, `node_settings` over those of the node named.
    Ports are free ones from `first_port` on. `controlled` gives every node a control channel. Nodes are
    forked from a `nursery`, where one is given. As a context manager it starts and stops them all.
    """

    def __init__(
        self,
        base_dir: Path,
        replicas: int = 2,
        *,
        settings: Settings | None = None,
        node_settings: Mapping[str, Settings] | None = None,
        first_port: int | None = None,
        controlled: bool = False,
        nursery: Nursery | None = None,
    ) -> None:
        self.base_dir = base_dir.resolve()
        self._settings = settings or {}
        self._node_settings = node_settings or {}
        self.nodes = [
            ClusterNode(f"n{n}", self.base_dir / f"n{n}", port, is_primary=n == 1, controlled=controlled)
            for n, port in enumerate(free_ports(replicas + 1, first_port), start=1)
        ]
        for node in self.nodes:
            node.nursery = nursery

    @property
    def primary(self) -> ClusterNode:
        return self.nodes[0]

    @property
    def replicas(self) -> list[ClusterNode]:
        return self.nodes[1:]

    @property
    def manifest(self) -> Path:
        return self.base_dir / "cluster.json"

    def start(self, seconds: float = START_SECONDS) -> None:
        """Start every node and wait for all. On a failure stops them and raises ClusterError."""
        try:
            for node in self.nodes:
                node.dir.mkdir(parents=True, exist_ok=True)
                unmount(node.mount)
                self.write_config(node)
                node.log.write_bytes(b"")
            self.manifest.write_text(json.dumps(self.description(), indent=2) + "\n")
            self.launch(seconds)
        except BaseException:
            self.stop()
            raise

    def launch(self, seconds: float) -> None:
        """Start the processes, and wait for each."""
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_ready(seconds)

    def stop(self, seconds: float = STOP_SECONDS) -> dict[str, int | None]:
        """Stop every node, together; their exit codes by name."""
        for node in self.nodes:
            node.tell_to_end()
        return {node.name: node.stop(seconds) for node in self.nodes}

    def wait_synced(self, seconds: float = 10.0) -> None:
        """Wait until every replica has the primary's positions. Raises ClusterError saying who has what."""
        wanted = self.primary.positions()
        if not wait_until(lambda: all(node.positions() == wanted for node in self.replicas), seconds):
            lines = [
                f"{node.name}: {', '.join(f'{k} {v}' for k, v in node.positions().items())}" for node in self
            ]
            raise ClusterError("the replicas do not reach the primary:\n" + "\n".join(lines))

    def write_config(self, node: ClusterNode) -> None:
        """Write the node's litefs.yml; it goes by it from its next start on."""
        node.config.write_text(yaml.safe_dump(self.config_of(node), sort_keys=False))

    def config_of(self, node: ClusterNode) -> dict[str, object]:
        """What goes into the node's litefs.yml."""
        config: dict[str, object] = {
            "fuse": {"dir": str(node.mount)},
            "data": {"dir": str(node.data)},
            "http": {"addr": f"127.0.0.1:{node.port}"},
            "lease": self.lease_of(node),
            "log": {"timestamp": True},
        }
        return _merge(_merge(config, self._settings), self._node_settings.get(node.name, {}))

    def lease_of(self, node: ClusterNode) -> dict[str, object]:
        """The lease in the node's litefs.yml."""
        return {
            "type": "static",
            "hostname": self.primary.name,
            "advertise-url": self.primary.url,
            "candidate": node.is_primary,
        }

    def description(self) -> dict[str, object]:
        """What cluster.json says: the parent's process id, and each node's name, URL, mount and data."""
        return {
            "pid": os.getpid(),
            "nodes": [
                {"name": node.name, "url": node.url, "mount": str(node.mount), "data": str(node.data)}
                for node in self.nodes
            ],
        }

    def __iter__(self) -> Iterator[ClusterNode]:
        return iter(self.nodes)

    def __enter__(self) -> "Cluster":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _merge(base: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    merged = dict(base)
    for key, value in over.items():
        mine = merged.get(key)
        merged[key] = _merge(mine, value) if isinstance(mine, dict) and isinstance(value, Mapping) else value
    return merged
