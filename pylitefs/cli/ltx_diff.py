"""`pylitefs ltx diff`: which rows differ between two states, and the SQL that leads from one to the other.

The rule: what is written to stdout is one thing, a table, JSON lines or SQL. What was left out, and that more
had to be read than changed, is said on stderr.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import click

from pylitefs.cli.ltx_output import one_line, print_table
from pylitefs.cli.moments import SOURCE, URL, open_moments, parse_span
from pylitefs.errors import RestoreError
from pylitefs.ltx.header import format_txid
from pylitefs.ltx.timeline import Timeline
from pylitefs.rows.compare import Pair, RowChange
from pylitefs.rows.difference import Difference, SchemaChange, difference
from pylitefs.rows.history import is_folded
from pylitefs.rows.literals import json_value, shown_value
from pylitefs.rows.script import row_statements, script
from pylitefs.shown import shown


@click.command(short_help="Show which rows transactions changed.")
@click.argument("span", metavar="A..B|T", callback=parse_span)
@SOURCE
@URL
@click.option("--table", metavar="NAME", help="This table alone, also one that is folded away.")
@click.option("--row", metavar="KEY", help="This row alone: its rowid, or its key's values with commas.")
@click.option("--json", "form", flag_value="json", help="One JSON object a row.")
@click.option("--sql", "form", flag_value="sql", help="The SQL that does it.")
@click.option("--undo", "form", flag_value="undo", help="The SQL that undoes it.")
def diff(
    span: tuple[int | None, int],
    source: Path,
    *,
    url: str,
    table: str | None,
    row: str | None,
    form: str | None,
) -> None:
    """Show the rows that differ between the states after TXIDs A and B, or that transaction T changed.

    SOURCE is what `history` takes. TXIDs are hex, as `history` shows them, and the older one comes first; 0
    is before the first transaction. The rows are read from the pages that changed; SOURCE is not restored.
    """
    with one_line(source), open_moments(source, url, span[0] or None) as timeline:
        found = _difference(timeline, span)
        found = found.turned if form == "undo" else found
        if form in ("sql", "undo"):
            for statement in _statements(found, table, row):
                click.echo(statement)
        elif form == "json":
            for line in _json_lines(found, table, row):
                click.echo(line)
        else:
            _show(found, table, row)
        if found.touched.walked:
            click.echo(
                "an overflow page changed alone: tables were read as a whole to find its row", err=True
            )


def _difference(timeline: Timeline, span: tuple[int | None, int]) -> Difference:
    first, last = span
    if first is None:
        number = timeline.txids.index(timeline.moment(last).txid)
        if number == 0 and timeline.begins_at:
            raise RestoreError(f"the state before {format_txid(last)} is not in the history any more")
        first = timeline.txids[number - 1] if number else 0
    if first == 0 and timeline.begins_at:
        raise RestoreError(f"the history begins with {format_txid(timeline.txids[0])} only")
    return difference(timeline, first, last)


def _chosen(found: Difference, table: str | None) -> Iterator[Pair]:
    """The tables that are shown: a virtual table's name stands for where its rows are."""
    names: set[str] = set()
    for pair in found.pairs:
        names |= {one.name for one in (pair.old, pair.new) if one is not None}
        shown_as = found.shown_name(pair)
        if (table is None and shown_as is not None) or (table is not None and table in (pair.name, shown_as)):
            yield pair
    if table is not None and table not in names:
        known = ", ".join(sorted(names)) or "none"
        raise RestoreError(f"there is no table {table} in either state: there are {known}")


def _rows(found: Difference, pair: Pair, row: str | None) -> Iterator[RowChange]:
    for change in found.rows(pair):
        if row is None or row == ",".join(found.key(pair, change)):
            yield change


def _statements(found: Difference, table: str | None, row: str | None) -> Iterator[str]:
    if table is None and row is None:
        yield from script(found)
        return
    for pair in _chosen(found, table):
        if pair.new is not None and pair.old is not None:
            yield from row_statements(found, pair, list(_rows(found, pair, row)))


def _json_lines(found: Difference, table: str | None, row: str | None) -> Iterator[str]:
    if table is None and row is None:
        if found.is_vacuum:
            yield json.dumps({"vacuum": True, "pages": [found.old.page_count, found.new.page_count]})
        for one in _schema(found):
            facts = {
                "schema": one.what,
                "kind": one.kind,
                "name": one.name,
                "sql": one.sql,
                "before": one.before,
            }
            yield json.dumps({key: value for key, value in facts.items() if value})
    for pair in _chosen(found, table):
        for change in _rows(found, pair, row):
            facts = {"table": pair.name, "change": change.kind}
            rowid = {"rowid": change.rowid} if change.rowid is not None else {}
            sides = {}
            for name, values, side in (
                ("before", change.before, found.old),
                ("after", change.after, found.new),
            ):
                if values is not None:
                    encoding = side.pages.encoding
                    sides[name] = {column: json_value(value, encoding) for column, value in values.items()}
            yield json.dumps({**facts, **rowid, **sides}, ensure_ascii=False)


def _show(found: Difference, table: str | None, row: str | None) -> None:
    lines: list[tuple[str, ...]] = []
    folded: list[str] = []
    if table is None and row is None:
        _tell(found)
        folded = [
            f"{pair.name} ({count} row{'s' if count != 1 else ''})"
            for pair in found.pairs
            if found.shown_name(pair) is None and (count := found.count(pair).total)
        ]
    for pair in _chosen(found, table):
        name = found.shown_name(pair) or pair.name
        for change in _rows(found, pair, row):
            head = (shown(name), shown(",".join(found.key(pair, change))), change.kind)
            lines += [(*head, *rest) for rest in _columns(change)] or [(*head, "", "", "")]
    if lines:
        print_table(("table", "row", "change", "column", "before", "after"), lines)
    else:
        click.echo("no row differs")
    if folded:
        click.echo(f"folded away: {shown(', '.join(folded))}; --table NAME shows one", err=True)


def _tell(found: Difference) -> None:
    """What is more than rows."""
    if found.is_vacuum:
        counts = f"{found.old.page_count} before and {found.new.page_count} after"
        click.echo(f"VACUUM: every page was written anew, {counts}")
    for one in _schema(found):
        before = f", before that {one.before}" if one.what == "renamed" else ""
        click.echo(shown(f"{one.kind} {one.name} {one.what}{before}: {' '.join(one.sql.split())}"))


def _schema(found: Difference) -> list[SchemaChange]:
    return [one for one in found.schema if not is_folded(found, one.name)]


def _columns(change: RowChange) -> Iterator[tuple[str, str, str]]:
    names = change.differing() if change.before is not None and change.after is not None else list(change.row)
    for name in names:
        before = (
            shown_value(change.before[name]) if change.before is not None and name in change.before else ""
        )
        after = shown_value(change.after[name]) if change.after is not None else ""
        yield shown(name), shown(before), shown(after)
