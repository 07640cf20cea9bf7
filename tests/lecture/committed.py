"""A recording without a node: what SQL committed to a real database, as entries with LTX files."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from pylitefs.lecture.model import Dump, Entry, Json
from tests.ltx.samples import ChainBuilder

PAGE_SIZE = 512
HEADER: Json = {
    "pylitefs": "0",
    "format": 1,
    "lesson": "made",
    "title": "Made",
    "summary": "",
    "sections": [{"heading": "One", "html": "<p>One</p>", "prose": "One"}],
    "steps": [{"index": 0, "text": "run", "section": 0}],
}


def committed(path: Path, transactions: Sequence[str]) -> list[tuple[Entry, list[Dump]]]:
    """An entry `ltx.commit` of n1 for each of these scripts, every one a transaction of its own."""
    chain = ChainBuilder(PAGE_SIZE)
    found: list[tuple[Entry, list[Dump]]] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA page_size={PAGE_SIZE}")
        for number, script in enumerate(transactions):
            vacuums = script == "VACUUM"
            db.executescript(script if vacuums else f"BEGIN; {script}; COMMIT")
            data = path.read_bytes()
            pages = {at // PAGE_SIZE + 1: data[at : at + PAGE_SIZE] for at in range(0, len(data), PAGE_SIZE)}
            changed = {no: page for no, page in pages.items() if vacuums or chain.pages.get(no) != page}
            file = chain.transaction(changed, len(pages))
            dump = Dump(f"d{number}", f"n1 data.db {number}", f"LTX file {number + 1}", "ltx", file)
            entry = Entry(number, float(number), "event", "ltx.commit", "n1", "data.db", number + 1)
            entry.text, entry.dumps, entry.stop, entry.step = (
                f"Transaction {number + 1}.",
                (dump.id,),
                True,
                0,
            )
            entry.set = {"nodes": ["n1"], "node/n1/role": "primary", "db/n1/data.db/txid": number + 1}
            found.append((entry, [dump]))
    return found


def lines(found: Sequence[tuple[Entry, list[Dump]]]) -> list[Json]:
    """The lines of its recording."""
    rest = [line for entry, dumps in found for line in (*_dump_lines(dumps), {"entry": entry.to_json()})]
    return [HEADER, *rest]


def _dump_lines(dumps: Sequence[Dump]) -> list[Json]:
    return [{"dump": dump.to_json()} for dump in dumps]
