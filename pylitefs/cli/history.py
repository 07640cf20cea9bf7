"""`pylitefs history`: a line for each transaction of a database.

The rule: the newest comes last, as in a log. What is not known is a question mark, and a line below says why.
"""

import json
from pathlib import Path

import click

from pylitefs.cli.ltx_output import one_line, print_table
from pylitefs.cli.moments import SOURCE, URL, open_moments
from pylitefs.ltx.header import format_txid
from pylitefs.ltx.parts import time_text
from pylitefs.rows.history import HistoryLine
from pylitefs.rows.history import history as history_of
from pylitefs.shown import shown


@click.command(short_help="Show a database's transactions, with the tables and rows that each changed.")
@SOURCE
@URL
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="Only the last N.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
def history(source: Path, url: str, last: int | None, as_json: bool) -> None:
    """Show each transaction of a database: TXID, time, pages, bytes, and the tables and rows it changed.

    SOURCE is a database in a running node's mount, a node's dbs/DB, a directory of a file backup, a replica
    directory of Litestream 0.5, or a database that Litestream copies. `pylitefs ltx diff` shows the rows.
    """
    with one_line(source), open_moments(source, url) as timeline:
        rows: list[tuple[str, ...]] = []
        for line in history_of(timeline, last=last):
            if as_json:
                click.echo(json.dumps(_facts(line), ensure_ascii=False))
            else:
                rows.append(_row(line))
        if rows:
            print_table(_COLUMNS, rows)
        if timeline.gap:
            click.echo(timeline.gap, err=True)


_COLUMNS = ("TXID", "time", "pages", "bytes", "added", "changed", "removed", "what")


def _row(line: HistoryLine) -> tuple[str, ...]:
    counts = line.counts
    numbers = (counts.added, counts.changed, counts.removed) if counts is not None else ("?", "?", "?")
    tables = [
        f"{name} +{one.added} ~{one.changed} -{one.removed}" if one is not None else name
        for name, one in line.tables.items()
        if name != "?"
    ]
    what = shown("; ".join((*tables, *line.notes)))
    fixed = (line.file.span, time_text(line.file.time_ms), str(line.pages), str(line.file.size))
    return (*fixed, *map(str, numbers), what)


def _facts(line: HistoryLine) -> dict[str, object]:
    return {
        "txid": format_txid(line.file.max_txid),
        "first_txid": format_txid(line.file.min_txid),
        "time": time_text(line.file.time_ms),
        "timestamp_ms": line.file.time_ms,
        "pages": line.pages,
        "bytes": line.file.size,
        "database_pages": line.page_count,
        "tables": {
            name: {"added": one.added, "changed": one.changed, "removed": one.removed} if one else None
            for name, one in line.tables.items()
        },
        "notes": list(line.notes),
    }
