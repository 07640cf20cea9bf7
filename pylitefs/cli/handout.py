"""`pylitefs handout`: what students take home, as one zip."""

from pathlib import Path

import click

from pylitefs.lecture.recording import RecordingError, open_recording, packaged


@click.command(short_help="Pack recorded lessons and the byte layouts into one zip.")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False), metavar="OUT.zip")
@click.argument("files", nargs=-1, metavar="[RECORDING]…")
def handout(out: Path, files: tuple[str, ...]) -> None:
    """Write a zip of recordings as pages that open from disk, with a page of the byte layouts to print.

    Without RECORDINGs it holds the packaged ones, one for each lesson.
    """
    from pylitefs.lecture.show.handout import write

    chosen = files or packaged()
    if not chosen:
        raise RecordingError("no recording is packaged: name some that `pylitefs lecture --record` made")
    inside = write(out, [open_recording(name) for name in chosen])
    click.echo(f"{out}: {out.stat().st_size:,} bytes, {', '.join(inside)}")
