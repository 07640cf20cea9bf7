"""The history of a database: a line a transaction, with the tables and rows that it changed.

The rule: what cannot be known is said, and never guessed. Where retention took the state before a
transaction, its tables are told as far as they can be, and the line says why its rows are not.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from pylitefs.errors import HistoryGoneError, RestoreError
from pylitefs.ltx.header import format_txid
from pylitefs.ltx.plan import HistoryFile
from pylitefs.ltx.timeline import Timeline
from pylitefs.rows.difference import Counts, Difference, changed_pages, shown_name, step
from pylitefs.rows.side import Side


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One transaction, or several that one file holds."""

    file: HistoryFile
    pages: int
    """How many pages it changed."""
    page_count: int
    """How many the database had after it."""
    tables: dict[str, Counts | None] = field(default_factory=dict)
    """What of each table's rows it changed; None where that is not known."""
    notes: tuple[str, ...] = ()
    """Changes of the schema, a VACUUM, and what is not known and why."""

    @property
    def counts(self) -> Counts | None:
        """All tables together; None if one of them is not known."""
        found = Counts()
        for counts in self.tables.values():
            if counts is None:
                return None
            found += counts
        return found


def history(timeline: Timeline, *, last: int | None = None) -> Iterator[HistoryLine]:
    """The lines of all files, or of the last ones, the oldest first."""
    files = timeline.files
    start = 0 if last is None else max(0, len(files) - last)
    old: Side | None = None
    for number in range(start, len(files)):
        file = files[number]
        if file.min_txid == 1 and file.max_txid > 1 and number == 0:
            yield _beginning(timeline, file)
            continue
        try:
            if number == 0 and timeline.begins_at:
                raise HistoryGoneError(f"the state before {format_txid(file.min_txid)} is gone")
            found = step(timeline, number, number + 1, old)
            yield _line(timeline, number, found)
            old = found.new
        except RestoreError as error:
            yield _unknown(timeline, number, str(error))
            old = None


def _beginning(timeline: Timeline, file: HistoryFile) -> HistoryLine:
    """A whole database with which the history begins: whose rows are whose is not known any more."""
    count = timeline.moment_at(0).page_count
    return HistoryLine(
        file, count, count, notes=(f"the whole database, as it was after {format_txid(file.max_txid)}",)
    )


def _line(timeline: Timeline, number: int, found: Difference) -> HistoryLine:
    tables: dict[str, Counts | None] = {}
    for pair in found.pairs:
        name = found.shown_name(pair)
        counts = found.count(pair) if name is not None else Counts()
        if name is not None and counts.total:
            before = tables.get(name)
            tables[name] = counts if before is None else before + counts
    notes = ["VACUUM"] if found.is_vacuum else []
    notes += [f"{one.kind} {one.name} {one.what}" for one in found.schema if not is_folded(found, one.name)]
    if found.old.page_count and not found.new.page_count:
        notes.append("the database was dropped")
    pages = len(found.touched.changed)
    return HistoryLine(timeline.files[number], pages, found.new.page_count, tables, tuple(notes))


def is_folded(found: Difference, name: str) -> bool:
    """Whether a thing of the schema is SQLite's, a virtual table's or Litestream's own."""
    for side in (found.new, found.old):
        if name in side.schema.tables:
            return side.schema.tables[name].is_internal or side.schema.owner(name) is not None
    return False


def _unknown(timeline: Timeline, number: int, why: str) -> HistoryLine:
    """The tables whose pages are in the file, as far as the state after it tells."""
    file = timeline.files[number]
    changed = changed_pages([file])
    tables: dict[str, Counts | None] = {}
    moment = timeline.moment_at(number)
    try:
        side = Side(moment)
        for pgno in sorted(changed):
            owner = side.owner(pgno)
            name = shown_name(side.schema, owner.name) if owner is not None else None
            if name is not None:
                tables[name] = None
    except RestoreError:
        tables["?"] = None
    return HistoryLine(
        file, len(changed), moment.page_count, tables or {"?": None}, (f"rows unknown: {why}",)
    )
