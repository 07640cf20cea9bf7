"""Two states of a database, and all that differs between them.

The rule: what is told first is what people know: their tables and rows. What SQLite, a virtual table or
Litestream keeps for itself is folded away, and named. A VACUUM is told as what it is, since it changes every
page and no row.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from pylitefs.ltx.decoder import open_ltx
from pylitefs.ltx.plan import HistoryFile
from pylitefs.ltx.timeline import Timeline
from pylitefs.rows.compare import Pair, RowChange, exact, pair_tables, row_changes
from pylitefs.rows.side import Side, State
from pylitefs.rows.touched import Touched, find_touched
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE
from pylitefs.sqlite.schema import SHADOWS, Schema, SchemaObject

_ROWS_ARE_IN = ("content", "rowid")
"""The shadow tables whose rows are those of the virtual table; of one without, those of `docsize`."""


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """One thing of the schema that differs."""

    what: str
    """created, dropped, changed, renamed"""
    kind: str
    name: str
    sql: str
    """As it is after it; as it was, if it was dropped."""
    before: str = ""
    """Of a table that was renamed, its name; of one that was changed, its SQL."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows."""

    added: int = 0
    changed: int = 0
    removed: int = 0

    @property
    def total(self) -> int:
        return self.added + self.changed + self.removed

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.added + other.added, self.changed + other.changed, self.removed + other.removed)


@dataclass(frozen=True)
class Difference:
    """What leads from the state `old` to the state `new`."""

    old: Side
    new: Side
    touched: Touched
    pairs: tuple[Pair, ...]
    """All tables, by name."""
    is_one_step: bool
    """Whether one transaction lies between them, and no more."""

    @property
    def turned(self) -> "Difference":
        """What leads back."""
        pairs = sorted((Pair(one.new, one.old, one.whole) for one in self.pairs), key=lambda pair: pair.name)
        return Difference(self.new, self.old, self.touched.turned, tuple(pairs), self.is_one_step)

    def rows(self, pair: Pair) -> Iterator[RowChange]:
        """The rows of a table that differ."""
        if not self._looks_like_vacuum or not self._has_other_rowids(pair):
            yield from row_changes(self.old, self.new, self.touched, pair)

    def count(self, pair: Pair) -> Counts:
        """How many rows of a table differ."""
        kinds = Counter(change.kind for change in self.rows(pair))
        return Counts(kinds["added"], kinds["changed"], kinds["removed"])

    def key(self, pair: Pair, change: RowChange) -> list[str]:
        """The key of a row of a table WITHOUT ROWID, or its rowid, as a person would type it."""
        if change.rowid is not None:
            return [str(change.rowid)]
        side, one = (self.new, pair.new) if pair.new is not None else (self.old, pair.old)
        assert one is not None
        table = side.table(one.name)
        names = list(dict.fromkeys(table.names[: len(table.key)]))
        return [str(change.row.get(name)) for name in names]

    @cached_property
    def is_vacuum(self) -> bool:
        """Whether it wrote every page anew and changed no row."""
        return self._looks_like_vacuum and not any(self.count(pair).total for pair in self.pairs)

    @cached_property
    def schema(self) -> list[SchemaChange]:
        """What of the schema differs; SQLite's own indexes are left out."""
        return [*self._tables(), *self._others()]

    def shown_name(self, pair: Pair) -> str | None:
        """The name under which people know a table's rows; None if they are folded away."""
        schema = self.new.schema if pair.new is not None else self.old.schema
        return shown_name(schema, pair.name)

    @cached_property
    def _looks_like_vacuum(self) -> bool:
        old, new = self.old, self.new
        if not self.is_one_step or not old.page_count or not new.page_count:
            return False
        pages = range(1, new.page_count + 1)
        cookies = old.header.schema_cookie, new.header.schema_cookie
        if cookies[0] == cookies[1] or not self.touched.changed.issuperset(pages):
            return False
        return _without_roots(old.schema) == _without_roots(new.schema)

    def _has_other_rowids(self, pair: Pair) -> bool:
        """Whether VACUUM gave the rows of a table rowids of their own choice: nobody had a name for them."""
        if pair.old is None or pair.new is None or not pair.new.root:
            return False
        table = self.new.table(pair.new.name)
        if not table.has_rowid or table.rowid_column is not None:
            return False
        before: Counter[object] = Counter()
        after: Counter[object] = Counter()
        for change in row_changes(self.old, self.new, self.touched, pair):
            before.update([exact(list(change.before.values()))] if change.before is not None else [])
            after.update([exact(list(change.after.values()))] if change.after is not None else [])
        return before == after

    def _tables(self) -> Iterator[SchemaChange]:
        for pair in self.pairs:
            old, new = pair.old, pair.new
            if new is None:
                assert old is not None
                yield SchemaChange("dropped", "table", old.name, old.sql)
            elif old is None:
                yield SchemaChange("created", "table", new.name, new.sql)
            elif old.name != new.name:
                yield SchemaChange("renamed", "table", new.name, new.sql, old.name)
            elif old.sql != new.sql:
                yield SchemaChange("changed", "table", new.name, new.sql, old.sql)

    def _others(self) -> Iterator[SchemaChange]:
        before, after = self.old.schema.others(), self.new.schema.others()
        for key, one in before.items():
            other = after.get(key)
            if other is None:
                yield SchemaChange("dropped", one.kind, one.name, one.sql)
            elif other.sql != one.sql:
                yield SchemaChange("changed", one.kind, one.name, other.sql, one.sql)
        for key, one in after.items():
            if key not in before:
                yield SchemaChange("created", one.kind, one.name, one.sql)


