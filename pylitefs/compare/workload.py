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
VERBS = {
    "open": r"(\w+) (\S+)(?: (outside|on the replica))?(?: timeout (\S+))?",
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
    "http": r"([A-Z]+) (\S+) on the (primary|replica)",
    "probe": r"(\S+)",
    "position": r"(\S+)",
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
    own_cluster: bool = False
    slow: bool = False
    settings: dict[str, dict[str, object]] = field(default_factory=dict)
    databases: tuple[str, ...] = ()


def parse(name: str, text: str) -> Workload:
    """A workload from its file's text. Raises WorkloadError."""
    comments: list[str] = []
    steps: list[Step] = []
    flags: set[str] = set()
    settings: dict[str, dict[str, object]] = {}
    for number, line in _joined(text):
        if line.startswith("#"):
            comments.append(line.lstrip("# "))
        elif match := _SQL.fullmatch(line):
            steps.append(Step(number, line, "sql", (match[1], match[3]), int(match[2] or 1)))
        elif match := _VERB.fullmatch(line):
            verb, rest = match[1], match[2] or ""
            if verb in {"cluster", "slow"}:
                flags.add(verb)
            elif verb == "set":
                key, _, value = rest.partition(" ")
                section, _, leaf = key.partition(".")
                settings.setdefault(section, {})[leaf] = {"true": True, "false": False}.get(value, value)
            else:
                steps.append(_step(name, number, line, verb, rest))
        else:
            raise WorkloadError(f"{name}:{number}: neither SQL on a connection nor a known step: {line}")
    title, _, rest = " ".join(comments).partition(". ")
    return Workload(
        name=name,
        title=title.rstrip("."),
        explanation=rest,
        steps=tuple(steps),
        own_cluster="cluster" in flags or bool(settings),
        slow="slow" in flags,
        settings=settings,
        databases=tuple(_databases(steps)),
    )


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


def _step(name: str, number: int, line: str, verb: str, rest: str) -> Step:
    if verb not in VERBS:
        raise WorkloadError(f"{name}:{number}: [{verb}] is none of {', '.join(VERBS)}")
    match = re.fullmatch(VERBS[verb], rest)
    if match is None:
        raise WorkloadError(f"{name}:{number}: {line} does not look like [{verb} {VERBS[verb]}]")
    return Step(number, line, verb, tuple(group or "" for group in match.groups()))


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
