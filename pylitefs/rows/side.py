"""A database as it was: its pages, its schema, and which table a page belongs to.

The rule: a page is a table's only if the way from the table's root to the page's first key leads there. So
what a free page still holds of old rows is nobody's.
"""

from collections import OrderedDict
from typing import Protocol

from pylitefs.errors import SqliteFormatError
from pylitefs.sqlite.btree import INTERIOR_INDEX, INTERIOR_TABLE, KINDS, LEAF_INDEX, LEAF_TABLE, Node
from pylitefs.sqlite.columns import Table, read_table
from pylitefs.sqlite.freelist import changed_leaves
from pylitefs.sqlite.header import DatabaseHeader
from pylitefs.sqlite.schema import Schema, SchemaObject, read_schema
from pylitefs.sqlite.tree import Pages, nodes, path_to_key, path_to_rowid

_MOST_KEPT = 4096
"""Pages that are held, so that the upper ones of a tree are read once."""
_AUTO_VACUUM_OFFSET = 52


class State(Protocol):
    """What a database's pages are read from: a Moment of its history, or pages at hand."""

    @property
    def txid(self) -> int: ...
    @property
    def page_count(self) -> int: ...

    def page(self, pgno: int) -> bytes:
        """A page of it."""


class Side:
    """One of the two states."""

    def __init__(self, moment: State | None, schema: Schema | None = None) -> None:
        """Without a moment, or after a drop: the database without anything. `schema` is known if no page of
        it has changed since. Raises HistoryGoneError if the pages of the schema are gone."""
        self.moment = moment
        self.page_count = moment.page_count if moment else 0
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self.reads = 0
        """How many pages were read from the history."""
        self._way: dict[str, set[int]] = {}
        self._last = ""
        if not self.page_count:
            self.pages = Pages(self._read, 0, "utf-8")
            self.schema = Schema(())
            return
        self.pages = Pages.of(self._read)
        self.schema = schema if schema is not None else read_schema(self.pages)

    @property
    def txid(self) -> int:
        return self.moment.txid if self.moment else 0

    @property
    def header(self) -> DatabaseHeader:
        """What page 1 begins with."""
        return DatabaseHeader.parse(self._read(1))

    @property
    def is_auto_vacuum(self) -> bool:
        """Whether pages of the pointer map say what each page's parent is."""
        return bool(self.page_count) and any(self._read(1)[_AUTO_VACUUM_OFFSET : _AUTO_VACUUM_OFFSET + 4])

    def has(self, pgno: int) -> bool:
        return 0 < pgno <= self.page_count

    def table(self, name: str) -> Table:
        """What its columns are. Raises SqliteFormatError if this Python's SQLite does not know."""
        return read_table(name, self.schema.tables[name].sql)

    def freed(self, changed: set[int]) -> set[int]:
        """The leaves that the changed pages of the free list name."""
        return changed_leaves(self._read, self.page_count, changed) if self.page_count else set()

    def kind(self, pgno: int) -> int:
        """The byte that says what a page of a b-tree is; of all others it is anything."""
        return self._read(pgno)[100 if pgno == 1 else 0]

    def node(self, pgno: int) -> Node:
        return self.pages.node(pgno)

    def owner(self, pgno: int) -> SchemaObject | None:
        """The table whose rows are in this page; None if it is of no table, or has no rows."""
        if not self.has(pgno) or self.kind(pgno) not in KINDS:
            return None
        try:
            node = self.node(pgno)
            key = self._first_key(node)
        except SqliteFormatError:
            return None  # An old page that nobody uses, which looked like one.
        if pgno in self.schema.pgnos or node.kind == INTERIOR_TABLE:
            return None
        found = sorted(
            (one for one in self.schema.tables.values() if one.root), key=lambda one: one.name != self._last
        )
        for one in found:
            if self._is_way(one, node, key):
                self._last = one.name
                return one
        return None

    def _is_way(self, one: SchemaObject, node: Node, key: "int | list[object] | None") -> bool:
        if key is None or one.root == node.pgno:
            return one.root == node.pgno
        root = self.kind(one.root)
        if root in (LEAF_TABLE, LEAF_INDEX):
            return False
        if isinstance(key, int):
            return root == INTERIOR_TABLE and node.pgno in path_to_rowid(self.pages, one.root, key)
        if root != INTERIOR_INDEX:
            return False
        table = self.table(one.name)
        if all(column.is_known for column in table.key):
            return node.pgno in path_to_key(self.pages, one.root, key, table.key)  # type: ignore[arg-type]
        if one.name not in self._way:  # A collation of the application: its tree cannot be searched.
            self._way[one.name] = {below.pgno for below in nodes(self.pages, one.root)}
        return node.pgno in self._way[one.name]

    def _first_key(self, node: Node) -> "int | list[object] | None":
        """The rowid or the values of its first cell; None of a page without cells."""
        if not node.count or node.kind == INTERIOR_TABLE:
            return None
        if node.kind == LEAF_TABLE:
            return node.rowid(0)
        has_keyed = any(
            one.root and self.kind(one.root) in (LEAF_INDEX, INTERIOR_INDEX)
            for one in self.schema.tables.values()
        )
        return list(self.pages.values(node, 0)) if has_keyed else None

    def _read(self, pgno: int) -> bytes:
        found = self._kept.get(pgno)
        if found is not None:
            self._kept.move_to_end(pgno)
            return found
        if self.moment is None:
            raise SqliteFormatError(f"page {pgno} of a database without pages")
        page = self._kept[pgno] = self.moment.page(pgno)
        self.reads += 1
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return page
