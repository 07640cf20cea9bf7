"""What a primary compared when it decided what a replica gets: the replica's side and its own, line by line.

    entry of catchup.decide --sides--> "rows": [name, left, = or ≠, right, name], and what it "gets"

The rule: it is made of the entry's own facts, so a live page, a replay and the terminal show the same. Where
a recording is too old to have them there is no picture, and the sentence is there as ever.
"""

from pylitefs.lecture.model import Entry, Json

_GETS = {"nothing": "nothing", "files": "LTX files", "snapshot": "a snapshot"}
SAME, OTHER = "=", "≠"


def sides(entry: Entry) -> Json | None:
    """Both sides of the decision that this entry tells; None if it tells none, or not enough."""
    detail = entry.detail
    gets = _GETS.get(str(detail.get("decision")))
    replica, primary = _position(detail.get("position")), _position(detail.get("primary"))
    if entry.name != "catchup.decide" or gets is None or replica is None or primary is None:
        return None
    name = str(detail.get("replica") or "the replica")
    rows = _rows(replica, primary, _position(detail.get("next")))
    return {"replica": name, "primary": entry.node, "rows": rows, "gets": gets}


def with_sides(line: Json) -> Json:
    """A recording's line, with the sides beside an entry that tells of a decision."""
    entry = line.get("entry")
    if entry is None or entry["name"] != "catchup.decide":
        return line
    found = sides(Entry.from_json(entry))
    return line if found is None else {"entry": {**entry, "sides": found}}


def told(found: Json) -> list[str]:
    """The same as lines of text: one a row, and the verdict."""
    rows = [[str(cell) for cell in row] for row in found["rows"]]
    left = max((len(row[0]) for row in rows), default=0)
    middle = max((len(row[1]) for row in rows), default=0)
    lines = [f"{row[0]:{left}}  {row[1]:>{middle}}  {row[2]}  {row[3]}  {row[4]}" for row in rows]
    return [*lines, f"{found['replica']} gets {found['gets']}"]


def _rows(
    replica: tuple[int, str], primary: tuple[int, str], file: tuple[int, str] | None
) -> list[list[str]]:
    txid, checksum = replica
    if txid == 0 or primary[0] == 0 or txid > primary[0]:
        return [_row("the replica's TXID", str(txid), str(primary[0]), "the primary's TXID")]
    if txid == primary[0]:
        return [
            _row("the replica's TXID", str(txid), str(primary[0]), "the primary's TXID"),
            _row("the replica's checksum", checksum, primary[1], "the primary's checksum"),
        ]
    kept = file is not None and file[0] == txid + 1
    rows = [
        _row("the next TXID it needs", str(txid + 1), str(txid + 1) if kept else "gone", "the next LTX file")
    ]
    if file is not None and kept:
        rows.append(_row("the replica's checksum", checksum, file[1], "that file's pre-apply checksum"))
    return rows


def _row(name: str, left: str, right: str, of: str) -> list[str]:
    return [name, left, SAME if left == right else OTHER, right, of]


def _position(text: object) -> tuple[int, str] | None:
    """TXID and checksum of "TXID/CHECKSUM", in hex as a node tells them."""
    txid, _, checksum = str(text or "").partition("/")
    try:
        return (int(txid, 16), checksum) if checksum else None
    except ValueError:
        return None
