"""An entry's lines: the dumps that are new, then the entry with what is told beside it."""

from pylitefs.lecture.show.changed_rows import with_rows
from pylitefs.lecture.show.entry_lines import EntryLines
from tests.lecture import recordings


def test_a_dump_goes_once_before_the_entry_that_names_it() -> None:
    """And the entries are as a recording's with their rows."""
    made = recordings.made()
    lines = EntryLines()
    found = [line for entry in made.entries for line in lines.of(entry, made.dumps[entry.seq])]
    ids = [line["dump"]["id"] for line in found if "dump" in line]
    assert len(ids) == len(set(ids)) > 2
    known: set[str] = set()
    for line in found:
        if "dump" in line:
            known.add(line["dump"]["id"])
        else:
            assert known.issuperset(line["entry"]["dumps"])
    recorded = [line["entry"] for line in with_rows(recordings.lines(made)) if "entry" in line]
    told = [line["entry"] for line in found if "entry" in line]
    assert [one.get("rows") for one in told] == [one.get("rows") for one in recorded]
    assert any(one.get("rows") for one in told)
