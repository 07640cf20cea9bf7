"""`pylitefs version`."""

import platform
import sqlite3

import click

from pylitefs import __version__


@click.command(short_help="Print versions.")
def version() -> None:
    """Print the versions of pylitefs, of the LiteFS it matches, of Python and of its SQLite."""
    click.echo(
        f"pylitefs {__version__} (LiteFS 0.5 formats), "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )
