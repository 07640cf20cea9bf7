"""The command `pylitefs`: one module a command, each loaded only when it is asked for.

The rule: an error is one line on stderr, without a traceback: what went wrong, and what to do. It is a line
of the log where that is JSON, since a program reads it. Exit codes: 2 for a wrong flag or config file, 1 for
anything else, 130 after Ctrl-C.
"""

import importlib
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import click

from pylitefs.cli import first_process, logs
from pylitefs.errors import ConfigError, PylitefsError
from pylitefs.shown import shown_lines

EXIT_ERROR = 1
EXIT_CONFIG = 2
EXIT_INTERRUPTED = 130

#: Command name → where its click command is. The order is that of `pylitefs --help`.
COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "demo": "pylitefs.cli.demo:demo",
        "mount": "pylitefs.cli.mount:mount",
        "status": "pylitefs.cli.status:status",
        "export": "pylitefs.cli.transfer:export_command",
        "import": "pylitefs.cli.transfer:import_command",
        "ltx": "pylitefs.cli.ltx:ltx",
        "lecture": "pylitefs.cli.lecture:lecture",
        "replay": "pylitefs.cli.replay:replay",
        "handout": "pylitefs.cli.handout:handout",
        "compare": "pylitefs.cli.compare:compare",
        "version": "pylitefs.cli.version:version",
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
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


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
