"""`pylitefs demo`: a primary and replicas on this machine, a sample database, a line for every transaction;
with `--failover` candidates of one lease instead, and a line for every change of role.

The rule: Ctrl-C (or a kill) leaves nothing mounted, nothing running and, without --keep, no files; and
nothing is ever deleted that this demo did not make. Its folder is the user's own (cluster/own_folder.py).
"""

import contextlib
import fcntl
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Set
from pathlib import Path

import click

from pylitefs import sample
from pylitefs.cli import role_lines
from pylitefs.cli.demo_lines import Teller, count, introduction, program
from pylitefs.cli.feed import EventFeed, NodeEvent
from pylitefs.cli.role_lines import RoleTeller
from pylitefs.cluster import own_folder
from pylitefs.cluster.cluster import Cluster, ClusterError, is_mounted, unmount
from pylitefs.cluster.ending import ended_by_signals, ignore_signals
from pylitefs.cluster.leased import FOLDER as LEASES
from pylitefs.cluster.leased import TTL_S, LeasedCluster
from pylitefs.config import parse_duration
from pylitefs.errors import PylitefsError

FIRST_PORT = 20202
DATABASE = "sample.db"
CONNECT_SECONDS = 10.0
SHORTEST_TTL_S, LONGEST_TTL_S = 1.0, 60.0


@click.command(short_help="Start a primary and replicas here and watch every transaction.")
@click.option("--replicas", default=2, show_default=True, type=click.IntRange(0, 50), help="How many.")
@click.option(
    "--dir", "directory", type=click.Path(path_type=Path), help="Where; else a new folder of your own."
)
@click.option("--keep", is_flag=True, help="Leave the files; a demo with --dir there goes on.")
@click.option("--failover", is_flag=True, help="Another node becomes the primary once the primary is killed.")
@click.option(
    "--ttl", default=f"{TTL_S:g}s", show_default=True, help="With --failover: how long a lease lasts."
)
def demo(*, replicas: int, directory: Path | None, keep: bool, failover: bool, ttl: str) -> None:
    """Start a primary and its replicas on this machine, with a sample database, until Ctrl-C.

    Each node is a process of its own with a mount of its own. Every transaction is told in one line:
    database, TXID, pages, bytes of its LTX file, and when each replica had it, after the primary.

    With --failover all nodes are candidates of one lease. Kill the primary by the line that is printed, and
    see another take over; the killed node is started again after a while.
    """
    seconds = _lease_seconds(ttl)
    if failover and not replicas:
        raise click.UsageError("--failover needs a second node: --replicas 1, or more")
    with _claimed(directory, keep=keep) as base, ended_by_signals():
        if failover:
            cluster: Cluster = LeasedCluster(base, replicas + 1, ttl=seconds, first_port=FIRST_PORT)
            what = f"{count(replicas + 1, 'candidate')} of one lease"
        else:
            cluster = Cluster(base, replicas, first_port=FIRST_PORT)
            what = f"a primary and {count(replicas, 'replica')}"
        try:
            click.echo(f"Starting {what} in {base} …")
            cluster.start()
            _watch(cluster)
        except KeyboardInterrupt:
            click.echo("\nStopping …")
        finally:
            # A second Ctrl-C must not leave half of it behind.
            ignore_signals()
            cluster.stop()


