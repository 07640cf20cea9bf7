"""The pages in which rows can differ between two states, by table.

These pages are looked at, on both sides:

    what the files between the two states hold
    what became free: SQLite does not write a page that it frees, it only names it in its free list
    what was cut off at the end of the database

The rule: a row that differs is in one of them. For what is in no such page is the same bytes on both sides,
and hangs from the same tree. An overflow page that changed alone leads to the page with its row (`loose.py`).
"""

from dataclasses import dataclass, field

from pylitefs.rows.loose import loose_pages, rows_of_loose
from pylitefs.rows.side import Side


@dataclass(slots=True)
class Touched:
    """For each table, pages that hold rows of it, of the older and of the newer state."""

    old: dict[str, set[int]] = field(default_factory=dict)
    new: dict[str, set[int]] = field(default_factory=dict)
    changed: frozenset[int] = frozenset()
    """All pages that the files hold."""
    walked: bool = False
    """Whether whole tables had to be read, for an overflow page that nothing leads to."""

    @property
    def turned(self) -> "Touched":
        """The same, seen from the other side."""
        return Touched(self.new, self.old, self.changed, self.walked)


def find_touched(old: Side, new: Side, changed: set[int]) -> Touched:
    """`changed` is what the files between the two have. Raises HistoryGoneError where a page is gone."""
    free = new.freed(changed)
    pgnos = changed | free | set(range(new.page_count + 1, old.page_count + 1))
    pgnos |= _moved_roots(old, new)
    found = Touched(changed=frozenset(changed))
    _add(old, pgnos, found.old)
    _add(new, pgnos, found.new)
    loose = loose_pages(new, changed, free)
    if loose:
        rows, found.walked = rows_of_loose(new, loose)
        for name, more in rows.items():
            _add(old, more, found.old)
            found.new.setdefault(name, set()).update(more)
    return found


def _moved_roots(old: Side, new: Side) -> set[int]:
    """Of tables that begin at another page now: what is there may be the same bytes, and of another table."""
    before, after = old.schema.tables, new.schema.tables
    both = [(before[name].root, after[name].root) for name in before.keys() & after.keys()]
    return {root for pair in both if pair[0] != pair[1] for root in pair if root}


def _add(side: Side, pgnos: set[int], tables: dict[str, set[int]]) -> None:
    for pgno in sorted(pgnos):
        owner = side.owner(pgno)
        if owner is not None:
            tables.setdefault(owner.name, set()).add(pgno)
