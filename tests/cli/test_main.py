"""Every command and option says what it is for, and is named in the README or the docs."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pylitefs.cli.main import COMMANDS as PLACES
from pylitefs.cli.main import cli, run

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = "\n".join(path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))])


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


COMMANDS = dict(commands(cli, "pylitefs"))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_it_is_for(name: str) -> None:
    """And `pylitefs --help` says it in the same words."""
    command = COMMANDS[name]
    if (place := PLACES.get(name.removeprefix("pylitefs "))) is not None:
        assert place.summary == command.get_short_help_str(limit=200)
    assert command.help and command.get_short_help_str(limit=200).endswith(".")
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts} has no help"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_and_its_options_are_documented(name: str) -> None:
    command = COMMANDS[name]
    assert name in DOCS
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert any(option in DOCS for option in [*parameter.opts, *parameter.secondary_opts]), (
                f"{name} {parameter.opts}"
            )


@pytest.mark.parametrize("spelling", ["-h", "-help", "--help"])
def test_help_in_every_spelling(spelling: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([spelling]) == 0
    out = capsys.readouterr().out
    for name in COMMANDS:
        if name.count(" ") == 1:
            assert name.removeprefix("pylitefs ") in out
    assert run(["mount", spelling]) == 0


def test_a_wrong_command_or_option_is_one_line_and_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["mont"]) == 2
    assert capsys.readouterr().err.startswith("pylitefs: No such command 'mont'")
    assert run(["mount", "-confg", "x"]) == 2
    assert capsys.readouterr().err.startswith("pylitefs: No such option")
