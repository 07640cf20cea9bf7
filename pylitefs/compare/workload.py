"""A workload: SQL and what else is done to both systems, as a file that one reads top to bottom.

    # Title. Further lines say what it is about.
    [cluster own]                   this workload has nodes of its own, for it leaves one broken
    [slow]                          only with --slow
    [set data.retention 1s]         a key of both systems' litefs.yml (needs a cluster of its own)
    [open a one.db]                 connection `a`: a process with SQLite; [open a one.db on the replica],
                                    [open a seed.db outside] for a file in no mount
    a: INSERT INTO t VALUES (1)     one statement on `a`; goes on in lines that begin with spaces
    a *20: INSERT …                 twenty times
    [close a]  [kill a]             as at the end of a program, and as `kill -9` does
    [attach a two.db]               `ATTACH … AS other`
    [drop one.db]  [touch foo]  [export one.db]  [import seed.db as one.db]  [copy seed.db to one.db]
    [restart primary]  [restart replica]  [wait 2 s]  [reaped one.db]
    [http GET /info on the primary]   [probe one.db]   [position one.db]

Two candidates of one lease, `n1` and `n2`; n1 is the primary at first. `[… on n1]` is on that node:

    [cluster lease]                 [set lease.candidate false on n2]
    [handoff to n2]  [promote n1]   POST /handoff and /promote; then whoever leads is waited for
    [stop n1]  [crash n1]  [start n1]  [led]       cleanly, as `kill -9`, again; wait for whoever leads
    [look]                          what each node says of the roles
    [requests]                      what each has asked of the lease service since it was last looked at
    [http POST /handoff?nodeID={n2} on n1]         {n2} is that node's id

A primary and a replica with a backup of type `file`, in a folder of each system's own:

    [cluster backup]
    [backed up one.db]  [backup]    wait until the backup has it; compare the folders
    [keep the backup]               a copy, for the other system
    [restore the other's backup]    both nodes begin anew with empty data and the other system's folder

A primary and a replica, and who has the HALT lock of a database (halt_side.py):

    [cluster halt]
    [halt h one.db on the replica]  client `h` opens `one.db-lock` and locks byte 72, as LiteFS's clients do
    [unhalt h]                      it unlocks and closes
    [killed h one.db]               `kill -9`; ends once a writer of the primary may write
    [forward one.db lock 5]         POST /tx on the primary with its own newest LTX file
    [run -with-halt-lock-on {one.db} -- CMD on the replica]   {NAME} is that file's path in the mount

The rule: every line but comments and options is a step, done on one system and then on the other.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from pylitefs.errors import PylitefsError

_SQL = re.compile(r"(\w+)(?: \*(\d+))?: (.+)")
_VERB = re.compile(r"\[(\w+)(?: (.+))?\]")

#: Verbs, and what their arguments look like.
VERBS: dict[str, str] = {
    "open": r"(\w+) (\S+)(?: (outside|on the replica|on n\d))?(?: timeout (\S+))?",
    "close": r"(\w+)",
    "kill": r"(\w+)",
    "attach": r"(\w+) (\S+)",
    "drop": r"(\S+)",
    "touch": r"(\S+)",
    "export": r"(\S+)",
    "import": r"(\S+) as (\S+)",
    "copy": r"(\S+) to (\S+)",
    "restart": r"(primary|replica)",
    "wait": r"(\S+) s",
    "reaped": r"(\S+)",
    "http": r"([A-Z]+) (\S+) on (?:the )?(primary|replica|n\d)",
    "probe": r"(\S+)",
    "position": r"(\S+)",
}
#: Verbs of clusters of a kind.
KINDS: dict[str, dict[str, str]] = {
    "own": {},
    "lease": {
        "handoff": r"to (n\d)",
        "promote": r"(n\d)",
        "stop": r"(n\d)",
        "crash": r"(n\d)",
        "start": r"(n\d)",
        "led": "",
        "look": "",
        "requests": "",
    },
    "halt": {
        "halt": r"(\w+) (\S+) on the (primary|replica)",
        "unhalt": r"(\w+)",
        "killed": r"(\w+) (\S+)",
        "forward": r"(\S+) lock (\d+)",
        "run": r"(.+) on the (primary|replica)",
    },
    "backup": {
        "backed": r"up (\S+)",
        "backup": "",
        "keep": "the backup",
        "restore": "the other's backup",
    },
}


class WorkloadError(PylitefsError):
    """A workload's file has a line that means nothing; the text names file and line."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line: SQL on a connection (`verb` "sql"), or another thing to do."""

    line: int
    text: str
    verb: str
    arguments: tuple[str, ...]
    times: int = 1

    @property
    def database(self) -> str:
        """The database in the mount that this step may make; empty for none."""
        if self.verb == "open":
            return "" if self.arguments[2] == "outside" else self.arguments[1]
        return self.arguments[1] if self.verb in {"import", "copy"} else ""


