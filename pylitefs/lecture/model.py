"""What a lecture is made of for those who show it: entries, in order, and the dumps of bytes they point to.

The rule: a viewer (the page, the terminal, a replay) knows nothing but this. The state at entry N is
what the `set` of entries 0 … N gives when applied in order to an empty dict; so a slider that moves back
is a shorter loop, and a recording needs no node. All of it is JSON, one object a line.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

FORMAT = 1
"""The recording format's number: the first line of a recording says it."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes of a dump that belong together: a field, or a page's content."""

    offset: int
    """From the file's (or frame's) first byte."""
    length: int
    name: str
    value: str = ""
    """The bytes read as what they are: a number, a flag's name, a page number."""
    meaning: str = ""
    """One sentence for people."""
    kind: str = "field"
    """Colour: magic, size, page, count, txid, checksum, salt, flag, time, lock, content, unused, field."""


@dataclass(frozen=True, slots=True)
class Dump:
    """The bytes of a file or frame at one moment, annotated."""

    id: str
    """Unique in a recording; equal bytes at the same place give the same id."""
    key: str
    """What is shown, the same over time: "n1 data.db-journal", "n1 0000000000000002.ltx", "n1>n2 frame"."""
    title: str
    format: str
    """journal, wal, wal-index, ltx, frame, database, position."""
    data: bytes
    parts: tuple[Part, ...] = ()
    base: int = 0
    """The offset in the file of `data`'s first byte."""
    changed: tuple[tuple[int, int], ...] = ()
    """(offset, length) of bytes that differ from the dump of the same key before."""
    note: str = ""
    """What is left out, or why the file is shown."""

    def to_json(self) -> Json:
        return {
            "id": self.id,
            "key": self.key,
            "title": self.title,
            "format": self.format,
            "base": self.base,
            "data": base64.b64encode(self.data).decode(),
            "parts": [[p.offset, p.length, p.name, p.value, p.meaning, p.kind] for p in self.parts],
            "changed": [list(pair) for pair in self.changed],
            "note": self.note,
        }

    @classmethod
    def from_json(cls, found: Json) -> "Dump":
        return cls(
            id=found["id"],
            key=found["key"],
            title=found["title"],
            format=found["format"],
            data=base64.b64decode(found["data"]),
            parts=tuple(Part(*part) for part in found["parts"]),
            base=found["base"],
            changed=tuple((offset, length) for offset, length in found["changed"]),
            note=found["note"],
        )


@dataclass(frozen=True, slots=True)
class Term:
    """One factor of a rolling checksum's XOR."""

    label: str
    """"before", "page 2, old", "page 2, new", "after"."""
    value: int


