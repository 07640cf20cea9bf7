"""A small made-up run of a lesson, for the tests of whoever shows one."""

from pylitefs.lecture.invariants import told
from pylitefs.lecture.model import Dump, Entry, Json, Part, Term
from pylitefs.lecture.recording import Head, HeadSection, HeadStep, Recording

HEAD = Head(
    lesson="made-up",
    title="A made-up lesson",
    summary="One transaction, in three steps.",
    sections=(
        HeadSection("Begin", "<p>Two <em>nodes</em>.</p>\n", "Two *nodes*.\n"),
        HeadSection("Commit", "<p>And a commit.</p>\n", "And a commit.\n"),
    ),
    steps=(
        HeadStep(0, "cluster", 0),
        HeadStep(1, "sql n1 INSERT INTO t VALUES (1)", 1),
        HeadStep(2, "ask What is next?\n- nothing\n+ the LTX file\n= The capture makes it.", 1),
    ),
)

JOURNAL = Dump(
    id="d1",
    key="n1 data.db-journal",
    title="n1: data.db-journal",
    format="journal",
    data=bytes.fromhex("d9d505f920a163d7") + bytes(24),
    parts=(
        Part(0, 8, "magic", "d9d505f920a163d7", "Says that this is a journal.", "magic"),
        Part(8, 4, "nRec", "0", "The number of records.", "count"),
    ),
    changed=((8, 4),),
)
QUESTION: Json = {"text": "What is next?", "choices": ["nothing", "the LTX file"], "answer": None, "why": ""}
ANSWERED: Json = {**QUESTION, "answer": 1, "why": "The capture makes it."}


def entries() -> list[Entry]:
    """The run, in order: a cluster, a write with bytes, a question, its answer, and a last event."""
    run = [
        Entry(
            seq=0,
            t_ms=0,
            kind="command",
            name="cluster",
            text="Two nodes.",
            set={
                "nodes": ["n1", "n2"],
                "mode": "paused",
                "lesson/step": 0,
                "node/n1/role": "primary",
                "node/n1/mount": "/somewhere/n1/mnt",
                "node/n2/role": "replica",
                "node/n2/mount": "/somewhere/n2/mnt",
                "node/n2/link": {"state": "up", "delay_ms": 0, "to": "n1"},
            },
            stop=True,
            step=0,
        ),
        Entry(
            seq=1,
            t_ms=12.5,
            kind="event",
            name="journal.write",
            node="n1",
            database="data.db",
            who="writer (pid 7)",
            text="SQLite writes the journal's header.",
            alone="The same.",
            detail={"offset": 0},
            dumps=("d1",),
            lights=(("n1", "data.db", 1, "journalled"),),
            set={
                "lesson/step": 1,
                "db/n1/data.db/txid": 3,
                "db/n1/data.db/checksum": "8000000000000001",
                "db/n1/data.db/locks": [{"who": "writer (pid 7)", "lock": "RESERVED", "kind": "write"}],
                "node/n1/held": [
                    {"name": "journal.write", "database": "data.db", "txid": 0, "who": "writer", "wall_ms": 1}
                ],
            },
            stop=True,
            step=1,
        ),
        Entry(2, 13, "question", text="What is next?", set={"question": QUESTION}, stop=True, step=2),
        Entry(3, 14, "answer", text="The LTX file.", set={"question": ANSWERED}, stop=True, step=2),
        Entry(
            seq=4,
            t_ms=15,
            kind="event",
            name="pos.advance",
            node="n1",
            database="data.db",
            txid=4,
            text="The position moves.",
            dumps=("d1",),
            xor=(Term("before", 1 << 63 | 1), Term("page 1, new", 6), Term("after", 1 << 63 | 7)),
            set={"db/n1/data.db/txid": 4, "node/n1/held": [], "question": None},
            stop=True,
            step=2,
        ),
    ]
    return list(told(run))


def recording() -> Recording:
    return Recording(HEAD, tuple(entries()), {JOURNAL.id: JOURNAL})
