"""The rows of two states, before and after: what was added, changed, removed.

The rule: two rows are the same if SQLite would say so of every value, its type included. A table's rows
are compared by their rowid, or by the key of a table WITHOUT ROWID. Tables with rowids flow through, two
pages at a time; of one WITHOUT ROWID the rows of the touched pages are held.
A table that is in one state only is read as a whole, for all of it was added or removed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pylitefs.rows.side import Side
from pylitefs.rows.touched import Touched
from pylitefs.sqlite.btree import Node
from pylitefs.sqlite.columns import Table
from pylitefs.sqlite.records import RawText, Value, are_same, is_same
from pylitefs.sqlite.schema import SchemaObject
from pylitefs.sqlite.tree import nodes

ADDED, CHANGED, REMOVED = "added", "changed", "removed"
Row = dict[str, Value]


@dataclass(frozen=True, slots=True)
class RowChange:
    """One row."""

    rowid: int | None
    """None in a table WITHOUT ROWID."""
    before: Row | None
    after: Row | None

    @property
    def kind(self) -> str:
        if self.before is None:
            return ADDED
        return REMOVED if self.after is None else CHANGED

    @property
    def row(self) -> Row:
        """The row after it, or before where there is none after."""
        found = self.after if self.after is not None else self.before
        assert found is not None
        return found

    def differing(self) -> list[str]:
        """The columns that changed."""
        before, after = self.before or {}, self.after or {}
        return [name for name in after if name not in before or not is_same(before[name], after[name])]


@dataclass(frozen=True, slots=True)
class Pair:
    """A table in both states, or in one of them."""

    old: SchemaObject | None
    new: SchemaObject | None
    whole: bool = False
    """Whether all of it is read: its pages were made anew."""

    @property
    def name(self) -> str:
        one = self.new or self.old
        assert one is not None
        return one.name


def pair_tables(old: Side, new: Side) -> list[Pair]:
    """Which table became which, by name and root page."""
    mine, theirs = old.schema.tables, new.schema.tables
    renamed = {
        one.name: other.name
        for other in theirs.values()
        for one in mine.values()
        if other.name not in mine
        and one.root
        and one.root == other.root
        and (one.name not in theirs or theirs[one.name].root != one.root)
        and old.table(one.name).names == new.table(other.name).names
    }
    pairs: list[Pair] = []
    for name, one in mine.items():
        other = theirs.get(renamed.get(name, name))
        if other is None or (other.name == name and name in renamed):
            pairs.append(Pair(one, None, whole=True))
        else:
            moved = one.root != other.root and not (old.is_auto_vacuum and new.is_auto_vacuum)
            pairs.append(Pair(one, other, whole=moved or bool(one.root) != bool(other.root)))
    taken = {pair.new.name for pair in pairs if pair.new is not None}
    pairs += [Pair(None, other, whole=True) for name, other in theirs.items() if name not in taken]
    return pairs


def row_changes(old: Side, new: Side, touched: Touched, pair: Pair) -> Iterator[RowChange]:
    """The rows of one table that differ, those of a table with rowids in their order."""
    before, after = (
        _half(old, pair.old, touched.old, pair.whole),
        _half(new, pair.new, touched.new, pair.whole),
    )
    has_rowid = [half.table.has_rowid for half in (before, after) if half is not None]
    if has_rowid:
        yield from (_merged if all(has_rowid) else _by_key)(before, after)


@dataclass(frozen=True, slots=True)
class _Half:
    """A table of one state, and its pages that are to be read (None: all of them)."""

    side: Side
    root: int
    table: Table
    pgnos: set[int] | None


def _half(side: Side, one: SchemaObject | None, touched: dict[str, set[int]], whole: bool) -> _Half | None:
    if one is None or not one.root:
        return None
    return _Half(side, one.root, side.table(one.name), None if whole else touched.get(one.name, set()))


@dataclass(frozen=True, slots=True)
class _Cell:
    """A row where it lies."""

    side: Side
    table: Table
    node: Node
    number: int
    rowid: int

    def record(self) -> bytes:
        return self.side.pages.record(self.node, self.number)

    def row(self) -> Row:
        values = self.side.pages.values(self.node, self.number)
        return dict(zip(self.table.names, self.table.row(self.rowid, values), strict=True))


def _merged(before: _Half | None, after: _Half | None) -> Iterator[RowChange]:
    """Two rows of cells, each ascending by rowid."""
    left, right = _cells(before), _cells(after)
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one.rowid < other.rowid):
            assert one is not None
            yield RowChange(one.rowid, one.row(), None)
            one = next(left, None)
        elif one is None or other.rowid < one.rowid:
            yield RowChange(other.rowid, None, other.row())
            other = next(right, None)
        else:
            change = _change(one, other)
            if change is not None:
                yield change
            one, other = next(left, None), next(right, None)


def _by_key(before: _Half | None, after: _Half | None) -> Iterator[RowChange]:
    """By the key's very values: where a collation calls two keys the same, one was removed and one added."""
    kept: dict[object, list[_Cell]] = {}
    for cell in _cells(before):
        kept.setdefault(_identity(cell), []).append(cell)
    for cell in _cells(after):
        same = kept.get(_identity(cell))
        if not same:
            yield RowChange(_rowid(cell), None, cell.row())
        elif (change := _change(same.pop(), cell)) is not None:
            yield change
    for cells in kept.values():
        for cell in cells:
            yield RowChange(_rowid(cell), cell.row(), None)


