"""`pylitefs doctor`: what is wrong with a node, its machine and its cluster, and how to mend it.

The rule: a line each, as it is found; exit code 1 if anything is to be mended.
"""

from pathlib import Path

import click

from pylitefs.doctor.examine import examine
from pylitefs.shown import shown


@click.command(short_help="Say what is wrong with a node, its machine and its cluster.")
@click.option(
    "--config",
    "-config",
    "config_path",
    type=click.Path(path_type=Path),
    help="The node's config file; otherwise ./litefs.yml, ~/litefs.yml or /etc/litefs.yml.",
)
@click.option(
    "--url", "-url", "urls", multiple=True, help="Another node's URL, http://HOST:20202; repeatable."
)
def doctor(config_path: Path | None, urls: tuple[str, ...]) -> int:
    """Look at everything a node needs, whether it runs or not, and say what is wrong and how to mend it.

    FUSE, descriptors, dead mounts, the folders and their disks, ports, the lease service, the primary and the
    nodes at --url: whether they answer, their versions and clocks. Nothing is changed. The exit code is 1 if
    anything is to be mended.
    """
    wrong = 0
    for finding in examine(config_path, urls):
        wrong += finding.is_wrong
        click.echo(shown(finding.line()))
    return int(wrong > 0)