def _lease_seconds(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--ttl") from None
    if not SHORTEST_TTL_S <= seconds <= LONGEST_TTL_S:
        raise click.BadParameter(f"{SHORTEST_TTL_S:g}s to {LONGEST_TTL_S:g}s", param_hint="--ttl")
    return seconds


def _watch(cluster: Cluster) -> None:
    """Listen to every node, make the sample database, and print lines until Ctrl-C."""
    feed = EventFeed({node.name: node.url for node in cluster})
    leased = cluster if isinstance(cluster, LeasedCluster) else None
    teller = Teller(cluster, ends=leased is None)
    roles = Roles(leased) if leased else None
    try:
        _wait_for_all(feed, cluster)
        options = "" if own_folder.demos() == [cluster.base_dir] else f" --dir {cluster.base_dir}"
        click.echo(introduction(cluster, DATABASE, options, roles.invitation if roles else ""))
        _make_sample(cluster)
        while True:
            event = feed.get(0.1)
            if roles:
                roles.look(event)
            for line in teller.tell(event):
                click.echo(line)
    finally:
        feed.close()


class Roles:
    """The changes of role in a cluster: told, and a node that was killed is started again."""

    def __init__(self, cluster: LeasedCluster) -> None:
        self._teller = RoleTeller(cluster, DATABASE)
        self._back_after = cluster.back_after
        self.invitation = role_lines.invitation(cluster, program())

    def look(self, event: NodeEvent | None) -> None:
        for line in self._teller.tell(event):
            click.echo(line)
        for node in self._teller.due(self._back_after):
            unmount(node.mount)
            node.start()
            click.echo(self._teller.started_again(node))


def _wait_for_all(feed: EventFeed, cluster: Cluster) -> None:
    """Each node's first event says that it is listened to: nothing is missed from then on."""
    silent = {node.name for node in cluster}
    deadline = time.monotonic() + CONNECT_SECONDS
    while silent:
        event = feed.get(0.1)
        if event:
            silent.discard(event.node)
        if time.monotonic() > deadline:
            raise ClusterError(f"no events from {', '.join(sorted(silent))} in {CONNECT_SECONDS:.0f} s")


def _make_sample(cluster: Cluster) -> None:
    path = cluster.primary.database(DATABASE)
    if path.exists():
        click.echo(f"{DATABASE} is from an earlier demo here and goes on.")
        return
    try:
        sample.create(path)
    except sqlite3.Error as error:
        log = cluster.primary.log_tail()
        raise ClusterError(f"{DATABASE} could not be made: {error}; the primary's log:\n{log}") from None


@contextlib.contextmanager
def _claimed(directory: Path | None, *, keep: bool) -> Iterator[Path]:
    """A folder to oneself; at the end what this demo made in it is removed, unless it is to be kept."""
    is_new = directory is None or not os.path.lexists(directory)
    base = own_folder.claimed(directory) if directory else own_folder.fresh()
    before = {base / ".lock", base / "cluster.json", base / LEASES, *base.glob("n[0-9]*")}
    own_folder.check_below(before)
    before = {path for path in before if os.path.lexists(path)}
    try:
        lock = os.open(base / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise PylitefsError(f"{base}: {error.strerror}; name another folder with --dir") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise PylitefsError(f"a demo is running in {base} already; name another folder with --dir") from None
    try:
        for folder in base.glob("n[0-9]*"):
            own_folder.check_below(folder / name for name in ("litefs.yml", "log", "data", "mnt"))
            if not (folder / "litefs.yml").exists():
                raise PylitefsError(f"{folder} is not a demo's; name another folder with --dir")
        try:
            yield base
        finally:
            if not keep:
                _remove(base, before, whole=is_new)
    finally:
        os.close(lock)


def _remove(base: Path, before: Set[Path], *, whole: bool) -> None:
    """What was there before stays: another run made it."""
    for folder in sorted(base.glob("n[0-9]*")):
        # Through a mount that is still there the deletion would drop its databases, everywhere.
        if is_mounted(folder / "mnt"):
            click.echo(f"{folder / 'mnt'} is still mounted, so {folder} stays", err=True)
        elif folder in before:
            click.echo(f"{folder} is from an earlier demo and stays")
        else:
            shutil.rmtree(folder)
    if base / LEASES not in before:
        shutil.rmtree(base / LEASES, ignore_errors=True)
    for file in ("cluster.json", ".lock"):
        (base / file).unlink(missing_ok=True)
    if whole:
        with contextlib.suppress(OSError):
            base.rmdir()
