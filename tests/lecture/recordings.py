"""Recordings made by hand, for tests of the page: one lesson of a commit and its way to two replicas.

The bytes are real (a database that SQLite wrote, its journal's records, the LTX file), the events are not.
"""

import sqlite3
import struct
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pylitefs.lecture.anatomy import journal, ltx
from pylitefs.lecture.model import Dump, Entry, Json, Part, Term
from pylitefs.ltx.checksum import CHECKSUM_FLAG, page_checksum
from pylitefs.ltx.encoder import encode
from pylitefs.ltx.header import Header

PAGE_SIZE = 1024
JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
NODES = ("n1", "n2", "n3")
QUESTION: Json = {
    "text": "The LTX file is durable, the shell still waits, and the process is killed. Is the row there?",
    "choices": [
        "No: SQLite has not answered yet",
        "Yes: what is durable under its final name is replayed",
        "Only on the replicas",
    ],
    "answer": None,
    "why": "",
}
WHY = "Recovery rolls the hot journal back and then replays every LTX file that is kept, so the row is there."

HEADER: Json = {
    "pylitefs": "0",
    "format": 1,
    "lesson": "made",
    "title": "A transaction becomes an LTX file",
    "summary": "One INSERT is stopped between two bytes of its commit; its pages go on to the replicas.",
    "sections": [
        {
            "heading": "Three nodes",
            "html": "<p>A primary and two replicas, each with a real mount. All pages of "
            "<code>data.db</code> have 1,024 bytes.</p>",
        },
        {
            "heading": "The commit is held",
            "html": "<p>SQLite <em>journals</em> the old pages, writes the new ones, and unlinks the "
            "journal: <strong>that is the commit</strong>. Just before the name is gone, LiteFS reads the "
            "changed pages once and packs them into an LTX file.</p><p>In the grid <code>J</code> is a page "
            "whose old content is in the journal.</p>",
        },
        {"heading": "On its way", "html": "<p>The streams are woken. What if the way is cut?</p>"},
    ],
    "steps": [
        {"index": 0, "text": "cluster replicas 2", "section": 0},
        {"index": 1, "text": "sql n1 CREATE TABLE t (x); INSERT INTO t VALUES (1)", "section": 0},
        {"index": 2, "text": "pause", "section": 1},
        {"index": 3, "text": "sql n1 INSERT INTO t VALUES (2)", "section": 1},
        {"index": 4, "text": "step", "section": 1},
        {"index": 5, "text": "run-to ltx.commit", "section": 1},
        {"index": 6, "text": "ask Is the row there?\n  - No\n  + Yes\n  = Because", "section": 1},
        {"index": 7, "text": "run-to stream.send n1", "section": 2},
        {"index": 8, "text": "partition n3", "section": 2},
        {"index": 9, "text": "run", "section": 2},
        {"index": 10, "text": 'expect n2 sql "SELECT count(*) FROM t" = 2', "section": 2},
    ],
}


class Maker:
    """Entries in order; each takes what the one before left."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.dumps: dict[int, list[Dump]] = {}
        self.step = -1
        self.t_ms = 0.0

    def add(self, kind: str, text: str = "", dumps: Sequence[Dump] = (), **fields: Any) -> Entry:
        """One entry more."""
        seq = len(self.entries)
        self.t_ms += 7.25
        entry = Entry(seq, self.t_ms, kind, text=text, dumps=tuple(dump.id for dump in dumps), step=self.step)
        for name, value in fields.items():
            setattr(entry, name, value)
        self.entries.append(entry)
        self.dumps[seq] = list(dumps)
        return entry

    def command(self, verb: str, text: str, **fields: Any) -> Entry:
        self.step += 1
        found = fields.pop("set", {})
        assert isinstance(found, dict)
        return self.add("command", text, name=verb, set={"lesson/step": self.step, **found}, **fields)

    def event(self, name: str, node: str, text: str, dumps: Sequence[Dump] = (), **fields: Any) -> Entry:
        who = fields.pop("who", "writer (pid 4711)" if node == "n1" else "applier")
        return self.add("event", text, dumps, name=name, node=node, database="data.db", who=who, **fields)


def pages_of(script: str) -> list[bytes]:
    """The pages of the database that SQLite makes with this script."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "data.db"
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        connection.executescript(script)
        connection.close()
        data = path.read_bytes()
    return [data[at : at + PAGE_SIZE] for at in range(0, len(data), PAGE_SIZE)]


