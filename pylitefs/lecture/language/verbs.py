"""Every command of the lesson language, with one line of help.

The rule: what is here is what `grammar.py` reads and docs/lessons.md says; a test keeps the three alike.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Help:
    """One line of the language for people."""

    usage: str
    """NODE, NAME and so on stand for what is typed; […] may be left out; a|b is either."""
    help: str


VERBS: Mapping[str, Help] = MappingProxyType(
    {
        "cluster": Help(
            "cluster [replicas N] [page-size N] [journal MODE] [compress] [retention SECONDS] [lease TIME]",
            "new, empty nodes: the primary n1 and N replicas n2, n3 …; they run",
        ),
        "sql": Help(
            "sql NODE[/SHELL] STATEMENT…",
            "type SQL into a shell on the node's mount; ends when it is done, or when its commit is held",
        ),
        "step": Help("step [NODE] [COUNT]", "let the oldest held tracepoint go, and wait for the next one"),
        "run-to": Help("run-to NAME [NODE]", "go on until this tracepoint is held"),
        "run-to-commit": Help(
            "run-to-commit [NODE]", "go on until a position has moved: to the next transaction"
        ),
        "run": Help("run", "let everything go and hold nothing more"),
        "pause": Help(
            "pause [NAME…] [without NAME…]",
            "from now on hold every tracepoint (or those named) that a node passes",
        ),
        "partition": Help(
            "partition NODE", "cut the way between a replica and its primary, until it is healed"
        ),
        "delay": Help(
            "delay NODE TIME", "what the primary sends to this replica arrives later by, say, 200ms"
        ),
        "drop": Help("drop NODE", "end a replica's connection once; it connects again by itself"),
        "heal": Help("heal [NODE]", "take back partition and delay, of one replica or of all"),
        "kill": Help("kill NODE", "end a node as a crash would"),
        "restart": Help(
            "restart NODE [as primary|replica [of NODE]]",
            "start a node again on the files it has, perhaps in another role",
        ),
        "expire-lease": Help(
            "expire-lease", "the lease's time passes without a renewal: it ends, and another node may take it"
        ),
        "promote": Help("promote NODE", "this node asks the primary for its lease (POST /promote)"),
        "handoff": Help("handoff NODE", "the primary hands its lease to this node (POST /handoff)"),
        "halt": Help(
            "halt NODE[/SHELL]",
            "the shell takes the HALT lock (it opens data.db-lock): from then on its node may write",
        ),
        "unhalt": Help("unhalt NODE[/SHELL]", "the shell gives the HALT lock back (it closes data.db-lock)"),
        "expire-halt": Help(
            "expire-halt", "the HALT lock's time passes without a renewal: it ends, wherever its holder is"
        ),
        "corrupt": Help(
            "corrupt NODE database|journal|wal|ltx|link [OFFSET]",
            "flip one bit of a file, or of what arrives next",
        ),
        "ltx": Help(
            "ltx NODE history|diff TXID|undo TXID|backup|hole TXID|verify|restore TXID",
            "what the LTX files of a node, or of its backup, tell and can do",
        ),
        "look": Help(
            "look NODE [page N|lock NAME|FILE [FIELD [N]]]",
            "point at a node, a page, a lock, or the bytes of a file; each viewer shows it",
        ),
        "expect": Help("expect …", "say what is so; where it is not, the lesson is wrong"),
        "ask": Help("ask QUESTION", "ask the class; choices follow, one a line: - wrong, + right, = why"),
        "note": Help("note TEXT", "say a sentence"),
    }
)


def slots(usage: str) -> list[list[str]]:
    """What can stand at each place after the verb, for who completes a line: words, "NODE", "NAME".

    A place of which nothing is known has none. What follows the last place is as the last, if that has NAME.
    """
    if usage.startswith("pause"):
        return [["NAME", "without"]]
    if usage.startswith("look"):
        return [["NODE"], ["page", "lock", "database", "journal", "wal", "ltx"]]
    if usage.startswith("expect"):
        return [["NODE", "same", "differ"]]
    plain = re.sub(r"[\[\]…]", "", usage).replace(" TXID", "").replace("/SHELL", "")
    places = [word.split("|") for word in plain.split()[1:]]
    return [[one for one in place if one in ("NODE", "NAME") or not one.isupper()] for place in places]
