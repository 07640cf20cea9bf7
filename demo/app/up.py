"""`demo/up --app`: the invoice application on a primary and a replica behind NGINX, without Docker.

    browser --> NGINX --each in turn--> n1: proxy --> app --> mount, the primary
                                    `-> n2: proxy --> app --> mount, the replica (--lag: so much later)

With --failover both are candidates of one lease: once the primary is killed, the other one takes over.

The rule: ordinary processes on loopback, all of them gone after Ctrl-C, also when this one is killed.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue

import click
import front
import httpx

from pylitefs import sample
from pylitefs.cli.feed import EventFeed
from pylitefs.cli.role_lines import RoleTeller
from pylitefs.cluster.cluster import Cluster, ClusterNode, unmount, wait_until
from pylitefs.cluster.ending import ended_by_signals, ignore_signals
from pylitefs.cluster.leased import TTL_S, LeasedCluster
from pylitefs.cluster.ports import free_ports
from pylitefs.config import parse_duration
from pylitefs.errors import PylitefsError
from pylitefs.lecture.live.links import Link

HERE = Path(__file__).resolve().parent
DATABASE = "data.db"
KILL_AFTER_S = 15.0
NODES = ("n1", "n2")
GAP_S = 10.0
"""A write waits so long for a primary: longer than a failover takes."""

#: Runs a program, and ends it when standard input does: NGINX does not notice that its parent is gone.
WATCHED = 'exec 3<&0; "$@" <&- & read -r _ <&3; kill $!; wait'


class Duration(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Demo:
    """The nodes with their applications, and NGINX in front of them."""

    def __init__(self, base: Path, port: int, *, ttl: float = 0.0) -> None:
        """`ttl`: seconds of a lease that changes hands; 0: n1 is the primary for good."""
        self.base = base
        self.proxies = free_ports(2)
        apps = free_ports(2, self.proxies[-1] + 1)
        apis = dict(zip(NODES, free_ports(2, apps[-1] + 1), strict=True))
        self.links = {name: Link(port) for name, port in apis.items()}
        names = "PINS=n1,n2 " if ttl else ""
        settings: dict[str, dict[str, object]] = {
            name: {
                "exec": self._application(base / name / "mnt", f"{names}NODE={name}", app),
                "proxy": {
                    "addr": f"127.0.0.1:{proxy}",
                    "target": f"127.0.0.1:{app}",
                    "db": DATABASE,
                    **({"primary-redirect-timeout": f"{GAP_S:g}s"} if ttl else {}),
                },
            }
            for name, proxy, app in zip(NODES, self.proxies, apps, strict=True)
        }
        self.leased: LeasedCluster | None = None
        if ttl:
            for name in NODES:
                settings[name]["lease"] = {"advertise-url": self.links[name].url}
            self.leased = LeasedCluster(base, 2, ttl=ttl, node_settings=settings)
        else:
            settings["n2"]["lease"] = {"advertise-url": self.links["n1"].url}
        self.cluster: Cluster = self.leased or Cluster(base, 1, node_settings=settings)
        for node, other in zip(self.cluster, reversed(self.proxies), strict=True):
            node.port = apis[node.name]
            node.arguments = ("--proxy-forward", f"http://127.0.0.1:{other}")
        self.port = port
        self.nginx: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @staticmethod
    def _application(mount: Path, more: str, port: int) -> str:
        environment = f"env DATABASE={mount / DATABASE} {more} PYTHONPATH={HERE} PYTHONUNBUFFERED=1"
        return f"{environment} {sys.executable} -P -m hypercorn --bind 127.0.0.1:{port} app:app"

    def start(self, lag_s: float) -> None:
        """Start everything; the page answers when this returns."""
        self.cluster.start()
        sample.create(self.cluster.primary.database(DATABASE))
        self.cluster.wait_synced()
        for link in self.links.values():
            link.delay_ms = round(lag_s * 1000)
        self._start_nginx()
        for port in (*self.proxies, self.port):
            if not wait_until(lambda port=port: _answers(port), 20):  # type: ignore[misc]
                raise PylitefsError(f"nothing answers on 127.0.0.1:{port}; see the logs in {self.base}")

    def _start_nginx(self) -> None:
        directory = self.base / "nginx"
        directory.mkdir()
        primary, replica = (f"127.0.0.1:{port}" for port in self.proxies)
        config = directory / "nginx.conf"
        config.write_text(
            front.config(HERE.parent / "nginx", directory, f"127.0.0.1:{self.port}", [primary], [replica])
        )
        command = ["nginx", "-e", str(directory / "error.log"), "-p", str(directory), "-c", str(config)]
        with (directory / "output").open("wb") as output:
            self.nginx = subprocess.Popen(
                ["sh", "-c", WATCHED, "sh", *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                process_group=0,
            )

    def kill_primary(self) -> None:
        """And its application, as a failing machine would."""
        if self.cluster.primary.pid:
            os.killpg(self.cluster.primary.pid, signal.SIGKILL)
            self.cluster.primary.wait()

    def start_again(self, node: ClusterNode) -> None:
        """A node that was killed, perhaps without its application."""
        end_application(node)
        unmount(node.mount)
        node.start()

    def toggle_primary(self) -> str:
        """Kill the primary, or start it again."""
        node = self.cluster.primary
        if node.pid:
            self.kill_primary()
            return "The primary n1 was killed. Reads go on from n2; a write gets a page that says why not."
        node.restart()
        return "The primary n1 is back, with all that it had acknowledged. Writes are possible again."

    def stop(self) -> None:
        """End everything."""
        if self.nginx and self.nginx.stdin:
            self.nginx.stdin.close()
            self.nginx.wait(10)
        for node in self.cluster:
            if not node.pid:
                end_application(node)
        self.cluster.stop()
        for link in self.links.values():
            link.close()


def end_application(node: ClusterNode) -> None:
    """Of a node that was killed alone: it is in the node's process group."""
    with contextlib.suppress(ProcessLookupError):
        if node.process is not None:
            os.killpg(node.process.pid, signal.SIGKILL)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/node", timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _describe(node: ClusterNode, what: str) -> str:
    return f"  {node.name}, {what:<8} sqlite3 {node.database(DATABASE)}"