@dataclass(frozen=True)
class Workload:
    """A parsed file. `databases` are those in the mount, in the order in which they come up."""

    name: str
    title: str
    explanation: str
    steps: tuple[Step, ...]
    kind: str = ""
    """Of its own cluster (`KINDS`); "" for one that it shares."""
    slow: bool = False
    settings: dict[str, dict[str, object]] = field(default_factory=dict)
    node_settings: dict[str, dict[str, dict[str, object]]] = field(default_factory=dict)
    databases: tuple[str, ...] = ()

    @property
    def own_cluster(self) -> bool:
        return bool(self.kind)


def parse(name: str, text: str) -> Workload:
    """A workload from its file's text. Raises WorkloadError."""
    comments: list[str] = []
    steps: list[Step] = []
    kind, slow = "", False
    settings: dict[str, dict[str, object]] = {}
    node_settings: dict[str, dict[str, dict[str, object]]] = {}
    for number, line in _joined(text):
        if line.startswith("#"):
            comments.append(line.lstrip("# "))
        elif match := _SQL.fullmatch(line):
            steps.append(Step(number, line, "sql", (match[1], match[3]), int(match[2] or 1)))
        elif match := _VERB.fullmatch(line):
            verb, rest = match[1], match[2] or ""
            if verb == "slow":
                slow = True
            elif verb == "cluster":
                kind = _kind(name, number, rest)
            elif verb == "set":
                section, leaf, value, node = _setting(name, number, rest)
                place = node_settings.setdefault(node, {}) if node else settings
                place.setdefault(section, {})[leaf] = {"true": True, "false": False}.get(value, value)
            else:
                steps.append(_step(f"{name}:{number}", number, match, kind))
        else:
            raise WorkloadError(f"{name}:{number}: neither SQL on a connection nor a known step: {line}")
    title, _, rest = " ".join(comments).partition(". ")
    return Workload(
        name=name,
        title=title.rstrip("."),
        explanation=rest,
        steps=tuple(steps),
        kind=kind or ("own" if settings else ""),
        slow=slow,
        settings=settings,
        node_settings=node_settings,
        databases=tuple(_databases(steps)),
    )


def _kind(name: str, number: int, kind: str) -> str:
    if kind not in KINDS:
        raise WorkloadError(f"{name}:{number}: [cluster {kind}] is none of {', '.join(KINDS)}")
    return kind


def _setting(name: str, number: int, text: str) -> tuple[str, str, str, str]:
    """Section, key, value, and the node that it is for; "" for all."""
    match = re.fullmatch(r"(\w+)\.(\S+) (\S+)(?: on (n\d))?", text)
    if match is None:
        raise WorkloadError(f"{name}:{number}: [set {text}] does not look like [set SECTION.KEY VALUE]")
    return match[1], match[2], match[3], match[4] or ""


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines, those that go on in indented ones made whole, without empty ones."""
    pending: list[str] = []
    start = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith((" ", "\t")) and pending:
            pending.append(line.strip())
            continue
        if pending:
            yield start, " ".join(pending)
        pending, start = ([line.strip()], number) if line.strip() else ([], number)
    if pending:
        yield start, " ".join(pending)


def _step(place: str, number: int, line: re.Match[str], kind: str) -> Step:
    verb, rest, verbs = line[1], line[2] or "", VERBS | KINDS.get(kind, {})
    if verb not in verbs:
        for other, more in KINDS.items():
            if verb in more:
                raise WorkloadError(f"{place}: [{verb}] needs [cluster {other}] before it")
        raise WorkloadError(f"{place}: [{verb}] is none of {', '.join(verbs)}")
    match = re.fullmatch(verbs[verb], rest)
    if match is None:
        raise WorkloadError(f"{place}: {line[0]} does not look like [{verb} {verbs[verb]}]")
    return Step(number, line[0], verb, tuple(group or "" for group in match.groups()))


def _databases(steps: Iterable[Step]) -> Iterator[str]:
    seen: set[str] = set()
    for step in steps:
        if step.database and step.database not in seen:
            seen.add(step.database)
            yield step.database


def all_workloads() -> list[Workload]:
    """Those that come with pylitefs, in the order of their names."""
    folder = resources.files("pylitefs.compare") / "workloads"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".txt")), key=lambda f: f.name)
    return [parse(file.name.removesuffix(".txt"), file.read_text()) for file in files]


def chosen(names: Iterable[str], *, slow: bool) -> list[Workload]:
    """The workloads named (a path is a file of one's own), or all; slow ones only if asked for."""
    known = {workload.name: workload for workload in all_workloads()}
    names = list(names)
    if not names:
        return [workload for workload in known.values() if slow or not workload.slow]
    found = []
    for name in names:
        if name in known:
            found.append(known[name])
        elif Path(name).is_file():
            found.append(parse(Path(name).stem, Path(name).read_text()))
        else:
            raise WorkloadError(f"no workload {name!r}: there are {', '.join(known)}, or a file's path")
    return found
