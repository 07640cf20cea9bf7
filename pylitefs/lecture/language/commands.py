"""The lesson language: what a lesson, a button of the page, or a person at the terminal can ask for.

The rule: a command is a value. `grammar.parse` turns a line into one of these frozen dataclasses and
touches nothing; the director does it. `VERBS` (verbs.py) and `EXPECTATIONS` are the whole language with one
line of help each, and `docs/lessons.md` is it for people; a test keeps the three alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from pylitefs.lecture.language.verbs import Help


@dataclass(frozen=True, slots=True)
class Command:
    """Base of all commands."""

    verb: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class MakeCluster(Command):
    """New nodes n1 (the primary), n2 …, empty and running; what was there before ends."""

    verb: ClassVar[str] = "cluster"
    replicas: int = 1
    page_size: int = 1024
    """Bytes; each connection says `PRAGMA page_size` before its first statement."""
    journal_mode: str = "delete"
    """Each connection to the primary says `PRAGMA journal_mode` before its first statement."""
    compress: bool = False
    """Whether LTX files are LZ4, as they are by default outside a lecture."""
    retention: float = 600.0
    """Seconds that LTX files are kept; looked at every second."""
    lease: float = 0.0
    """Seconds of a lease, of which all nodes are candidates; 0: n1 is the primary for good."""


@dataclass(frozen=True, slots=True)
class Sql(Command):
    """One or more SQL statements, typed into a shell on a node's mount; the last's rows are the result."""

    verb: ClassVar[str] = "sql"
    node: str
    statement: str
    connection: str = ""
    """Each name is a shell (a process) of its own; "" is the node's first."""


@dataclass(frozen=True, slots=True)
class StepOn(Command):
    """Release the oldest held event (of `node`, or of all) and wait for the next, `count` times.

    Where the nodes run, this pauses them first.
    """

    verb: ClassVar[str] = "step"
    node: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class RunTo(Command):
    """Go on with what is held until the tracepoint `name` is held (on `node`, or on any); then paused."""

    verb: ClassVar[str] = "run-to"
    name: str
    node: str = ""


@dataclass(frozen=True, slots=True)
class RunToCommit(Command):
    """Go on until a position has moved (on `node`, or on any): to the next transaction; then paused."""

    verb: ClassVar[str] = "run-to-commit"
    node: str = ""


@dataclass(frozen=True, slots=True)
class Run(Command):
    """Release everything and hold nothing, until the next `pause`."""

    verb: ClassVar[str] = "run"


@dataclass(frozen=True, slots=True)
class Pause(Command):
    """From now on hold every tracepoint that is passed: those `names` (all if empty) but not `without`."""

    verb: ClassVar[str] = "pause"
    names: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    """Full names: a group such as `lock` is written out by the parser."""


@dataclass(frozen=True, slots=True)
class Partition(Command):
    """Cut the way between a replica and its primary: the connection ends, new ones fail until `heal`."""

    verb: ClassVar[str] = "partition"
    node: str


@dataclass(frozen=True, slots=True)
class Delay(Command):
    """Whatever the primary sends to this replica arrives so much later, until `heal`."""

    verb: ClassVar[str] = "delay"
    node: str
    milliseconds: int


@dataclass(frozen=True, slots=True)
class Drop(Command):
    """End the replica's connection once; it connects again by itself."""

    verb: ClassVar[str] = "drop"
    node: str


@dataclass(frozen=True, slots=True)
class Heal(Command):
    """Take back `partition` and `delay`, of this replica or of all."""

    verb: ClassVar[str] = "heal"
    node: str = ""


@dataclass(frozen=True, slots=True)
class Kill(Command):
    """End a node as a crash would (SIGKILL); its shells end with it."""

    verb: ClassVar[str] = "kill"
    node: str


@dataclass(frozen=True, slots=True)
class Restart(Command):
    """Start a node on its files again (a running one is stopped first), perhaps in another role."""

    verb: ClassVar[str] = "restart"
    node: str
    role: str = ""
    """"primary", "replica", or "" for the one it had."""
    of: str = ""
    """A replica's primary; "" for the one it had, or the only one there is."""


@dataclass(frozen=True, slots=True)
class ExpireLease(Command):
    """The lease's time passes, and nobody renews it: its holder is fenced, and another may take it."""

    verb: ClassVar[str] = "expire-lease"


@dataclass(frozen=True, slots=True)
class Promote(Command):
    """This node asks the primary for its lease (`POST /promote`)."""

    verb: ClassVar[str] = "promote"
    node: str


@dataclass(frozen=True, slots=True)
class Handoff(Command):
    """The primary hands its lease to this node (`POST /handoff`)."""

    verb: ClassVar[str] = "handoff"
    node: str


@dataclass(frozen=True, slots=True)
class Halt(Command):
    """A shell takes the HALT lock, as a program does: it opens `data.db-lock`, and locks its byte 72."""

    verb: ClassVar[str] = "halt"
    node: str
    connection: str = ""


@dataclass(frozen=True, slots=True)
class Unhalt(Command):
    """The shell closes `data.db-lock`, and so gives the HALT lock back."""

    verb: ClassVar[str] = "unhalt"
    node: str
    connection: str = ""


@dataclass(frozen=True, slots=True)
class ExpireHalt(Command):
    """The HALT lock's time passes, and nobody renews it: it ends, first where it is held."""

    verb: ClassVar[str] = "expire-halt"


