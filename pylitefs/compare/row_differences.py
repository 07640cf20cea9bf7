"""Where two LTX files differ in their pages: the rows that differ after them.

The rule: it explains a difference that was noted, and is none of its own. What cannot be known is said.
"""

import sqlite3
from collections.abc import Iterator
from itertools import islice

from pylitefs.compare.ltx_facts import LtxFacts
from pylitefs.errors import PylitefsError
from pylitefs.ltx.timeline import open_timeline
from pylitefs.rows.difference import Difference, between
from pylitefs.rows.literals import shown_value
from pylitefs.rows.side import Side

MOST = 5
_NONE = "no row"


def differing_rows(ours: LtxFacts, theirs: LtxFacts, names: tuple[str, str]) -> list[str]:
    """A line for each of the first rows that differ after these two transactions."""
    sums = [dict(one.pages) for one in (ours, theirs)]
    changed = {pgno for pgno in sums[0] | sums[1] if sums[0].get(pgno) != sums[1].get(pgno)}
    try:
        with (
            open_timeline(ours.path.parent.parent) as mine,
            open_timeline(theirs.path.parent.parent) as other,
        ):
            old = Side(mine.moment(ours.header.max_txid))
            moment = other.moment(theirs.header.max_txid)
            found = list(islice(_lines(between(old, moment, changed, is_one_step=False), names), MOST + 1))
    except (PylitefsError, OSError, sqlite3.Error, ValueError, LookupError) as error:
        return [f"which rows differ is not known: {error}"]
    if len(found) > MOST:
        found[MOST:] = ["… and more"]
    return found or ["no row differs"]


def _lines(found: Difference, names: tuple[str, str]) -> Iterator[str]:
    for one in found.schema:
        yield f"{one.kind} {one.name}: {one.what} from {names[0]} to {names[1]}"
    for pair in found.pairs:
        for change in found.rows(pair):
            columns = change.differing() if change.kind == "changed" else list(change.row)
            sides = [
                _NONE if row is None else ", ".join(f"{name} {shown_value(row[name])}" for name in columns)
                for row in (change.before, change.after)
            ]
            key = ",".join(found.key(pair, change))
            yield f"{pair.name} {key}: {names[0]} {sides[0]}; {names[1]} {sides[1]}"