@click.command()
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0: any.")
@click.option("--lag", default="0s", type=Duration(), help="How much later the replica hears.")
@click.option("--kill-primary", is_flag=True, help="Kill the primary after 15 seconds, to see what happens.")
@click.option(
    "--failover", is_flag=True, help="The other node becomes the primary once the primary is killed."
)
@click.option("--no-browser", is_flag=True, help="Do not open the page.")
def up(port: int, lag: float, kill_primary: bool, failover: bool, no_browser: bool) -> None:
    """The invoice application on a primary and a replica, behind NGINX, until Ctrl-C."""
    if shutil.which("nginx") is None:
        raise click.ClickException("nginx is not there: install it (apt install nginx-light)")
    if port and free_ports(1, port) != [port]:
        raise click.ClickException(f"port {port} is taken: choose another with --port, or 0 for any")
    with _working_directory() as base, ended_by_signals():
        demo = Demo(base, port or free_ports(1)[0], ttl=TTL_S if failover else 0.0)
        try:
            click.echo("Starting a primary, a replica, their applications and NGINX …")
            demo.start(lag)
            click.echo(f"The invoices: {demo.url}")
            click.echo(_describe(demo.cluster.nodes[0], "primary:"))
            click.echo(_describe(demo.cluster.nodes[1], "replica:"))
            click.echo(_what_to_do(demo))
            if not no_browser:
                webbrowser.open(demo.url)
            _serve(demo, time.monotonic() + KILL_AFTER_S if kill_primary else None)
        except KeyboardInterrupt:
            click.echo("\nStopping …")
        except PylitefsError as error:
            raise click.ClickException(str(error)) from None
        finally:
            ignore_signals()
            demo.stop()


def _serve(demo: Demo, kill_at: float | None) -> None:
    lines: SimpleQueue[str] = SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)

    threading.Thread(target=read, daemon=True).start()
    roles = RoleTeller(demo.leased, DATABASE, kill_lines=False) if demo.leased else None
    feed = EventFeed({node.name: node.url for node in demo.cluster} if roles else {})
    while True:
        event = feed.get(0.1)
        if demo.leased and roles:
            for line in roles.tell(event):
                click.echo(line)
            for node in roles.due(demo.leased.back_after):
                demo.start_again(node)
                click.echo(roles.started_again(node))
        try:
            lines.get_nowait()
        except Empty:
            if kill_at is None or time.monotonic() < kill_at:
                continue
            kill_at = None
        if roles:
            demo.kill_primary()
        else:
            click.echo(demo.toggle_primary())


def _what_to_do(demo: Demo) -> str:
    if demo.leased is None:
        return "Enter kills the primary, Enter again starts it; Ctrl-C ends everything."
    gap, back = f"{demo.leased.longest_gap:g} s", f"{demo.leased.back_after:g} s"
    return (
        f"Enter kills the primary. The other node takes over, within {gap}, and a write waits for it.\n"
        f"The killed one is started again after {back}, and follows. Ctrl-C ends everything."
    )


@contextlib.contextmanager
def _working_directory() -> Iterator[Path]:
    base = Path(tempfile.mkdtemp(prefix="pylitefs-app-")).resolve()
    # NGINX started by root answers as another user, who must be able to read its page.
    base.chmod(0o755)
    try:
        yield base
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    up()
