"""Hosts of a cluster: network namespaces, each with an address of its own, joined by veth pairs and a bridge.

    n1 --veth--+
    n2 --veth--+-- bridge (a namespace of its own) --veth-- lease
    n3 --veth--+                                   --veth-- watch: the test itself

A connection that is cut here breaks as between machines: packets vanish, nobody is told, and what was sent is
sent again once it is whole. The rule: nothing of this machine's own network is touched, and all of it is gone
at the end.
"""

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pylitefs.child_python import python_module
from pylitefs.cluster.cluster import Cluster, ClusterNode, wait_until
from tests.cluster.leased import TTL_S, Leased

_NOBODY = "02:00:00:00:00:01"
"""The hardware address of no host: what is sent there is lost."""
_CLONE_NEWNET = 0x40000000
PORT = 20202


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=20)


def why_not() -> str:
    """Why there can be no hosts here; "" if there can."""
    try:
        _ip("netns", "add", name := f"plf-try-{os.getpid()}")
        _ip("netns", "del", name)
    except FileNotFoundError:
        return "no `ip` here: apt-get install iproute2"
    except subprocess.CalledProcessError as error:
        return f"no network namespaces here: {error.stderr.strip()}"
    return ""


class Hosts:
    """Hosts by name; `watch` is one of them. Made and taken away by `hosts`."""

    def __init__(self, names: Sequence[str]) -> None:
        self._prefix = f"plf{os.getpid() % 10_000}"
        self.addresses = {name: f"10.77.0.{number}" for number, name in enumerate(names, start=1)}
        self._bridge = f"{self._prefix}-bridge"

    def namespace(self, name: str) -> str:
        return f"{self._prefix}-{name}"

    def make(self) -> None:
        _ip("netns", "add", self._bridge)
        _ip("-n", self._bridge, "link", "add", "br0", "type", "bridge")
        _ip("-n", self._bridge, "link", "set", "br0", "up")
        for name, address in self.addresses.items():
            space = self.namespace(name)
            _ip("netns", "add", space)
            pair = ("type", "veth", "peer", "name", f"to-{name}", "netns", self._bridge)
            _ip("-n", space, "link", "add", "eth0", *pair)
            _ip("-n", self._bridge, "link", "set", f"to-{name}", "master", "br0", "up")
            _ip("-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", space, "link", "set", "eth0", "up")
            _ip("-n", space, "link", "set", "lo", "up")

    def remove(self) -> None:
        for space in (*map(self.namespace, self.addresses), self._bridge):
            subprocess.run(["ip", "netns", "del", space], capture_output=True, timeout=20, check=False)

    def lose(self, one: str, other: str) -> None:
        """From now on nothing that one of them sends reaches the other."""
        for sender, receiver in ((one, other), (other, one)):
            words = (self.addresses[receiver], "lladdr", _NOBODY, "dev", "eth0", "nud", "permanent")
            _ip("-n", self.namespace(sender), "neigh", "replace", *words)

    def find(self, one: str, other: str) -> None:
        for sender, receiver in ((one, other), (other, one)):
            _ip("-n", self.namespace(sender), "neigh", "del", self.addresses[receiver], "dev", "eth0")

    def command(self, name: str, command: Sequence[str]) -> list[str]:
        """The command, as it runs on that host."""
        return ["nsenter", f"--net=/run/netns/{self.namespace(name)}", *command]

    def run(self, work: Callable[[], object]) -> None:
        """Do the work on the host `watch`: in a thread, whose children are there, too."""
        failures: list[BaseException] = []

        def enter() -> None:
            try:
                with Path(f"/run/netns/{self.namespace('watch')}").open() as space:
                    if ctypes.CDLL(None, use_errno=True).setns(space.fileno(), _CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                work()
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=enter, name="watch")
        thread.start()
        thread.join()
        if failures:
            raise failures[0]


@contextmanager
def hosts(names: Sequence[str]) -> Iterator[Hosts]:
    made = Hosts(names)
    try:
        made.make()
        yield made
    finally:
        made.remove()


class Way:
    """From one host to others, as `Link` is: it can be cut."""

    def __init__(self, hosts: Hosts, name: str, others: Sequence[str], url: str) -> None:
        self.url = url
        self._hosts, self._name, self._others = hosts, name, others
        self._is_cut = False

    def cut(self) -> None:
        self._is_cut = True
        for other in self._others:
            self._hosts.lose(self._name, other)

    def heal(self) -> None:
        self._is_cut = False
        for other in self._others:
            self._hosts.find(self._name, other)

    def close(self) -> None:
        if self._is_cut:
            self.heal()


class HostNode(ClusterNode):
    """A node on a host of its own, which has its name."""

    hosts: Hosts

    @property
    def url(self) -> str:
        return f"http://{self.hosts.addresses[self.name]}:{self.port}"

    def command(self) -> list[str]:
        return self.hosts.command(self.name, super().command())


class Service:
    """`pylitefs lease-server` on the host `lease`."""

    def __init__(self, hosts: Hosts, directory: Path) -> None:
        address = f"{hosts.addresses['lease']}:8500"
        self.url = f"http://{address}"
        words = ("lease-server", "--addr", address, "--dir", str(directory), "--until-eof")
        command = hosts.command("lease", python_module("pylitefs", *words))
        self._log = directory.with_suffix(".log")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
        assert wait_until(lambda: b"lease service at" in self._log.read_bytes(), 20), self._log.read_text()

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        finally:
            self._process.kill()
            self._process.wait()


class Housed(Leased):
    """A leased cluster whose nodes, and whose lease service, are on hosts of their own."""

    def __init__(self, hosts: Hosts, base: Path, count: int = 2, *, ttl: float = TTL_S, **_: object) -> None:
        base.mkdir(parents=True, exist_ok=True)
        self.hosts = hosts
        self.service = Service(hosts, base / "leases")
        self.cluster = Cluster(base / "nodes", count - 1)
        self.nodes = self.cluster.nodes = [self._node(node) for node in self.cluster]
        names = [node.name for node in self.nodes]
        self.lease_links = {one: Way(hosts, one, ["lease"], self.service.url) for one in names}
        self.api_links = {
            node.name: Way(hosts, node.name, [one for one in names if one != node.name], node.url)
            for node in self.nodes
        }
        self.cluster._node_settings = {
            node.name: {
                **self._settings(node, ttl, {}),
                "http": {"addr": f"{hosts.addresses[node.name]}:{PORT}"},
            }
            for node in self.nodes
        }

    def _node(self, node: ClusterNode) -> HostNode:
        made = HostNode(node.name, node.dir, PORT, node.is_primary)
        made.hosts = self.hosts
        return made
