"""Where two systems' LTX files differ in their pages, the report says which rows do."""

from pathlib import Path

from pylitefs.compare.ltx_facts import LtxFacts, read_facts
from pylitefs.compare.row_differences import MOST, differing_rows
from pylitefs.ltx.header import format_filename
from tests.lecture.committed import committed

NAMES = ("pylitefs", "LiteFS")


def last_of(folder: Path, *transactions: str) -> LtxFacts:
    """The facts of the last file of a system's history, which lies as a node keeps it."""
    ltx = folder / "a.db" / "ltx"
    ltx.mkdir(parents=True)
    for number, (_, [dump]) in enumerate(committed(folder / "plain.db", transactions), start=1):
        path = ltx / format_filename(number, number)
        path.write_bytes(dump.data)
    return read_facts(path)


def test_the_rows_that_differ_are_told(tmp_path: Path) -> None:
    """Changed, only here, only there; and no more than a few."""
    made = "CREATE TABLE t(id INTEGER PRIMARY KEY, x)"
    ours = last_of(tmp_path / "a", made, "INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    theirs = last_of(tmp_path / "b", made, "INSERT INTO t VALUES (1, 'A'), (3, 'c')")
    assert differing_rows(ours, theirs, NAMES) == [
        "t 1: pylitefs x 'a'; LiteFS x 'A'",
        "t 2: pylitefs id 2, x 'b'; LiteFS no row",
        "t 3: pylitefs no row; LiteFS id 3, x 'c'",
    ]
    many = ", ".join(f"({n}, 'z')" for n in range(10, 20))
    more = last_of(tmp_path / "c", made, f"INSERT INTO t VALUES {many}")
    told = differing_rows(ours, more, NAMES)
    assert len(told) == MOST + 1 and told[-1] == "… and more"


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    """Retention took the files, or they are damaged."""
    ours = last_of(tmp_path / "a", "CREATE TABLE t(x)")
    theirs = last_of(tmp_path / "b", "CREATE TABLE t(y)")
    assert differing_rows(ours, theirs, NAMES) == ["table t: changed from pylitefs to LiteFS"]
    theirs.path.unlink()
    [told] = differing_rows(ours, theirs, NAMES)
    assert told.startswith("which rows differ is not known: ")