def old_names(before: Table, after: Table) -> dict[str, str]:
    """Columns that have another name now: in the same place, and neither name is in the other table. SQLite
    writes no row for that. (Where it drops a column it writes them all, so what is told then is right.)
    """
    pairs = zip(before.names, after.names, strict=False)
    return {new: old for old, new in pairs if old not in after.names and new not in before.names}


def _rowid(cell: _Cell) -> int | None:
    return cell.rowid if cell.table.has_rowid else None


def _change(one: _Cell, other: _Cell) -> RowChange | None:
    if one.table == other.table and one.record() == other.record():
        return None
    before, after = one.row(), other.row()
    for new, old in old_names(one.table, other.table).items():
        before[new] = before.pop(old)
    for column in other.table.stored:  # Added since: until it was written anew, the row had its default.
        before.setdefault(column.name, column.default)
    common = [name for name in after if name in before]
    if are_same([before[name] for name in common], [after[name] for name in common]):
        return None
    return RowChange(_rowid(other), before, after)


def _cells(half: _Half | None) -> Iterator[_Cell]:
    """The rows in its pages, in the order of their rowids."""
    if half is None:
        return
    side, table = half.side, half.table
    if half.pgnos is None:
        for node in nodes(side.pages, half.root):
            yield from _of_node(side, table, node)
        return
    firsts: list[tuple[int, int]] = []
    for pgno in half.pgnos:
        node = side.node(pgno)
        if node.count:
            firsts.append((node.rowid(0) if node.is_table else pgno, pgno))
    for _, pgno in sorted(firsts):
        yield from _of_node(side, table, side.node(pgno))


def _of_node(side: Side, table: Table, node: Node) -> Iterator[_Cell]:
    if node.is_table and node.is_interior:
        return
    for number in range(node.count):
        yield _Cell(side, table, node, number, node.rowid(number) if node.is_table else 0)


def _identity(cell: _Cell) -> object:
    """What tells a row apart from all others of its table."""
    if cell.table.has_rowid:
        return cell.rowid
    return exact(cell.side.pages.values(cell.node, cell.number)[: len(cell.table.key)])


def exact(values: Sequence[Value]) -> tuple[object, ...]:
    """The values as something that is equal only if they are the same."""
    return tuple(
        (
            type(one).__name__,
            repr(one) if isinstance(one, float) else bytes(one) if isinstance(one, RawText) else one,
        )
        for one in values
    )
