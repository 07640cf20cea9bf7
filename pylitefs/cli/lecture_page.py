"""What `lecture` and `replay` share: where the page listens, how it is opened, how it ends.

The rule: loopback only, and nothing here needs FUSE or Linux. In a container the page listens on the
container's own interface, for that is what a published port leads to; whoever publishes it says where:
`-p 127.0.0.1:8000:8000`.
"""

import ipaddress
import os
import sys
import time
import webbrowser
from collections.abc import Callable
from typing import TypeVar

import click

from pylitefs.errors import ConfigError
from pylitefs.lecture.show.server import LectureServer

IN_CONTAINER = "PYLITEFS_CONTAINER"
"""Set to 1 by demo/lecture.Dockerfile."""

Command = TypeVar("Command", bound=Callable[..., object])


def page_options(command: Command) -> Command:
    """--host, --port, --no-browser."""
    for option in (
        click.option("--no-browser", is_flag=True, help="Only print the page's URL."),
        click.option("--port", default=0, type=click.IntRange(0, 65535), help="The page's; else a free one."),
        click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address."),
    ):
        command = option(command)
    return command


def checked_bind(host: str, port: int) -> tuple[str, int]:
    """Host and port to listen on. Raises ConfigError where others than this machine could ask."""
    if host == "localhost":
        host = "127.0.0.1"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise ConfigError(f"--host {host}: write a loopback address, 127.0.0.1 or ::1") from None
    if not address.is_loopback and os.environ.get(IN_CONTAINER) != "1":
        raise ConfigError(
            f"--host {host}: the page is for this machine alone; write 127.0.0.1, and come from elsewhere "
            "through `ssh -L` (docs/teaching.md has the line)"
        )
    return host, port


def show(server: LectureServer, *, browser: bool) -> None:
    """Serve the page until Ctrl-C: print its URL, open it."""
    server.start()
    try:
        click.echo(f"{server.url}\nCtrl-C ends it.")
        if browser and has_browser():
            webbrowser.open(server.url)
        while True:
            time.sleep(0.5)
    except KeyboardInterrupt:
        click.echo("")
    finally:
        server.stop()


def has_browser() -> bool:
    """Whether a browser would open in a window; a browser in this very terminal would only be in the way."""
    if sys.platform != "linux" or os.environ.get("BROWSER"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
