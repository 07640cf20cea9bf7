"""The SQL that makes one state out of the other.

The rule: applied to the old state it gives the rows of the new one, whatever the statements meet on the way.
So triggers are taken away before and made again after, foreign keys are off, all removals come before all
additions, and a row whose table has further UNIQUE columns is removed and added anew.
A table whose SQL changed is made anew and filled from the old one, as SQLite's own documentation does it.
https://www.sqlite.org/lang_altertable.html#otheralter
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from pylitefs.rows.compare import Pair, Row, RowChange, old_names
from pylitefs.rows.difference import Difference
from pylitefs.rows.literals import identifier, sql_literal
from pylitefs.sqlite.columns import Table
from pylitefs.sqlite.schema import SchemaObject

_ROWID_NAMES = ("rowid", "_rowid_", "oid")
_LEFT_OUT = ("sqlite_stat", "_litestream_")
_SEQUENCE = "sqlite_sequence"


def script(difference: Difference) -> Iterator[str]:
    """The statements, one after the other."""
    return _Script(difference).statements()


def row_statements(difference: Difference, pair: Pair, changes: list[RowChange]) -> Iterator[str]:
    """The statements for some rows of a table that is in both states."""
    made = _Script(difference)
    made.add_rows(pair, iter(changes))
    yield from (*made.removals, *made.additions)


@dataclass
class _Script:
    difference: Difference
    removals: list[str] = field(default_factory=list)
    additions: list[str] = field(default_factory=list)
    _written: set[str] = field(default_factory=set)
    """The tables that are written to, by their new names."""
    _rebuilt: set[str] = field(default_factory=set)

    def statements(self) -> Iterator[str]:
        tables = list(self._tables())
        for pair in self.difference.pairs:
            if pair.new is not None and pair.name != _SEQUENCE and not pair.name.startswith(_LEFT_OUT):
                self.add_rows(pair, self.difference.rows(pair))
        sequence = list(self._sequence())
        before, after = self._others()
        done = [*before, *tables, *self.removals, *self.additions, *sequence, *after]
        if not done:
            return
        yield "PRAGMA foreign_keys=OFF;"
        yield "PRAGMA legacy_alter_table=ON;"
        yield "BEGIN IMMEDIATE;"
        yield from done
        yield "COMMIT;"

    def add_rows(self, pair: Pair, changes: Iterator[RowChange]) -> None:
        """The rows of a table. One of a virtual table has rows of its own only by its shadow tables."""
        if pair.new is None or not pair.new.root:
            return
        table = self.difference.new.table(pair.new.name)
        is_unique = table.has_unique or self._has_unique_index(pair)
        for change in changes:
            self._written.add(pair.name)
            if change.before is not None and pair.old is not None:
                if change.after is not None and not is_unique:
                    self.additions += self._update(table, change)
                    continue
                self.removals.append(
                    f"DELETE FROM {identifier(table.name)} WHERE {self._where(table, change, change.before)};"
                )
            if change.after is not None:
                self.additions.append(self._insert(table, change.rowid, change.after))

    def _has_unique_index(self, pair: Pair) -> bool:
        names = {one.name for one in (pair.old, pair.new) if one is not None}
        objects = (*self.difference.old.schema.objects, *self.difference.new.schema.objects)
        return any(one.table in names and one.sql.startswith("CREATE UNIQUE") for one in objects)

    def _insert(self, table: Table, rowid: int | None, row: Row) -> str:
        columns = _writable(table)
        names = [identifier(name) for name in columns]
        values = [self._literal(row[name]) for name in columns]
        alias = rowid_name(table)
        if alias and rowid is not None:
            names, values = [alias, *names], [str(rowid), *values]
        if not names:
            return f"INSERT INTO {identifier(table.name)} DEFAULT VALUES;"
        return f"INSERT INTO {identifier(table.name)}({', '.join(names)}) VALUES({', '.join(values)});"

    def _update(self, table: Table, change: RowChange) -> Iterator[str]:
        assert change.after is not None
        after, writable = change.after, _writable(table)
        parts = [
            f"{identifier(name)} = {self._literal(after[name])}"
            for name in change.differing()
            if name in writable
        ]
        where = self._where(table, change, after)
        if parts:  # A generated column alone follows by itself.
            yield f"UPDATE {identifier(table.name)} SET {', '.join(parts)} WHERE {where};"

    def _where(self, table: Table, change: RowChange, row: Row) -> str:
        if table.has_rowid:
            if table.rowid_column is not None:
                return f"{identifier(table.names[table.rowid_column])} = {change.rowid}"
            return f"{rowid_name(table) or 'rowid'} = {change.rowid}"
        names = dict.fromkeys(table.names[: len(table.key)])
        return " AND ".join(f"{identifier(name)} = {self._literal(row[name])}" for name in names)

    def _literal(self, value: object) -> str:
        return sql_literal(value, self.difference.new.pages.encoding)  # type: ignore[arg-type]

    # --- tables --------------------------------------------------------------------------------------

    def _tables(self) -> Iterator[str]:
        pairs = [pair for pair in self.difference.pairs if not pair.name.startswith(_LEFT_OUT)]
        for pair in pairs:
            if pair.new is None and pair.old is not None and not self._is_shadow(pair.old, old=True):
                yield f"DROP TABLE {identifier(pair.old.name)};"
        yield from self._renames()
        for pair in pairs:
            if pair.new is None or pair.name == _SEQUENCE:
                continue
            if pair.old is None:
                yield from self._create(pair.new)
            elif pair.old.sql != pair.new.sql and pair.old.name == pair.new.name:
                yield from self._rebuild(pair.old, pair.new)

    def _renames(self) -> Iterator[str]:
        """One after the other, so that each new name is free when it is taken."""
        left = {one.old.name: one.new.name for one in self.difference.pairs if one.old and one.new}
        left = {old: new for old, new in left.items() if old != new}
        while left:
            old = next((one for one, new in left.items() if new not in left), "")
            if not old:  # A circle: one of them steps aside.
                old, new = left.popitem()
                left[f"{old} as it was"] = new
                yield f"ALTER TABLE {identifier(old)} RENAME TO {identifier(f'{old} as it was')};"
                continue
            yield f"ALTER TABLE {identifier(old)} RENAME TO {identifier(left.pop(old))};"

    def _create(self, one: SchemaObject) -> Iterator[str]:
        if self._is_shadow(one, old=False):
            self.removals.append(f"DELETE FROM {identifier(one.name)};")  # Its owner made it, with rows.
            return
        self._written.add(one.name)
        if one.module:
            self._written.update(f"{one.name}_{suffix}" for suffix in ("data", "content"))
        yield f"{one.sql};"

    def _rebuild(self, old: SchemaObject, new: SchemaObject) -> Iterator[str]:
        self._written.add(new.name)
        self._rebuilt.add(new.name)
        if old.module or new.module:
            yield f"DROP TABLE {identifier(old.name)};"
            yield f"{new.sql};"
            return
        before, after = self.difference.old.table(old.name), self.difference.new.table(new.name)
        aside = identifier(f"{new.name} as it was")
        old_name = dict(zip(before.names, before.names, strict=True)) | old_names(before, after)
        common = [name for name in _writable(after) if name in old_name]
        names = [identifier(name) for name in common]
        old_alias, new_alias = rowid_name(before, alias=True), rowid_name(after, alias=True)
        target, source = list(names), [identifier(old_name[name]) for name in common]
        if before.has_rowid and after.has_rowid and old_alias and new_alias and new_alias not in names:
            target, source = [new_alias, *target], [old_alias, *source]
        yield f"ALTER TABLE {identifier(new.name)} RENAME TO {aside};"
        yield f"{new.sql};"
        if target:
            into = f"INSERT INTO {identifier(new.name)}({', '.join(target)})"
            yield f"{into} SELECT {', '.join(source)} FROM {aside};"
        yield f"DROP TABLE {aside};"

    def _is_shadow(self, one: SchemaObject, *, old: bool) -> bool:
        side = self.difference.old if old else self.difference.new
        return side.schema.owner(one.name) is not None

    # --- what is not a table -------------------------------------------------------------------------

    def _others(self) -> tuple[list[str], list[str]]:
        """What is taken away before, and made after."""
        before, after = self.difference.old.schema.others(), self.difference.new.schema.others()
        drops: list[str] = []
        gone: set[tuple[str, str]] = set()
        dropped = {pair.old.name for pair in self.difference.pairs if pair.old and pair.new is None}
        for key, one in before.items():
            kept = after.get(key)
            is_in_the_way = one.kind == "trigger" and bool(self._written)
            if (
                one.table in self._rebuilt
                or one.table in dropped
                or kept is None
                or kept.sql != one.sql
                or is_in_the_way
            ):
                drops.append(f"DROP {one.kind.upper()} {identifier(one.name)};")
                gone.add(key)
        order = ("index", "view", "trigger")
        made = [one for key, one in after.items() if key in gone or key not in before]
        made.sort(key=lambda one: order.index(one.kind))
        drops.sort(key=lambda text: -order.index(text.split()[1].lower()))
        return drops, [f"{one.sql};" for one in made]

    def _sequence(self) -> Iterator[str]:
        """The counters of AUTOINCREMENT, last: what was inserted has moved them."""
        old, new = self.difference.old, self.difference.new
        if _SEQUENCE not in new.schema.tables:
            if _SEQUENCE in old.schema.tables and self._written:
                yield f"DELETE FROM {_SEQUENCE};"
            return
        table = new.table(_SEQUENCE)
        pair = next(one for one in self.difference.pairs if one.name == _SEQUENCE)
        if not self._written and next(self.difference.rows(pair), None) is None:
            return
        yield f"DELETE FROM {_SEQUENCE};"
        whole = Pair(None, new.schema.tables[_SEQUENCE], whole=True)
        for change in self.difference.rows(whole):
            if change.after is not None:
                yield self._insert(table, change.rowid, change.after)


def rowid_name(table: Table, *, alias: bool = False) -> str:
    """A name of the rowid that no column has taken; "" if all are, or (without `alias`) if a column is it."""
    if not table.has_rowid:
        return ""
    if table.rowid_column is not None:
        return identifier(table.names[table.rowid_column]) if alias else ""
    taken = {name.lower() for name in (*table.names, *table.virtual)}
    return next((name for name in _ROWID_NAMES if name not in taken), "")


def _writable(table: Table) -> list[str]:
    """The columns that a statement may give values to."""
    return list(dict.fromkeys(column.name for column in table.stored if not column.is_generated))
