"""The schema: which tables there are, where each begins, and what its columns mean.

Where tables lie is in table `sqlite_schema`, whose root is page 1. What columns a table has is in the SQL
that made it; SQLite itself reads that, in an empty database in memory (`columns.py`).
The rule: indexes, views and triggers are known by name and SQL alone, for no row is in them.
"""

import re
from dataclasses import dataclass, field

from pylitefs.sqlite.tree import Pages, nodes

SHADOWS = {
    "fts3": ("content", "segments", "segdir", "docsize", "stat"),
    "fts4": ("content", "segments", "segdir", "docsize", "stat"),
    "fts5": ("data", "idx", "content", "docsize", "config"),
    "geopoly": ("node", "parent", "rowid"),
    "rtree": ("node", "parent", "rowid"),
    "rtree_i32": ("node", "parent", "rowid"),
}
"""Suffixes of the tables in which a virtual table keeps what it has, by its module."""
_VIRTUAL = re.compile(r"CREATE\s+VIRTUAL\s+TABLE\b.*?\bUSING\s+[\"'`\[]?(\w+)", re.IGNORECASE | re.DOTALL)
_INTERNAL = re.compile(r"sqlite_|_litestream_(?:seq|lock)\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SchemaObject:
    """A row of `sqlite_schema`."""

    kind: str
    """table, index, view or trigger."""
    name: str
    table: str
    root: int
    """The page at which its b-tree begins; 0 if it has none."""
    sql: str
    """"" of what SQLite makes by itself, for UNIQUE and PRIMARY KEY."""

    @property
    def module(self) -> str:
        """Of a virtual table, what serves it, in small letters; "" of all others."""
        found = _VIRTUAL.match(self.sql) if self.kind == "table" else None
        return found[1].lower() if found else ""

    @property
    def is_internal(self) -> bool:
        """Whether SQLite (sqlite_sequence, sqlite_stat1) or Litestream keeps it for itself."""
        return bool(_INTERNAL.match(self.name))


@dataclass(frozen=True, slots=True)
class Schema:
    """All of them, by kind and name."""

    objects: tuple[SchemaObject, ...]
    pgnos: frozenset[int] = frozenset()
    """The pages in which it lies."""
    _tables: dict[str, SchemaObject] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._tables.update({one.name: one for one in self.objects if one.kind == "table"})

    @property
    def tables(self) -> dict[str, SchemaObject]:
        """Tables by name, the virtual ones too."""
        return self._tables

    def owner(self, name: str) -> SchemaObject | None:
        """The virtual table that a table belongs to as one of its shadow tables; None of others."""
        for virtual in self._tables.values():
            suffixes = SHADOWS.get(virtual.module, ())
            if any(name == f"{virtual.name}_{suffix}" for suffix in suffixes):
                return virtual
        return None

    def others(self) -> dict[tuple[str, str], SchemaObject]:
        """Indexes, views and triggers that have SQL, by kind and name."""
        return {(one.kind, one.name): one for one in self.objects if one.kind != "table" and one.sql}


def read_schema(pages: Pages) -> Schema:
    """The schema of a database. Raises SqliteFormatError where it cannot be read."""
    found: list[SchemaObject] = []
    pgnos: set[int] = set()
    for node in nodes(pages, 1):
        pgnos.add(node.pgno)
        if node.is_interior:
            continue
        for number in range(node.count):
            pgnos.update(pages.overflow_pages(node, number))
            kind, name, table, root, sql = (*pages.values(node, number), None, None, None, None, None)[:5]
            if isinstance(name, str) and isinstance(table, str):
                where = root if isinstance(root, int) else 0
                found.append(SchemaObject(str(kind), name, table, where, sql if isinstance(sql, str) else ""))
    return Schema(tuple(found), frozenset(pgnos))