def shown_name(schema: Schema, name: str) -> str | None:
    """The name under which people know the rows of a table: of a shadow table its owner's, or none."""
    if schema.tables[name].is_internal:
        return None
    owner = schema.owner(name)
    if owner is None:
        return name
    suffix = name.removeprefix(f"{owner.name}_")
    has_rows = any(f"{owner.name}_{one}" in schema.tables for one in _ROWS_ARE_IN)
    is_it = suffix in _ROWS_ARE_IN or (not has_rows and suffix == "docsize")
    return owner.name if is_it and suffix in SHADOWS[owner.module] else None


def difference(timeline: Timeline, first: int, last: int) -> Difference:
    """Between the states after two TXIDs (0: before the first one), the older one first.

    Raises RestoreError if there is no such state, HistoryGoneError where a page is gone, LtxError.
    """
    txids = timeline.txids
    start = txids.index(timeline.moment(first).txid) + 1 if first else 0
    end = txids.index(timeline.moment(last).txid) + 1
    return step(timeline, start, end)


def step(timeline: Timeline, start: int, end: int, old: Side | None = None) -> Difference:
    """Between the states after the first `start` and the first `end` files. `old` is known, if given."""
    files = timeline.files[start:end]
    if old is None:
        old = Side(timeline.moment_at(start - 1) if start else None)
    is_one_step = len(files) == 1 and files[0].min_txid == files[0].max_txid
    return between(old, timeline.moment_at(end - 1), changed_pages(files), is_one_step=is_one_step)


def between(old: Side, moment: State, changed: set[int], *, is_one_step: bool) -> Difference:
    """Between two states, of which `changed` are the pages that were written from the one to the other."""
    new = Side(moment, old.schema if _has_schema_of(old, moment, changed) else None)
    if old.page_count and new.page_count and old.header.page_size != new.header.page_size:
        changed = set(range(1, max(old.page_count, new.page_count) + 1))
    touched = find_touched(old, new, changed)
    pairs = tuple(sorted(pair_tables(old, new), key=lambda pair: pair.name))
    return Difference(old, new, touched, pairs, is_one_step)


def _has_schema_of(old: Side, moment: State, changed: set[int]) -> bool:
    """Whether no page of the schema changed but in the database header, which every transaction writes."""
    if not old.page_count or not moment.page_count or changed & (old.schema.pgnos - {1}):
        return False
    first, other = old.pages.read(1), moment.page(1)
    return len(first) == len(other) and first[DATABASE_HEADER_SIZE:] == other[DATABASE_HEADER_SIZE:]


def changed_pages(files: list[HistoryFile]) -> set[int]:
    """The pages that the files have; each file is read to its end, and so verified."""
    found: set[int] = set()
    for file in files:
        with open_ltx(file.path, any_format=True) as decoder:
            for batch in decoder.batches():
                found.update(batch.pgnos)
    return found


def _without_roots(schema: Schema) -> list[tuple[str, str, str]]:
    return sorted((one.kind, one.name, one.sql) for one in schema.objects if isinstance(one, SchemaObject))
