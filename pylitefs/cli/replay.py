"""`pylitefs replay`: a recording of a lesson, in the lecture's page, in the terminal, as HTML file, as PDF.

The rule: no FUSE, no nodes, any system.
"""

from pathlib import Path

import click

from pylitefs.cli.lecture_page import checked_bind, page_options, show
from pylitefs.errors import PylitefsError
from pylitefs.lecture.recording import Recording, open_recording


@click.command(short_help="Play a recorded lesson, without FUSE.")
@click.argument("file", metavar="FILE")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write one HTML file.")
@click.option("--pdf", type=click.Path(path_type=Path, dir_okay=False), help="Print it: a page a step.")
@click.option("--terminal", is_flag=True, help="In the terminal instead of a browser.")
@page_options
def replay(
    *,
    file: str,
    html: Path | None,
    pdf: Path | None,
    terminal: bool,
    host: str,
    port: int,
    no_browser: bool,
) -> None:
    """Play what `pylitefs lecture --record` kept, or a packaged recording by its lesson's name.

    It needs neither FUSE nor Linux. With --html the page is written to a file of at most 1 MB that opens
    from disk. With --pdf an installed Chromium, Chrome or Edge prints it; any browser prints the page, too.
    """
    bind = checked_bind(host, port)
    recording = open_recording(file)
    if recording.is_cut:
        click.echo(f"{file} ends in the middle of a line: it plays up to there.", err=True)
    if html:
        write_html(recording, html)
    if pdf:
        from pylitefs.cli.pdf import write_pdf

        count = write_pdf(recording, pdf)
        click.echo(f"{pdf}: {count} pages")
    if not html and not pdf:
        play(recording, bind, terminal=terminal, browser=not no_browser)


def play(recording: Recording, bind: tuple[str, int], *, terminal: bool, browser: bool) -> None:
    """Show a recording until it is ended."""
    if terminal:
        from pylitefs.lecture.show.terminal import Story, TerminalLecture

        TerminalLecture(recording.head, Story(recording)).run()
    else:
        from pylitefs.lecture.show.server import LectureServer

        show(LectureServer.of_recording(recording.lines(), bind), browser=browser)


def write_html(recording: Recording, out: Path) -> None:
    from pylitefs.lecture.show.replay_html import page

    data = page(recording)
    try:
        out.write_bytes(data)
    except OSError as error:
        raise PylitefsError(f"{out}: {error.strerror}; name another file with --html") from None
    click.echo(f"{out}: {len(data):,} bytes")
