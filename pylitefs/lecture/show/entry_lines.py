"""An entry's lines as a page gets them: its dumps, each once, and the entry with what is told beside it.

The rule: whoever shows a lecture to a page, the lecturer's or a follower's, makes the lines here; so all
show the same. What is told beside an entry (rows, sides) is made from what a recording holds and from
nothing else.
"""

from collections.abc import Sequence

from pylitefs.lecture.model import Dump, Entry, Json
from pylitefs.lecture.recording import Liner
from pylitefs.lecture.show.changed_rows import ChangedRows, with_rows_of
from pylitefs.lecture.show.sides import with_sides


class EntryLines:
    """The lines of one run."""

    def __init__(self) -> None:
        self._liner = Liner()
        self._rows = ChangedRows()

    def of(self, entry: Entry, dumps: Sequence[Dump]) -> list[Json]:
        """The lines of the run's next entry."""
        *before, line = self._liner.lines(entry, dumps)
        return [*before, with_sides(with_rows_of(line, self._rows.of(entry, dumps)))]
