"""What is wrong with a directory of LTX files, before the day of the restore.

    each file       read to its end: torn, flipped bytes, rules broken, another file's name
    page sets       a file that raises the page count must bring all new pages: else it is a hole
    each level      TXIDs without a gap; where files have checksums, each continues the one before
    all levels      they agree on the page count after a TXID; the newest state can be reached

The rule: each fault is named with its file and TXIDs, and with what it means for a restore: which states are
lost, and which can still be had without the file. A restore is planned as `plan.py` does it.
Beside the plans, a few numbers a file are kept, however many pages it has.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise

from pylitefs.errors import LtxChecksumError, LtxError, RestoreError, TornLtxError
from pylitefs.ltx.decoder import open_ltx
from pylitefs.ltx.header import Header, format_txid, parse_filename
from pylitefs.ltx.order import last_pgno
from pylitefs.ltx.plan import SNAPSHOT_LEVEL, HistoryFile, plan_restore
from pylitefs.sqlite.locks import lock_pgno

MOST_PLANS = 300
"""For so many states it is worked out whether a fault concerns them: the next ones, and the newest."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong."""

    kind: str
    file: HistoryFile
    what: str
    means: str = ""
    missing_from: int = 0
    """Of a gap: the first TXID that is missing before the file."""

    @property
    def first_txid(self) -> int:
        """The first state that it may concern."""
        return self.missing_from or self.file.min_txid

    def __str__(self) -> str:
        return f"{self.file.path}: {self.what}" + (f". {self.means}" if self.means else "")


@dataclass(slots=True)
class Facts:
    """What is kept of a file that is good by itself."""

    file: HistoryFile
    header: Header
    post_apply_checksum: int
    is_whole: bool
    """It has every page."""


@dataclass(slots=True)
class Audit:
    """What was found: faults, and the files that are good by themselves."""

    faults: list[Fault] = field(default_factory=list)
    good: list[Facts] = field(default_factory=list)


def audit(
    files: Sequence[HistoryFile],
    on_bytes: Callable[[int], None] = lambda _: None,
    *,
    has_database: bool = False,
) -> Audit:
    """Read all files, and look at them together. Beside a node's database they need no beginning."""
    found = Audit()
    commits: dict[int, set[int]] = {}
    # Oldest first, so that the page count before a file is known when it is read.
    for file in sorted(files, key=lambda one: (one.max_txid, one.level, one.min_txid)):
        for fault in _read(file, commits, found, on_bytes):
            found.faults.append(fault)
    found.faults += _of_levels(found.good, files)
    oldest = min(file.min_txid for file in files)
    planned = list(files)
    if has_database and oldest > 1:
        planned.append(HistoryFile(SNAPSHOT_LEVEL, 1, oldest - 1, 0, 0))
    bad = {fault.file for fault in found.faults if fault.kind not in ("gap", "unreachable")}
    if found.faults:
        now, without = _Plans(planned), _Plans([file for file in planned if file not in bad])
        found.faults = [_with_meaning(fault, now, without) for fault in found.faults]
    newest = _newest_unreachable(planned)
    if newest is not None and not any(fault.kind == "gap" for fault in found.faults):
        found.faults.append(newest)
    return found


def _read(
    file: HistoryFile, commits: dict[int, set[int]], found: Audit, on_bytes: Callable[[int], None]
) -> Iterator[Fault]:
    """Read one file; its facts go to `found` and its page count to `commits`, if it is good."""
    try:
        with open_ltx(file.path, any_format=True) as decoder:
            header = decoder.header
            if parse_filename(header.filename) != (file.min_txid, file.max_txid):
                yield Fault(
                    "name", file, f"holds TXIDs {header.filename.removesuffix('.ltx')}, another file's"
                )
                return
            expected = _NewPages(header, _smallest_before(file, commits))
            count = 0
            for batch in decoder.batches():
                count += len(batch.pgnos)
                expected.take(batch.pgnos)
                on_bytes(len(batch.data))
    except LtxError as error:
        kind = {TornLtxError: "torn", LtxChecksumError: "damaged"}.get(type(error), "broken")
        yield Fault(kind, file, str(error).removeprefix(f"{file.path}: "))
        return
    except OSError as error:
        yield Fault("unreadable", file, str(error.strerror))
        return
    missing = expected.first_missing()
    if missing:
        yield Fault(
            "hole",
            file,
            f"raises the page count from {expected.before} to {header.commit} and has no page {missing}",
        )
        return
    known = commits.setdefault(file.max_txid, set())
    if known and header.commit not in known:
        yield Fault(
            "disagrees",
            file,
            f"says {header.commit} pages after {format_txid(file.max_txid)}, and another level's file "
            f"says {min(known)}",
        )
        return
    known.add(header.commit)
    whole = count == last_pgno(header) - (header.commit > lock_pgno(header.page_size))
    found.good.append(Facts(file, header, decoder.trailer.post_apply_checksum, whole))


def _smallest_before(file: HistoryFile, commits: dict[int, set[int]]) -> int | None:
    """The smallest page count that the database had from before the file on; None if nobody knows it."""
    if file.min_txid == 1:
        return 0
    span = range(file.min_txid - 1, file.max_txid)
    ends = commits.keys() if len(span) > len(commits) else span
    return min((min(commits[one]) for one in ends if one in span and commits.get(one)), default=None)


