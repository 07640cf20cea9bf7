"""`pylitefs lease-server`: a lease service for the nodes of one machine, in place of a Consul.

The rule: it answers where the config's `lease.consul.url` points, to pylitefs and to LiteFS alike, and what
it has said is durable. It ends with Ctrl-C, SIGTERM, or (`--until-eof`) with its standard input.
"""

import os
import queue
import signal
import threading
from pathlib import Path

import click

from pylitefs.config.model import split_address
from pylitefs.errors import ConfigError
from pylitefs.signals import handled


@click.command(
    "lease-server", short_help="Run a lease service that speaks the part of Consul's API LiteFS uses."
)
@click.option("--addr", "-addr", default="127.0.0.1:8500", show_default=True, help="Where it listens.")
@click.option(
    "--dir",
    "-dir",
    "directory",
    type=click.Path(path_type=Path),
    default=Path("leases"),
    show_default=True,
    help="Where it keeps what it has said; made if it is missing.",
)
@click.option("--token", default="", envvar="PYLITEFS_LEASE_TOKEN", help="What nodes show (X-Consul-Token).")
@click.option("--until-eof", is_flag=True, help="End when standard input does: for what starts it.")
def lease_server(*, addr: str, directory: Path, token: str, until_eof: bool) -> int:
    """Keep the lease of a cluster on this machine, for demos, tests and lectures.

    Nodes write `lease: {type: consul, consul: {url: "http://127.0.0.1:8500", key: NAME}}`. It is one process
    on one disk: while it is away, the primary goes on until its lease ends, and then nobody writes. Beyond
    one machine use a real Consul.
    """
    from pylitefs.http.lease_server import LeaseServer

    try:
        bind = split_address(addr, "127.0.0.1:8500")
    except ValueError as error:
        raise ConfigError(f"--addr {addr!r} is {error}") from None
    ending: queue.SimpleQueue[None] = queue.SimpleQueue()
    with handled((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), lambda number, frame: ending.put(None)):
        server = LeaseServer(directory, bind, token=token)
        server.start()
        click.echo(f"lease service at {addr}, kept in {directory}")
        if until_eof:
            threading.Thread(target=_end_with_stdin, args=(ending,), daemon=True).start()
        ending.get()
        server.stop()
    return 0


def _end_with_stdin(ending: "queue.SimpleQueue[None]") -> None:
    while os.read(0, 4096):
        pass
    ending.put(None)