BEFORE = pages_of("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
AFTER = pages_of("CREATE TABLE t (x); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)")


def _checksum(pages: list[bytes]) -> int:
    total = CHECKSUM_FLAG
    for pgno, page in enumerate(pages, 1):
        total ^= page_checksum(pgno, page) & ~CHECKSUM_FLAG
    return total


def journal_dump(records: int) -> Dump:
    """The journal with so many records."""
    head = struct.pack(">8sIIIII", JOURNAL_MAGIC, records, 0xC0FFEE12, len(BEFORE), 512, PAGE_SIZE)
    data = head + bytes(512 - len(head))
    for pgno in (1, 2)[:records]:
        data += struct.pack(">I", pgno) + BEFORE[pgno - 1] + struct.pack(">I", 0xABCD0000 + pgno)
    changed = ((0, 28),) if not records else ((8, 4), (512 + (records - 1) * 1032, 1032))
    return Dump(
        f"journal-{records}",
        "n1 data.db-journal",
        "n1: data.db-journal",
        "journal",
        data,
        journal.anatomy(data, PAGE_SIZE),
        changed=changed,
    )


def ltx_dump(node: str) -> Dump:
    """The LTX file of the transaction."""
    header = Header(
        flags=0,
        page_size=PAGE_SIZE,
        commit=len(AFTER),
        min_txid=3,
        max_txid=3,
        timestamp_ms=1_763_800_000_000,
        pre_apply_checksum=_checksum(BEFORE),
        node_id=0x1F2E3D4C5B6A7988,
    )
    changed = [(n, page) for n, page in enumerate(AFTER, 1) if page != BEFORE[n - 1]]
    data = encode(header, changed, _checksum(AFTER))
    name = "0000000000000003-0000000000000003.ltx"
    return Dump(
        f"ltx-{node}",
        f"{node} {name}",
        f"{node}: {name}",
        "ltx",
        data,
        ltx.anatomy(data),
        changed=((0, len(data)),),
        note="new",
    )


def _frame_dump(ends: str) -> Dump:
    data = struct.pack(">II", 1, 7) + b"data.db" + ltx_dump("n1").data
    parts = (
        Part(0, 4, "type", "1", "An LTX frame: a database's name, then its LTX file in chunks.", "flag"),
        Part(4, 4, "name size", "7", "The name's length in bytes.", "size"),
        Part(8, 7, "name", "data.db", "The database this transaction belongs to.", "field"),
        Part(15, len(data) - 15, "LTX file", "", "As on the primary's disk, byte for byte.", "content"),
    )
    return Dump(f"frame-{ends}", f"{ends} frame", f"{ends}: frame", "frame", data, parts)


def _frame(to: str, phase: str, txid: int = 3) -> Json:
    return {"id": f"f{txid}-{to}", "from": "n1", "to": to, "kind": "ltx", "phase": phase, "bytes": 1264}


def _light(how: str, nodes: Sequence[str], pgnos: Sequence[int], txid: int) -> Json:
    lights = tuple((node, "data.db", pgno, how) for node in nodes for pgno in pgnos)
    value = {"how": how, "txid": txid}
    return {"lights": lights, "set": {f"page/{n}/data.db/{pgno}": value for n in nodes for pgno in pgnos}}


def _with(found: Json, **changes: object) -> Json:
    """More changes of the state, with __ for the slashes and dots of a key."""
    return {**found, "set": {**found.get("set", {}), **changes}}


def _begin(make: Maker) -> None:
    state: Json = {"nodes": list(NODES), "mode": "running"}
    for node in NODES:
        state[f"node/{node}/role"] = "primary" if node == "n1" else "replica"
        state[f"node/{node}/mount"] = f"/var/lib/lecture/{node}/mnt"
        if node != "n1":
            state[f"node/{node}/link"] = {"state": "up", "delay_ms": 0, "to": "n1"}
    make.command("cluster", "Three new nodes: n1 is the primary, n2 and n3 follow.", set=state, stop=True)
    make.command("sql", "n1: CREATE TABLE t (x); INSERT INTO t VALUES (1)")
    for node in NODES:
        db = f"db/{node}/data.db"
        position = {
            f"{db}/txid": 2,
            f"{db}/checksum": f"{_checksum(BEFORE):016x}",
            f"{db}/pages": 2,
            f"{db}/mode": "delete",
        }
        lit = _light("captured" if node == "n1" else "applied", [node], (1, 2), 2)
        make.event("pos.advance", node, "The position moves to TXID 2.", txid=2, **_with(lit, **position))
    shell = {
        "sql": "CREATE TABLE t (x); INSERT INTO t VALUES (1)",
        "state": "done",
        "result": "",
        "pid": 4711,
    }
    make.add(
        "sql", "The shell on n1 has its answer.", node="n1", name="sql", set={"sql/n1/-": shell}, stop=True
    )
    make.command("pause", "From now on every tracepoint holds.", set={"mode": "paused"}, stop=True)


def _held(name: str) -> Json:
    return {
        "node/n1/held": [
            {
                "name": name,
                "database": "data.db",
                "txid": 3,
                "who": "writer (pid 4711)",
                "wall_ms": 1_763_800_000_000,
            }
        ]
    }


def _commit(make: Maker) -> None:
    shell = {"sql": "INSERT INTO t VALUES (2)", "state": "running", "result": "", "pid": 4711}
    locks = [{"who": "writer (pid 4711)", "lock": "RESERVED", "kind": "write"}]
    make.command("sql", "n1: INSERT INTO t VALUES (2)", set={"sql/n1/-": shell})
    make.event(
        "journal.open",
        "n1",
        "SQLite makes `data.db-journal` and writes its header of 512 bytes.",
        [journal_dump(0)],
        alone="The same: the rollback journal is SQLite's own.",
        detail={"offset": "0", "length": "512"},
        set={"db/n1/data.db/locks": locks, **_held("journal.open")},
        stop=True,
    )
    make.command("step", "n1 goes on to the next tracepoint.")
    make.event(
        "journal.write",
        "n1",
        "SQLite copies the old page 2 into the journal, before it changes it.",
        [journal_dump(2)],
        alone="The same, and no one but SQLite would look.",
        detail={"pgno": "2", "offset": "1544", "length": "1032"},
        stop=True,
        **_with(_light("journalled", ["n1"], (1, 2), 3), **_held("journal.write")),
    )
    make.command("run-to", "n1 goes on to `ltx.commit`.")
    make.event("journal.sync", "n1", "The journal is synced.", set=_held("journal.sync"))
    locks = [{"who": "writer (pid 4711)", "lock": "EXCLUSIVE", "kind": "write"}]
    written = _with(_light("written", ["n1"], (2,), 3), **{"db/n1/data.db/locks": locks})
    make.event("page.write", "n1", "SQLite writes page 2 of the database.", detail={"pgno": "2"}, **written)
    make.event("ltx.encode", "n1", "Pages 1 and 2 are packed into an LTX file.", txid=3)
    old, new = page_checksum(2, BEFORE[1]), page_checksum(2, AFTER[1])
    one, two = page_checksum(1, BEFORE[0]), page_checksum(1, AFTER[0])
    terms = [Term("before", _checksum(BEFORE))]
    for label, value in (
        ("page 1, old", one),
        ("page 1, new", two),
        ("page 2, old", old),
        ("page 2, new", new),
    ):
        terms.append(Term(label, value & ~CHECKSUM_FLAG))
    make.event(
        "ltx.commit",
        "n1",
        "The LTX file is durable under its final name: from here on nothing is lost.",
        [ltx_dump("n1"), journal_dump(2)],
        txid=3,
        xor=(*terms, Term("after", _checksum(AFTER))),
        stop=True,
        alone="Nothing: SQLite has only the journal and the database.",
        **_with(_light("captured", ["n1"], (1, 2), 3), **_held("ltx.commit")),
    )
    make.step += 1
    make.add("question", QUESTION["text"], set={"lesson/step": make.step, "question": QUESTION}, stop=True)
    answered = {**QUESTION, "answer": 1, "why": WHY}
    make.add("answer", f"Yes. {WHY}", set={"question": answered}, stop=True)


def _ship(make: Maker) -> None:
    after = {"db/n1/data.db/txid": 3, "db/n1/data.db/checksum": f"{_checksum(AFTER):016x}"}
    make.command("run-to", "n1 goes on to `stream.send`.", set={"question": None})
    make.event(
        "pos.advance", "n1", "The position moves to TXID 3.", txid=3, set={**after, "db/n1/data.db/locks": []}
    )
    for node in ("n2", "n3"):
        make.event(
            "stream.send",
            "n1",
            f"The LTX frame of TXID 3 leaves for {node}.",
            [_frame_dump(f"n1>{node}")],
            txid=3,
            who="n1 itself",
            frame=_frame(node, "send"),
        )
    make.entries[-1].stop = True
    sends = [{"name": "stream.send", "who": "n1 itself", "peer": peer, "wall_ms": 0} for peer in ("n2", "n3")]
    make.entries[-1].set["node/n1/held"] = sends
    cut = {"state": "cut", "delay_ms": 0, "to": "n1"}
    make.command(
        "partition", "The way between n3 and n1 is cut.", node="n3", set={"node/n3/link": cut}, stop=True
    )
    make.command("run", "Everything goes on.", set={"mode": "running", "node/n1/held": []})
    make.event(
        "stream.receive",
        "n2",
        "n2 has the whole frame.",
        [_frame_dump("n1>n2")],
        txid=3,
        frame=_frame("n2", "receive"),
        **_light("shipped", ["n1"], (1, 2), 3),
    )
    make.event(
        "ltx.store",
        "n2",
        "The LTX file is durable on n2.",
        [ltx_dump("n2")],
        txid=3,
        **_light("stored", ["n2"], (1, 2), 3),
    )
    make.event(
        "page.apply",
        "n2",
        "The applier writes pages 1 and 2 through n2's mount.",
        txid=3,
        **_light("applied", ["n2"], (1, 2), 3),
    )
    here = {"db/n2/data.db/txid": 3, "db/n2/data.db/checksum": f"{_checksum(AFTER):016x}"}
    make.event("pos.advance", "n2", "The position moves to TXID 3.", txid=3, set=here)
    done = {"sql": "INSERT INTO t VALUES (2)", "state": "done", "result": "", "pid": 4711}
    make.add(
        "sql", "The shell on n1 has its answer.", node="n1", name="sql", set={"sql/n1/-": done}, stop=True
    )
    make.command("expect", "n2: SELECT count(*) FROM t gives 2, as expected.", stop=True)


def made() -> Maker:
    """The lesson's whole run."""
    make = Maker()
    _begin(make)
    _commit(make)
    _ship(make)
    return make


def lines(make: Maker, header: Json = HEADER) -> list[Json]:
    """A recording's lines."""
    found: list[Json] = [header]
    seen: set[str] = set()
    for entry in make.entries:
        found += [{"dump": d.to_json()} for d in make.dumps[entry.seq] if d.id not in seen]
        seen.update(dump.id for dump in make.dumps[entry.seq])
        found.append({"entry": entry.to_json()})
    return found


def long(count: int) -> list[Json]:
    """A recording of at least `count` entries: commits, one after the other, on three nodes."""
    make = Maker()
    _begin(make)
    txid = 2
    while len(make.entries) < count:
        txid += 1
        make.step = 3
        for lock in ("PENDING", "SHARED", "RESERVED", "EXCLUSIVE"):
            make.event("lock.acquire", "n1", f"{lock} for transaction {txid}.")
        for name in (
            "journal.open",
            "journal.write",
            "journal.sync",
            "page.write",
            "ltx.encode",
            "ltx.commit",
        ):
            make.event(
                name,
                "n1",
                f"{name} of transaction {txid}.",
                [ltx_dump("n1")] if txid % 9 == 0 else [],
                txid=txid,
                **_light("written", ["n1"], (1 + txid % 40,), txid),
            )
        make.event(
            "pos.advance",
            "n1",
            f"The position moves to TXID {txid}.",
            txid=txid,
            stop=True,
            set={"db/n1/data.db/txid": txid, "db/n1/data.db/pages": 40},
        )
        for node in ("n2", "n3"):
            make.event("stream.send", "n1", f"To {node}.", txid=txid, frame=_frame(node, "send", txid))
        for node in ("n2", "n3"):
            make.event("stream.receive", node, "From n1.", txid=txid, frame=_frame(node, "receive", txid))
            make.event(
                "page.apply",
                node,
                "Applied.",
                txid=txid,
                set={f"db/{node}/data.db/txid": txid},
                stop=node == "n3",
            )
    return lines(make)