class _NewPages:
    """Whether the pages past a former page count all come by."""

    def __init__(self, header: Header, before: int | None) -> None:
        self.before = header.commit if before is None else before
        self._commit = header.commit
        self._lock = lock_pgno(header.page_size)
        self._next = self._skip(self.before + 1)
        self._missing = 0

    def take(self, pgnos: list[int]) -> None:
        if self._missing or pgnos[-1] < self._next:
            return
        for pgno in pgnos:
            if pgno > self._next:
                self._missing = self._next
                return
            if pgno == self._next:
                self._next = self._skip(pgno + 1)

    def first_missing(self) -> int:
        """The first page that did not come; 0 if all did."""
        return self._missing or (self._next if self._next <= self._commit else 0)

    def _skip(self, pgno: int) -> int:
        return pgno + (pgno == self._lock)


def _of_levels(good: Sequence[Facts], files: Sequence[HistoryFile]) -> Iterator[Fault]:
    """Gaps within a level, and files that do not continue the ones before."""
    by_end = {facts.file.max_txid: facts for facts in good if facts.header.has_checksums}
    for facts in good:
        before = by_end.get(facts.file.min_txid - 1)
        if before is None or not facts.header.has_checksums:
            continue
        if facts.header.pre_apply_checksum != before.post_apply_checksum:
            yield Fault(
                "history",
                facts.file,
                f"continues a database of checksum {facts.header.pre_apply_checksum:016x}, and "
                f"{before.file.span} leaves one of {before.post_apply_checksum:016x}: another history's",
            )
    sizes = {facts.file: facts.header.page_size for facts in good}
    whole = {facts.file for facts in good if facts.is_whole}
    ordered = sorted(files, key=lambda file: (file.level, file.min_txid, file.max_txid))
    for level, group in groupby(ordered, key=lambda file: file.level):
        if level == SNAPSHOT_LEVEL:
            continue
        for before_file, after in pairwise(group):
            if after.min_txid > before_file.max_txid + 1:
                first, last = format_txid(before_file.max_txid + 1), format_txid(after.min_txid - 1)
                what = f"TXIDs {first}-{last} are missing before it in level {level}"
                yield Fault("gap", after, what, missing_from=before_file.max_txid + 1)
            sized = sizes.get(before_file, 0), sizes.get(after, 0)
            if all(sized) and sized[0] != sized[1] and after not in whole:
                yield Fault(
                    "page size", after, f"has pages of {sized[1]} bytes, the file before it {sized[0]}"
                )


def _newest_unreachable(files: Sequence[HistoryFile]) -> Fault | None:
    try:
        plan_restore(files)
    except RestoreError as error:
        last = max(files, key=lambda file: file.max_txid)
        return Fault("unreachable", last, f"the newest state cannot be restored: {error}")
    return None


class _Plans:
    """The plan to each state, made once."""

    def __init__(self, files: Sequence[HistoryFile]) -> None:
        self.files = files
        self._made: dict[int, list[HistoryFile]] = {}

    def to(self, txid: int) -> list[HistoryFile]:
        """Its files; none if there is no way."""
        if txid not in self._made:
            try:
                steps = plan_restore(self.files, txid=txid).steps
            except RestoreError:
                steps = ()
            self._made[txid] = [step.file for step in steps]
        return self._made[txid]


def _with_meaning(fault: Fault, now: _Plans, without: _Plans) -> Fault:
    """`now` are the plans as things are, `without` those without the bad files."""
    ends = sorted({file.max_txid for file in now.files if file.max_txid >= fault.first_txid})
    if len(ends) > MOST_PLANS:
        ends = [*ends[:MOST_PLANS], ends[-1]]
    if fault.kind == "gap":
        return replace(fault, means=_meaning_of_gap(fault.first_txid, fault.file, now, ends))
    used = [txid for txid in ends if fault.file in now.to(txid)]
    if not used:
        return replace(fault, means="No restore reads it as things are")
    lost = [txid for txid in used if not without.to(txid)]
    means = f"A restore to {_ranges(used, ends)} reads it and fails"
    if not lost:
        means += "; once it is moved away, other files lead there"
    elif lost == used:
        means += "; without it no files lead there"
    else:
        means += f"; once it is moved away, only {_ranges(lost, ends)} cannot be had"
    return replace(fault, means=means)


def _meaning_of_gap(first: int, after: HistoryFile, now: _Plans, ends: Sequence[int]) -> str:
    """Lost are the states of level 0 that are missing, and those after them that nothing else leads to."""
    gone = [*range(first, min(after.min_txid, first + MOST_PLANS)), after.min_txid - 1]
    states = sorted({*ends, *(gone if after.level == 0 else ())})
    lost = [txid for txid in states if not now.to(txid)]
    if not lost:
        return "Other levels have them: every state can be restored"
    later = "" if lost[-1] == states[-1] else "; later ones can"
    return f"Not to be restored any more: {_ranges(lost, states)}{later}"


def _ranges(txids: Iterable[int], ends: Sequence[int]) -> str:
    """States as ranges: those between two of them that are no file's end do not count."""
    place = {txid: number for number, txid in enumerate(ends)}
    runs: list[list[int]] = []
    for txid in txids:
        if runs and place[txid] == place[runs[-1][1]] + 1:
            runs[-1][1] = txid
        else:
            runs.append([txid, txid])
    return ", ".join(
        format_txid(first) if first == last else f"{format_txid(first)}-{format_txid(last)}"
        for first, last in runs
    )
