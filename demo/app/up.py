"""`demo/up --app`: the invoice application on a primary and a replica behind NGINX, without Docker.

    browser --> NGINX --each in turn--> n1: proxy --> app --> mount, the primary
                                    `-> n2: proxy --> app --> mount, the replica (--lag: so much later)

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
from pylitefs.cluster.cluster import Cluster, ClusterNode, wait_until
from pylitefs.cluster.ending import ended_by_signals, ignore_signals
from pylitefs.cluster.ports import free_ports
from pylitefs.config import parse_duration
from pylitefs.errors import PylitefsError
from pylitefs.lecture.live.links import Link

HERE = Path(__file__).resolve().parent
DATABASE = "data.db"
KILL_AFTER_S = 15.0

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

    def __init__(self, base: Path, port: int) -> None:
        self.base = base
        self.proxies = free_ports(2)
        apps = free_ports(2, self.proxies[-1] + 1)
        nodes, (self._api,) = ("n1", "n2"), free_ports(1, apps[-1] + 1)
        self.link = Link(self._api)
        settings = {
            name: {
                "exec": self._application(base / name / "mnt", name, app),
                "proxy": {"addr": f"127.0.0.1:{proxy}", "target": f"127.0.0.1:{app}", "db": DATABASE},
            }
            for name, proxy, app in zip(nodes, self.proxies, apps, strict=True)
        }
        settings["n2"]["lease"] = {"advertise-url": self.link.url}
        self.cluster = Cluster(base, 1, node_settings=settings)
        self.cluster.primary.port = self._api
        self.port = port
        self.nginx: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @staticmethod
    def _application(mount: Path, name: str, port: int) -> str:
        environment = f"env DATABASE={mount / DATABASE} NODE={name} PYTHONPATH={HERE} PYTHONUNBUFFERED=1"
        return f"{environment} {sys.executable} -P -m hypercorn --bind 127.0.0.1:{port} app:app"

    def start(self, lag_s: float) -> None:
        """Start everything; the page answers when this returns."""
        os.environ["PYLITEFS_PROXY_FORWARD"] = f"http://127.0.0.1:{self.proxies[0]}"
        self.cluster.start()
        sample.create(self.cluster.primary.database(DATABASE))
        self.cluster.wait_synced()
        self.link.delay_ms = round(lag_s * 1000)
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

    def toggle_primary(self) -> str:
        """Kill the primary and its application as a failing machine would, or start it again."""
        node = self.cluster.primary
        if node.pid:
            os.killpg(node.pid, signal.SIGKILL)
            node.wait()
            return "The primary n1 was killed. Reads go on from n2; a write gets a page that says why not."
        node.restart()
        return "The primary n1 is back, with all that it had acknowledged. Writes are possible again."

    def stop(self) -> None:
        """End everything."""
        if self.nginx and self.nginx.stdin:
            self.nginx.stdin.close()
            self.nginx.wait(10)
        self.cluster.stop()
        self.link.close()


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
@click.option("--no-browser", is_flag=True, help="Do not open the page.")
def up(port: int, lag: float, kill_primary: bool, no_browser: bool) -> None:
    """The invoice application on a primary and a replica, behind NGINX, until Ctrl-C."""
    if shutil.which("nginx") is None:
        raise click.ClickException("nginx is not there: install it (apt install nginx-light)")
    if port and free_ports(1, port) != [port]:
        raise click.ClickException(f"port {port} is taken: choose another with --port, or 0 for any")
    with _working_directory() as base, ended_by_signals():
        demo = Demo(base, port or free_ports(1)[0])
        try:
            click.echo("Starting a primary, a replica, their applications and NGINX …")
            demo.start(lag)
            click.echo(f"The invoices: {demo.url}")
            click.echo(_describe(demo.cluster.nodes[0], "primary:"))
            click.echo(_describe(demo.cluster.nodes[1], "replica:"))
            click.echo("Enter kills the primary, Enter again starts it; Ctrl-C ends everything.")
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
    while True:
        try:
            lines.get(timeout=0.2)
        except Empty:
            if kill_at is None or time.monotonic() < kill_at:
                continue
            kill_at = None
        click.echo(demo.toggle_primary())


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
