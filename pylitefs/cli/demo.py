"""`pylitefs demo`: a primary and replicas on this machine, a sample database, a line for every transaction.

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
from pylitefs.cli.demo_lines import Teller, count, introduction
from pylitefs.cli.feed import EventFeed
from pylitefs.cluster import own_folder
from pylitefs.cluster.cluster import Cluster, ClusterError, is_mounted
from pylitefs.cluster.ending import ended_by_signals, ignore_signals
from pylitefs.errors import PylitefsError

FIRST_PORT = 20202
DATABASE = "sample.db"
CONNECT_SECONDS = 10.0


@click.command(short_help="Start a primary and replicas here and watch every transaction.")
@click.option("--replicas", default=2, show_default=True, type=click.IntRange(0, 50), help="How many.")
@click.option(
    "--dir", "directory", type=click.Path(path_type=Path), help="Where; else a new folder of your own."
)
@click.option("--keep", is_flag=True, help="Leave the files; a demo with --dir there goes on.")
def demo(replicas: int, directory: Path | None, keep: bool) -> None:
    """Start a primary and its replicas on this machine, with a sample database, until Ctrl-C.

    Each node is a process of its own with a mount of its own. Every transaction is told in one line:
    database, TXID, pages, bytes of its LTX file, and when each replica had it, after the primary.
    """
    with _claimed(directory, keep=keep) as base, ended_by_signals():
        cluster = Cluster(base, replicas, first_port=FIRST_PORT)
        try:
            click.echo(f"Starting a primary and {count(replicas, 'replica')} in {base} …")
            cluster.start()
            _watch(cluster)
        except KeyboardInterrupt:
            click.echo("\nStopping …")
        finally:
            # A second Ctrl-C must not leave half of it behind.
            ignore_signals()
            cluster.stop()


def _watch(cluster: Cluster) -> None:
    """Listen to every node, make the sample database, and print lines until Ctrl-C."""
    feed = EventFeed({node.name: node.url for node in cluster})
    teller = Teller(cluster)
    try:
        _wait_for_all(feed, cluster)
        options = "" if own_folder.demos() == [cluster.base_dir] else f" --dir {cluster.base_dir}"
        click.echo(introduction(cluster, DATABASE, options))
        _make_sample(cluster)
        while True:
            for line in teller.tell(feed.get(0.1)):
                click.echo(line)
    finally:
        feed.close()


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
    before = {base / ".lock", base / "cluster.json", *base.glob("n[0-9]*")}
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
    for file in ("cluster.json", ".lock"):
        (base / file).unlink(missing_ok=True)
    if whole:
        with contextlib.suppress(OSError):
            base.rmdir()
