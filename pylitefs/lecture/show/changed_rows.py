"""Which rows a transaction changed, told from the LTX files that a lecture shows.

    entry with an LTX file's bytes --of--> {"tables": rows before and after, "told": the schema, "pages"}

The rule: it is made from what a recording holds and from nothing else, so a live page, a replay and an old
recording show the same. States of a database are known by their checksum: which node made a file, and which
node stored it, is all the same. What is not known is said.
"""

import io
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pylitefs.errors import LtxError, PylitefsError
from pylitefs.lecture.model import Dump, Entry, Json
from pylitefs.ltx.decoder import Decoder
from pylitefs.rows.compare import Pair, RowChange
from pylitefs.rows.difference import Difference, between
from pylitefs.rows.history import is_folded
from pylitefs.rows.literals import shown_value
from pylitefs.rows.side import Side
from pylitefs.sqlite import Buffer
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE
from pylitefs.sqlite.tree import nodes

MOST_ROWS = 200
"""Of a transaction; the rest is a number."""
MOST_CHARS = 1000
"""Of a value."""
_BROKEN = (PylitefsError, ValueError, ArithmeticError, LookupError, RuntimeError)
"""What reading pages raises that are none: a recording may come from anywhere."""
_MOST_STATES = 64
_MOST_PAGES = 4096
"""Of a database; a lecture's have a few. A stranger's recording may say anything."""


@dataclass(frozen=True, slots=True)
class _State:
    """A database after a transaction, by its pages."""

    txid: int
    page_count: int
    pages: Mapping[int, bytes]

    def page(self, pgno: int) -> bytes:
        found = self.pages.get(pgno)
        if found is None:
            raise PylitefsError(f"page {pgno} is in no LTX file that is shown")
        return found


class ChangedRows:
    """Keeps the states that LTX files led to, and what each file changed."""

    def __init__(self) -> None:
        self._states: OrderedDict[tuple[str, int], _State] = OrderedDict()

    def of(self, entry: Entry, dumps: Iterable[Dump]) -> Json | None:
        """What the LTX file of this entry changed; None of an entry without one."""
        if not entry.name.startswith("ltx."):
            return None
        for dump in dumps:
            if dump.format == "ltx" and dump.base == 0:
                try:
                    return self._told(entry.database, dump.data)
                except LtxError:
                    why = "its LTX file is not shown as a whole, or is damaged"
                except _BROKEN as error:
                    why = f"its pages cannot be read: {error}"
                return {"txid": entry.txid, "unknown": why}
        return None

    def _told(self, database: str, data: bytes) -> Json:
        """Raises LtxError, and what is in _BROKEN."""
        decoder = Decoder(io.BytesIO(data).read)
        written = dict(decoder.pages())
        header = decoder.header
        found: Json = {"txid": header.max_txid}
        if header.commit > _MOST_PAGES:
            return {**found, "unknown": f"the database has {header.commit:,} pages, too many to look at"}
        is_first = header.is_snapshot
        before = None if is_first else self._states.get((database, header.pre_apply_checksum))
        if before is None and not is_first:
            return {**found, "unknown": "the pages before it are in no LTX file that is shown"}
        kept = dict(before.pages) if before is not None else {}
        pages = {pgno: page for pgno, page in {**kept, **written}.items() if pgno <= header.commit}
        after = _State(header.max_txid, header.commit, pages)
        self._states[database, decoder.trailer.post_apply_checksum] = after
        if len(self._states) > _MOST_STATES:
            self._states.popitem(last=False)
        if is_first and header.max_txid > 1:
            return {**found, "snapshot": True}
        return {**found, **_changes(before, after, set(written))}


def with_rows(lines: Iterable[Json]) -> Iterator[Json]:
    """The lines of a recording, with the rows beside each entry that has an LTX file."""
    rows = ChangedRows()
    dumps: dict[str, Dump] = {}
    for line in lines:
        dump, entry = line.get("dump"), line.get("entry")
        if dump is not None and dump["format"] == "ltx":
            dumps[dump["id"]] = Dump.from_json(dump)
        if entry is not None and any(one in dumps for one in entry["dumps"]):
            known = [dumps[one] for one in entry["dumps"] if one in dumps]
            yield with_rows_of(line, rows.of(Entry.from_json(entry), known))
        else:
            yield line


def with_rows_of(line: Json, rows: Json | None) -> Json:
    """An entry's line, with its rows."""
    return line if rows is None else {"entry": {**line["entry"], "rows": rows}}


def _changes(before: _State | None, after: _State, changed: set[int]) -> Json:
    old = Side(before)
    found = between(old, after, changed, is_one_step=True)
    left = MOST_ROWS
    tables: list[Json] = []
    for pair in found.pairs:
        name = found.shown_name(pair)
        if name is None:
            continue
        rows, more = [], 0
        for change in found.rows(pair):
            if left:
                left -= 1
                rows.append(_row(found, pair, change))
            else:
                more += 1
        if rows or more:
            tables.append({"table": name, "rows": rows, "more": more})
    told = [["changed", "VACUUM: every page was written anew, and no row changed"]] if found.is_vacuum else []
    for one in found.schema:
        if not is_folded(found, one.name):
            was = f", before that {one.before}" if one.what == "renamed" else ""
            sign = {"created": "added", "dropped": "removed"}.get(one.what, "changed")
            told.append([sign, f"{one.kind} {one.name} {one.what}{was}: {' '.join(one.sql.split())}"])
    if old.page_count and not after.page_count:
        told.append(["removed", "the database was dropped"])
    return {"tables": tables, "told": told, "pages": _owners(found)}


def _row(found: Difference, pair: Pair, change: RowChange) -> list[object]:
    """Its kind, its key, and of each column that is told its name, the value before and the one after."""
    names = change.differing() if change.kind == "changed" else list(change.row)
    cells = [[name, *(_value(side, name) for side in (change.before, change.after))] for name in names]
    return [change.kind, ", ".join(found.key(pair, change)), cells]


def _value(row: Mapping[str, object] | None, name: str) -> str | None:
    return shown_value(row[name], MOST_CHARS) if row is not None and name in row else None


def _owners(found: Difference) -> list[list[object]]:
    """Of each page that changed: what it belongs to, as it is after the transaction."""
    side = found.new
    if not side.page_count:
        return []
    owners: dict[int, str] = dict.fromkeys(side.schema.pgnos, "schema")
    for one in side.schema.objects:
        if one.root and one.kind in ("table", "index"):
            for node in nodes(side.pages, one.root):
                owners[node.pgno] = f"{one.kind} {one.name}"
                if not node.is_interior or one.kind == "index":
                    for number in range(node.count):
                        overflow = side.pages.overflow_pages(node, number)
                        owners.update(dict.fromkeys(overflow, f"{one.kind} {one.name}, overflow"))
    if found.old.page_count and _has_other_header_alone(found.old.pages.read(1), side.pages.read(1)):
        owners[1] = "database header"
    names: dict[str, list[object]] = {}
    for pgno in sorted(found.touched.changed):
        if pgno <= side.page_count:
            names.setdefault(owners.get(pgno, "free"), []).append(pgno)
    return [[name, *pgnos] for name, pgnos in names.items()]


def _has_other_header_alone(before: Buffer, after: Buffer) -> bool:
    return before[DATABASE_HEADER_SIZE:] == after[DATABASE_HEADER_SIZE:]
