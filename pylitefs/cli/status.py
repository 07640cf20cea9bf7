"""`pylitefs status`: every node's role, databases, positions and lag, in one table.

The rule: it asks the nodes' HTTP API and touches no mount, so a node that is held at a tracepoint, or
dead, hangs nothing.
"""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pylitefs.cli.nodes import NodeReport, ask_all, nodes_of_cluster, nodes_of_config
from pylitefs.cluster import own_folder
from pylitefs.config import find_config
from pylitefs.errors import ConfigError, PylitefsError
from pylitefs.shown import shown

WATCH_SECONDS = 1.0
WIDTH_IN_FILES = 240
"""Columns where nobody's terminal says how many there are: nothing is cut off in a pipe."""


@click.command(short_help="Show every node's role, databases, positions and lag.")
@click.option("--url", "-url", "urls", multiple=True, help="A node's URL, http://HOST:20202; repeatable.")
@click.option(
    "--config", "-config", "config_path", type=click.Path(path_type=Path), help="The node of this file."
)
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="The demo in this folder.")
@click.option("--watch", is_flag=True, help="Show it again every second, until Ctrl-C.")
def status(urls: tuple[str, ...], config_path: Path | None, directory: Path | None, *, watch: bool) -> int:
    """Show every node's role, databases, positions and lag, and what a primary has still to send.

    Without an option: the nodes of the running demo, or else the node of ./litefs.yml, ~/litefs.yml or
    /etc/litefs.yml and its primary. The exit code is 1 if a node did not answer.
    """
    nodes, token = _choose(urls, config_path, directory)
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH_IN_FILES
    if watch:
        with contextlib.suppress(KeyboardInterrupt):
            _watch(console, lambda: page(ask_all(nodes, token)))
        return 0
    reports = ask_all(nodes, token)
    console.print(page(reports))
    for report in reports:
        if report.error or report.disk:
            click.echo(shown(f"{report.name}: {report.error or report.disk}"), err=True)
        for name, why in sorted(report.backup.items()):
            click.echo(shown(f"{report.name}: backup{f' of {name}' * bool(name)}: {why}"), err=True)
        for name, why in sorted(report.set_aside.items()):
            click.echo(shown(f"{report.name}: {name} is set aside: {why}"), err=True)
    return int(any(report.error for report in reports))


def _choose(
    urls: Sequence[str], config_path: Path | None, directory: Path | None
) -> tuple[Mapping[str, str], str]:
    """Name → URL, and the token that a config file has for them."""
    if urls:
        return {url.removeprefix("http://"): url.rstrip("/") for url in urls}, ""
    if config_path:
        return nodes_of_config(config_path)
    if directory:
        return nodes_of_cluster(directory), ""
    demos = own_folder.demos()
    if len(demos) > 1:
        names = ", ".join(map(str, demos))
        raise PylitefsError(f"there is more than one demo: name it with --dir: {names}")
    if demos:
        return nodes_of_cluster(demos[0]), ""
    try:
        return nodes_of_config(find_config())
    except ConfigError as error:
        raise PylitefsError(
            f"no demo is running, and {error}, a node with --url, or a demo's folder with --dir"
        ) from None


def _watch(console: Console, make: Callable[[], Group]) -> None:
    """In place on a terminal, one table after the other in a pipe."""
    with contextlib.ExitStack() as stack:
        show: Callable[[Group], None] = console.print
        if console.is_terminal:
            live = stack.enter_context(Live(console=console, auto_refresh=False, screen=True))
            show = partial(live.update, refresh=True)
        while True:
            show(make())
            time.sleep(WATCH_SECONDS)


def table(reports: Sequence[NodeReport]) -> Table:
    """A row for each database of each node; what is behind the primary is marked."""
    newest: dict[str, int] = {}
    for report in reports:
        for name, facts in report.databases.items():
            newest[name] = max(newest.get(name, 0), facts.pos.txid)
    late = any(newest[name] > facts.pos.txid for one in reports for name, facts in one.databases.items())
    found = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("node", "role", "lag", "database", "pages", "position (TXID/checksum)"):
        found.add_column(column, no_wrap=True, justify="right" if column == "pages" else "left")
    if late:
        found.add_column("TXIDs behind", no_wrap=True, justify="right", style="bold red")
    for report in reports:
        lead = (report.name, report.role, report.lag)
        for name, facts in sorted(report.databases.items()):
            behind = newest[name] - facts.pos.txid
            pages = f"{facts.pages:,}" if facts.exists else "dropped"
            row = (*lead, name, pages, str(facts.pos))
            found.add_row(*_as_text(*row, *([f"{behind:,}"] if behind else [])))
            lead = ("", "", "")
        for name in sorted(report.set_aside):
            found.add_row(*_as_text(*lead, name, "", "set aside: not served"))
            lead = ("", "", "")
        if not report.databases and not report.set_aside:
            found.add_row(*_as_text(*lead, "" if report.error else "(none)"))
    return found


def page(reports: Sequence[NodeReport]) -> Group:
    """The table; below it a line for each replica and database that waits for its primary to send, for each
    HALT lock, for each backup, who has the lease, and which roles each node has had."""
    names = {report.node_id: report.name for report in reports if report.node_id}
    lines = [shown(one.told(names)) for report in reports for one in report.behind]
    halts = [
        shown(f"{names.get(by, by) or 'somebody'} has the HALT lock of {name}: {report.name} waits")
        for report in reports
        for name, by in sorted(report.halted.items())
    ]
    backups = [shown(f"{report.name} {report.backup_told}") for report in reports if report.backup_told]
    roles = [shown(text) for one in reports if (text := one.roles_told)]
    leases = [shown(text) for one in reports if (text := one.lease_told)]
    if not leases and any(one.lease_ttl for one in reports):
        leases = ["nobody here has the lease"]
    rest = map(Text, (*halts, *backups, *leases, *roles))
    return Group(table(reports), *(Text(line, style="bold red") for line in lines), *rest)


def _as_text(*cells: str) -> list[Text]:
    """A name is not rich's markup, and does not steer the terminal."""
    return [Text(shown(cell)) for cell in cells]
