"""`pylitefs run`: a command that starts only where, and once, a node is what the command needs.

The rule: the command takes this process's place, so that its exit code, its signals and its terminal are its
own. (LiteFS answers 1 for whatever the command said.) With a HALT lock it runs beside (halted_command.py).
"""

import os
import time

import click

from pylitefs.cli.halted_command import run_halted
from pylitefs.errors import PylitefsError
from pylitefs.http import client

PROMOTED_S = 10.0
"""A node answers a promotion before it is the primary; so long it may take to be."""
_EVERY_S = 0.05


@click.command(short_help="Run a command on a candidate, or on the primary.")
@click.option("--url", "-url", default=client.DEFAULT_URL, show_default=True, help="The node's API.")
@click.option("--promote", "-promote", is_flag=True, help="Make the node the primary first.")
@click.option(
    "--if-candidate", "-if-candidate", is_flag=True, help="Run nothing, and exit with 0, if it cannot be one."
)
@click.option(
    "--with-halt-lock-on",
    "-with-halt-lock-on",
    metavar="PATH",
    default="",
    help="Hold the HALT lock of the database at PATH meanwhile: CMD may write it on a replica.",
)
@click.option("-v", "verbose", is_flag=True, help="Say what is done before the command.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
def run(
    *,
    url: str,
    promote: bool,
    if_candidate: bool,
    with_halt_lock_on: str,
    verbose: bool,
    command: tuple[str, ...],
) -> int | None:
    """Run COMMAND, given after `--`, in this process's place.

    With -if-candidate only if the node at -url may become the primary; with -promote once it is the primary.
    With -with-halt-lock-on beside this process, which gives the lock back at its end.
    """

    def say(text: str) -> None:
        if verbose:
            click.echo(text, err=True)

    if promote and with_halt_lock_on:
        raise PylitefsError("cannot specify both -promote & -with-halt-lock-on")
    if if_candidate or promote:
        say("fetching node metadata")
        info = client.info(url)
        if if_candidate and not info.candidate:
            click.echo("node is not a candidate, skipping execution", err=True)
            return None
        if info.is_primary:
            say("node is already primary, skipping promotion" if promote else "node is the primary")
        elif promote:
            say("promoting node to primary")
            client.promote(url, wait=PROMOTED_S)
            _wait_for_primary(url)
            say("promotion successful")
    if with_halt_lock_on:
        return run_halted(with_halt_lock_on, command, say)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise PylitefsError(f"{command[0]} cannot be run: {error.strerror}") from None


def _wait_for_primary(url: str) -> None:
    deadline = time.monotonic() + PROMOTED_S
    while not client.info(url).is_primary:
        if time.monotonic() > deadline:
            raise PylitefsError(f"{url} is not the primary {PROMOTED_S:g} s after its promotion: see its log")
        time.sleep(_EVERY_S)