@dataclass(slots=True)
class Entry:
    """One thing that happened, or was done, or is told."""

    seq: int
    """0, 1, 2 …, without gaps."""
    t_ms: float
    """Milliseconds since the run began."""
    kind: str
    """event (a tracepoint), command (a lesson's command, done), sql (a statement's end), fault, prose,
    question, answer, note, error."""
    name: str = ""
    """Of an event: the tracepoint's name; of a command: its verb."""
    node: str = ""
    database: str = ""
    txid: int = 0
    who: str = ""
    """Who caused it: "writer (pid 123)", "applier", "n1 itself"."""
    text: str = ""
    """One sentence that says what happened, with its numbers."""
    alone: str = ""
    """What SQLite alone, without LiteFS, would do at this step; "" where nothing is to say."""
    detail: Json = field(default_factory=dict)
    """Small facts as text, for the hover: pgno, offset, length, reason …"""
    dumps: tuple[str, ...] = ()
    """Ids of the dumps to show, the most telling first."""
    frame: Json | None = None
    """A message between nodes: {"id", "from", "to", "kind", "phase": "send" | "receive", "bytes"}."""
    lights: tuple[tuple[str, str, int, str], ...] = ()
    """Pages that light up: (node, database, pgno, journalled|written|captured|shipped|stored|applied)."""
    xor: tuple[Term, ...] = ()
    """The checksum's XOR written out: all terms but the last give the last."""
    set: Json = field(default_factory=dict)
    """Changes of the state: key → new value, None removes the key. The keys are in `STATE_KEYS`."""
    stop: bool = False
    """Whether Next stops here when it walks through the history."""
    step: int = -1
    """The lesson's step (index of its command) that this belongs to; -1 before the first."""

    def to_json(self) -> Json:
        return {
            "seq": self.seq,
            "t_ms": round(self.t_ms, 3),
            "kind": self.kind,
            "name": self.name,
            "node": self.node,
            "database": self.database,
            "txid": self.txid,
            "who": self.who,
            "text": self.text,
            "alone": self.alone,
            "detail": self.detail,
            "dumps": list(self.dumps),
            "frame": self.frame,
            "lights": [list(light) for light in self.lights],
            # As text: JavaScript's numbers have 53 bits.
            "xor": [[term.label, f"{term.value:016x}"] for term in self.xor],
            "set": self.set,
            "stop": self.stop,
            "step": self.step,
        }

    @classmethod
    def from_json(cls, found: Json) -> "Entry":
        known = dict(found)
        known["dumps"] = tuple(found["dumps"])
        known["lights"] = tuple((node, database, pgno, how) for node, database, pgno, how in found["lights"])
        known["xor"] = tuple(Term(label, int(value, 16)) for label, value in found["xor"])
        return cls(**known)


#: The keys of the state, with NODE, DB, PGNO and CONN standing for names; what each value is.
STATE_KEYS: Mapping[str, str] = {
    "nodes": "the nodes' names in order: ['n1', 'n2', 'n3']",
    "mode": "'paused' (all is held) or 'running'",
    "lesson/step": "the index of the command that was run last",
    "lesson/yours": "what a person did beside the lesson: [[the index of the step that came next, the line]]",
    "level": "how a level stands: its goal, what is left, what was given (as live/attempt.py shows it)",
    "question": "an open question: {'text', 'choices', 'answer': index or null until revealed, 'why'}",
    "invariants": "five sentences, as invariants.py: [{'name', 'short', 'says', 'state', 'why', 'at': seq}]",
    "lease": "of a cluster with a lease: {'holder': 'n1' or '', 'session': its first 8 digits, 'ttl_s'}",
    "halt": "who has the HALT lock, as the primary says: {'holder': 'n2'}; nothing where nobody has it",
    "node/NODE/lease": "'cut' where the node's way to the lease service is cut, else ''",
    "node/NODE/role": "'primary', 'replica' or 'down'",
    "node/NODE/mount": "the mount's path, to paste into a terminal; '' in a recording",
    "node/NODE/link": "a replica's way to its primary: {'state': 'up'|'cut'|'down', 'delay_ms', 'to': 'n1'}",
    "node/NODE/held": "what is held, oldest first: [{'name', 'database', 'txid', 'who', 'peer', 'wall_ms'}]",
    "db/NODE/DB/txid": "the position's TXID",
    "db/NODE/DB/checksum": "the position's checksum, 16 hex digits",
    "db/NODE/DB/pages": "the database's page count",
    "db/NODE/DB/mode": "'delete', 'truncate', 'persist', 'wal' …; '' if unknown",
    "db/NODE/DB/locks": "who holds what: [{'who', 'lock' (SHARED, WRITE …), 'kind': 'read'|'write'}]",
    "page/NODE/DB/PGNO": "how the page stands: {'how': as in Entry.lights, 'txid'}",
    "sql/NODE/CONN": "the last statement: {'sql', 'state': 'running'|'done'|'error', 'result', 'pid'}",
}


def state_at(entries: Iterable[Entry]) -> Json:
    """The state after these entries."""
    state: Json = {}
    for entry in entries:
        for key, value in entry.set.items():
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value
    return state


def to_line(found: Json) -> str:
    """One line of a recording or of the event stream."""
    return json.dumps(found, separators=(",", ":"), ensure_ascii=False)