@dataclass(frozen=True, slots=True)
class Corrupt(Command):
    """Flip one bit of a file in the node's data directory, or of what arrives next over its link."""

    verb: ClassVar[str] = "corrupt"
    node: str
    what: str
    """database, journal, wal, ltx (the newest LTX file), link."""
    offset: int | None = None
    """The byte; None for one that matters in this kind of file."""


@dataclass(frozen=True, slots=True)
class Ltx(Command):
    """Ask a node's LTX files (history, diff, undo), or its backup's; `txid` 0: it is about all of them."""

    verb: ClassVar[str] = "ltx"
    node: str
    what: str
    txid: int = 0


@dataclass(frozen=True, slots=True)
class Expect(Command):
    """Base of what a lesson says is so: polled for up to 10 s, and an `ExpectError` if it never was."""

    verb: ClassVar[str] = "expect"


@dataclass(frozen=True, slots=True)
class ExpectSql(Expect):
    """This query, on a connection of its own, gives these rows."""

    node: str
    statement: str
    value: str
    """Rows joined by newlines, columns by |; NULL is empty. "" where there are no rows."""


@dataclass(frozen=True, slots=True)
class ExpectSqlFails(Expect):
    """This query, on a connection of its own, fails with a message that holds `text`."""

    node: str
    statement: str
    text: str


@dataclass(frozen=True, slots=True)
class ExpectAt(Expect):
    """The database's position on this node has this TXID."""

    node: str
    txid: int


@dataclass(frozen=True, slots=True)
class ExpectChecksum(Expect):
    """The position's checksum on this node is what it was at an older TXID since the last `cluster`."""

    node: str
    txid: int


@dataclass(frozen=True, slots=True)
class ExpectHeld(Expect):
    """This tracepoint is held on this node."""

    node: str
    name: str


@dataclass(frozen=True, slots=True)
class ExpectWaits(Expect):
    """This shell's statement has not come back."""

    node: str
    connection: str = ""


@dataclass(frozen=True, slots=True)
class ExpectDone(Expect):
    """This shell's last statement came back without an error, and with these rows if they are named."""

    node: str
    connection: str = ""
    rows: str | None = None


@dataclass(frozen=True, slots=True)
class ExpectFails(Expect):
    """This shell's last statement failed with a message that holds `text`."""

    node: str
    text: str
    connection: str = ""


@dataclass(frozen=True, slots=True)
class ExpectSame(Expect):
    """These nodes have the same position, and the same bytes in every page."""

    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExpectDiffer(Expect):
    """These two nodes' positions or bytes differ."""

    nodes: tuple[str, str]


@dataclass(frozen=True, slots=True)
class ExpectEvent(Expect):
    """Since the last `cluster` this node passed the tracepoint, and its explanation holds `text`."""

    node: str
    name: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class ExpectNoEvent(Expect):
    """Since the last `cluster` this node did not pass the tracepoint; looked at once, not polled."""

    node: str
    name: str


@dataclass(frozen=True, slots=True)
class ExpectRole(Expect):
    """The node is a primary, a replica, or down."""

    node: str
    role: str


@dataclass(frozen=True, slots=True)
class ExpectLog(Expect):
    """The node's log holds this text."""

    node: str
    text: str


@dataclass(frozen=True, slots=True)
class Ask(Command):
    """A question to the class; the answer and its reason show when it is answered, or at the next Next."""

    verb: ClassVar[str] = "ask"
    question: str
    choices: tuple[str, ...]
    answer: int
    """Index of the right choice."""
    why: str


@dataclass(frozen=True, slots=True)
class Note(Command):
    """A sentence for the class."""

    verb: ClassVar[str] = "note"
    text: str


CORRUPTIBLE = ("database", "journal", "wal", "ltx", "link")
ROLES = ("primary", "replica")
JOURNAL_MODES = ("delete", "truncate", "persist", "wal")

#: The forms of `expect`, by the dataclass each becomes.
EXPECTATIONS: Mapping[type[Expect], Help] = MappingProxyType(
    {
        ExpectSql: Help(
            'expect NODE sql "SELECT …" = ROWS',
            "the query gives these rows: one a line, columns joined by |",
        ),
        ExpectSqlFails: Help(
            'expect NODE sql "SELECT …" fails TEXT', "the query fails, and the message holds this text"
        ),
        ExpectAt: Help("expect NODE at TXID", "the database's position has this TXID"),
        ExpectChecksum: Help(
            "expect NODE checksum of TXID", "the database's checksum is again what it was at this TXID"
        ),
        ExpectHeld: Help("expect NODE held NAME", "this tracepoint is held there"),
        ExpectWaits: Help("expect NODE[/SHELL] waits", "the shell's statement has not come back"),
        ExpectDone: Help(
            "expect NODE[/SHELL] done [ROWS]", "the shell's statement came back without an error"
        ),
        ExpectFails: Help("expect NODE[/SHELL] fails TEXT", "the shell's last statement failed so"),
        ExpectSame: Help("expect same NODE NODE…", "the nodes have the same position and the same bytes"),
        ExpectDiffer: Help("expect differ NODE NODE", "their positions or their bytes differ"),
        ExpectEvent: Help(
            "expect NODE event NAME [TEXT]",
            "the node passed this tracepoint since the last cluster; TEXT is in its explanation",
        ),
        ExpectNoEvent: Help(
            "expect NODE no-event NAME", "the node has not passed this tracepoint since the last cluster"
        ),
        ExpectRole: Help("expect NODE role primary|replica|down", "what the node is now"),
        ExpectLog: Help("expect NODE log TEXT", "the node's log holds this text"),
    }
)
