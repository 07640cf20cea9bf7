"""`pylitefs lecture`: a lesson on real, mounted nodes, in a browser, in the terminal, or headless as a test.

The rule: what needs FUSE is imported only once there are nodes to start, so that a laptop without it
still lists the lessons and is offered their recordings.
"""

import sys
from pathlib import Path

import click

from pylitefs.cli.lecture_page import checked_bind, page_options
from pylitefs.cli.lecture_share import checked_share, share_options
from pylitefs.errors import ConfigError, LessonError, MountError
from pylitefs.lecture.language import lesson as lessons
from pylitefs.lecture.language import level as levels
from pylitefs.lecture.recording import open_recording, packaged


@click.command(short_help="Step through replication, live, lesson by lesson.")
@click.argument("lesson", required=False, metavar="[LESSON]")
@click.option("--list", "listing", is_flag=True, help="List the lessons and the levels, and end.")
@click.option("--terminal", is_flag=True, help="In the terminal instead of a browser.")
@click.option("--headless", is_flag=True, help="Run to the end as a test; exit 1 where an expect fails.")
@click.option("--levels", "of_levels", is_flag=True, help="With --headless: all levels, by their solutions.")
@click.option("--record", type=click.Path(path_type=Path), metavar="FILE", help="Keep the run, to replay it.")
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Where; else a temporary folder.")
@share_options
@page_options
def lecture(
    *,
    lesson: str | None,
    listing: bool,
    terminal: bool,
    headless: bool,
    of_levels: bool,
    record: Path | None,
    directory: Path | None,
    host: str,
    port: int,
    no_browser: bool,
    share: str | None,
    share_token: str,
) -> int:
    """Start a lesson's nodes and step through it: LESSON is a name of --list, or a Markdown file of your own.

    It starts paused, prints the page's URL and opens it; Ctrl-C ends all of it. Without LESSON it asks
    which; with --headless it runs them all, and --record then names a folder. With --share students follow
    on their own devices, and vote. A level has a goal, and you give the commands; with --headless its
    solution is played.
    """
    bind = checked_bind(host, port)
    sharing = checked_share(share, share_token)
    if listing:
        list_lessons()
        return 0
    if headless and sharing:
        raise ConfigError("--share: nobody can follow a run that is --headless; leave one of them out")
    if headless:
        return _headless(lesson, record, directory, of_levels=of_levels)
    name = lesson or _ask_which()
    if not name:
        return 0
    chosen = None if levels.is_level(name) else lessons.load(name)
    if chosen is None and sharing:
        raise ConfigError(
            "--share: a level is played by each for themselves; share a lesson, or leave it out"
        )
    try:
        check_platform()
        from pylitefs.cli import lecture_level, lecture_live
        from pylitefs.cluster.ending import ended_by_signals

        with lecture_live.folder(directory) as base, ended_by_signals():
            lecture_live.try_mount(base)
            if chosen is None:
                lecture_level.play(name, base, record, None if terminal else bind, browser=not no_browser)
            elif terminal:
                lecture_live.in_terminal(chosen, base, record, sharing)
            else:
                lecture_live.in_page(chosen, base, record, bind, sharing, browser=not no_browser)
    except MountError as error:
        if sharing:
            click.echo("Students cannot follow a recording; each may have one: pylitefs handout", err=True)
        return _offer_recording(name, str(error), bind, terminal=terminal, browser=not no_browser)
    return 0


def list_lessons() -> None:
    """Every packaged lesson, with its number, name, title and summary."""
    for number, name in enumerate(lessons.names(), start=1):
        found = lessons.load(name)
        click.echo(f"{number:3}  {name:20} {found.title}\n     {found.summary}")
    click.echo("\nLevels: a goal, and you give the commands.")
    for name in levels.names():
        level = levels.load(name)
        click.echo(f"     {name:20} {level.title} (at most {level.terms.most})")


def _ask_which() -> str:
    """The lesson that the person at the terminal wants; "" for none, and nobody is asked on a pipe."""
    list_lessons()
    if not sys.stdin.isatty():
        click.echo("Start one: pylitefs lecture NAME")
        return ""
    names = lessons.names()
    answer = str(click.prompt("Which (number or name; Enter for none)", default="", show_default=False))
    if answer.isdecimal():
        if not 1 <= int(answer) <= len(names):
            raise LessonError(f"there is no lesson {answer}; there are 1 to {len(names)}")
        return names[int(answer) - 1]
    return answer


def _headless(lesson: str | None, record: Path | None, directory: Path | None, *, of_levels: bool) -> int:
    if lesson is None and record is not None and record.is_file():
        raise ConfigError(f"--record {record}: of all lessons it names a folder, and this is a file")
    of_levels = of_levels or (lesson is not None and levels.is_level(lesson))
    names = [lesson] if lesson else levels.names() if of_levels else lessons.names()
    chosen = [] if of_levels else [lessons.load(name) for name in names]
    played = [levels.load(name) for name in names] if of_levels else []
    check_platform()
    from pylitefs.cli import lecture_level, lecture_live
    from pylitefs.cluster.ending import ended_by_signals

    with lecture_live.folder(directory) as base, ended_by_signals():
        if of_levels:
            return lecture_level.headless(played, base, record)
        return lecture_live.headless(chosen, base, record, all_lessons=lesson is None)


def check_platform() -> None:
    """Raise MountError where there can be no nodes; only then is the part that starts them imported."""
    if sys.platform != "linux":
        raise MountError(f"nodes need FUSE on Linux, and this is {sys.platform}")


def _offer_recording(name: str, why: str, bind: tuple[str, int], *, terminal: bool, browser: bool) -> int:
    """Say why there are no nodes, and play the packaged recording instead if that is wanted."""
    click.echo(f"pylitefs: no live nodes here: {why}", err=True)
    if name not in packaged():
        return 1
    if not sys.stdin.isatty():
        click.echo(f"The recording plays without: pylitefs replay {name}", err=True)
        return 1
    if not click.confirm("Play the recording instead?", default=True):
        return 1
    from pylitefs.cli.replay import play

    play(open_recording(name), bind, terminal=terminal, browser=browser)
    return 0
