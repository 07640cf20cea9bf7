"""The command `pylitefs`: one module a command, each loaded only when it is asked for.

The rule: an error is one line on stderr, without a traceback: what went wrong, and what to do. It is a line
of the log where that is JSON, since a program reads it. Exit codes: 2 for a wrong flag or config file, 1 for
anything else, 130 after Ctrl-C.
"""

import importlib
import logging
import os
import sys
from collections.abc import Sequence
from types import MappingProxyType
from typing import NamedTuple

import click

from pylitefs.cli import first_process, logs
from pylitefs.errors import ConfigError, PylitefsError
from pylitefs.shown import shown_lines

EXIT_ERROR = 1
EXIT_CONFIG = 2
EXIT_INTERRUPTED = 130


class _Place(NamedTuple):
    """Where a command's click command is, and its line in `pylitefs --help`, for which none is loaded."""

    module: str
    attribute: str
    summary: str


#: The order is that of `pylitefs --help`.
COMMANDS = MappingProxyType(
    {
        "demo": _Place("demo", "demo", "Start a primary and replicas here and watch every transaction."),
        "mount": _Place("mount", "mount", "Run a node: mount its databases and replicate them."),
        "run": _Place("run", "run", "Run a command on a candidate, or on the primary."),
        "lease-server": _Place(
            "lease_server",
            "lease_server",
            "Run a lease service that speaks the part of Consul's API LiteFS uses.",
        ),
        "status": _Place("status", "status", "Show every node's role, databases, positions and lag."),
        "doctor": _Place("doctor", "doctor", "Say what is wrong with a node, its machine and its cluster."),
        "export": _Place("transfer", "export_command", "Write a node's database to a file."),
        "import": _Place("transfer", "import_command", "Make a SQLite file a database of the cluster."),
        "history": _Place(
            "history",
            "history",
            "Show a database's transactions, with the tables and rows that each changed.",
        ),
        "sql": _Place("sql", "sql_command", "Ask a database as it was a question in SQL."),
        "fork": _Place("sql", "fork_command", "Make a database as it was a new one of the cluster."),
        "ltx": _Place("ltx", "ltx", "Verify, list, dump, apply, make and restore from LTX files."),
        "lecture": _Place("lecture", "lecture", "Step through replication, live, lesson by lesson."),
        "replay": _Place("replay", "replay", "Play a recorded lesson, without FUSE."),
        "handout": _Place("handout", "handout", "Pack recorded lessons and the byte layouts into one zip."),
        "compare": _Place("compare", "compare", "Run beside real LiteFS and show every difference."),
        "version": _Place("version", "version", "Print versions."),
    }
)


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is looked up."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        place = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(f"pylitefs.cli.{place.module}"), place.attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.summary) for name, place in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "-help", "--help"]})
def cli() -> None:
    """LiteFS in readable Python: replicate SQLite databases to other nodes through a FUSE filesystem."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    try:
        code = cli.main(args=arguments, prog_name="pylitefs", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except ConfigError as error:
        return _fail(str(error), EXIT_CONFIG)
    except PylitefsError as error:
        return _fail(str(error), EXIT_ERROR)
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # `pylitefs … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    except Exception as error:
        if os.environ.get("PYLITEFS_TRACEBACK"):
            raise
        what = f"{type(error).__name__}: {error}"
        return _fail(f"{what} (a bug in pylitefs; PYLITEFS_TRACEBACK=1 shows where)", EXIT_ERROR)


def _fail(text: str, code: int) -> int:
    if logs.is_json():
        logging.getLogger("pylitefs").error("%s", text)
    else:
        click.echo(f"pylitefs: {shown_lines(text)}", err=True)
    return code


def main() -> None:
    """The entry point of the installed script."""
    first_process.step_aside()
    sys.exit(run())
