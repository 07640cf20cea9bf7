"""`pylitefs lecture --share`: where students follow, and what the lecturer's terminal says of it.

The rule: only the followers' server listens beyond loopback; what commands the nodes stays there. A link
that nobody else can open is said to be one. In a container the host is what students type, and what is
listened on is the container's own interface.
"""

import contextlib
import ipaddress
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from pylitefs.cli.lecture_page import IN_CONTAINER
from pylitefs.config.model import split_address
from pylitefs.errors import ConfigError
from pylitefs.lecture.model import Dump, Entry, Json
from pylitefs.lecture.show.sharing import Sharing, qr_text

TOKEN_VARIABLE = "PYLITEFS_SHARE_TOKEN"
Emit = Callable[[Entry, Sequence[Dump]], None]
Command = TypeVar("Command", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Share:
    """Where a lecture is shared."""

    bind: tuple[str, int]
    host: str = ""
    """What the link says, where it is another host than the one that is listened on."""
    token: str = ""


def share_options(command: Command) -> Command:
    """--share, --share-token."""
    for option in (
        click.option(
            "--share-token",
            default="",
            envvar=TOKEN_VARIABLE,
            metavar="TOKEN",
            help=f"The token of their link (or {TOKEN_VARIABLE}); the same one keeps pages open from lesson "
            "to lesson. Else a new one.",
        ),
        click.option(
            "--share",
            metavar="HOST:PORT",
            help="Students follow on their own devices, at this address of this machine (:PORT: at all).",
        ),
    ):
        command = option(command)
    return command


def checked_share(share: str | None, token: str) -> Share | None:
    """What --share says; None without. Raises ConfigError."""
    if not share:
        return None
    try:
        host, port = split_address(share, ":8080 or HOST:PORT")
    except ValueError as error:
        raise ConfigError(f"--share {share} is {error}") from None
    if host == "localhost":
        host = "127.0.0.1"
    if os.environ.get(IN_CONTAINER) == "1" and host:
        return Share(("", port), host, token)
    try:
        address = ipaddress.ip_address(host) if host else None
    except ValueError:
        raise ConfigError(f"--share {share}: write an address of this machine, or :{port} for all") from None
    return Share(("" if address is not None and address.is_unspecified else host, port), token=token)


@contextlib.contextmanager
def shared(head: Json, base: Path, share: Share | None, emit: Emit) -> Iterator[tuple[Emit, Sharing | None]]:
    """`emit`, and to those who follow besides; with their server, which ends with the block."""
    if share is None:
        yield emit, None
        return
    sharing = Sharing(head, share.bind, token=share.token, host=share.host, hidden=base)
    sharing.start()

    def both(entry: Entry, dumps: Sequence[Dump]) -> None:
        emit(entry, dumps)
        sharing.emit(entry, dumps)

    try:
        yield both, sharing
    finally:
        sharing.stop()


def say(sharing: Sharing, *, with_code: bool) -> None:
    """Print where students follow; with the code, for who has no page to show it on."""
    if not sharing.links:
        click.echo(
            "Nobody else reaches this machine: it has no network address. Join the class's network first."
        )
        return
    (url, name), *others = sharing.links
    click.echo(f"Students follow at {url}{f' ({name})' if name else ''}")
    if others:
        told = ", ".join(f"{other} ({where})" if where else other for other, where in others)
        click.echo(
            f"This machine has {len(others) + 1} addresses. If that one is not in the students' network, try "
            f"{told}; `--share ADDRESS:{sharing.port}` chooses."
        )
    if "127.0.0.1" in url or "[::1]" in url:
        click.echo("That is for trying it out: only this machine reaches a loopback address.")
    if with_code and sys.stdout.isatty():
        click.echo(qr_text(url))
