"""What is compared once a workload is done: the bytes on all four nodes, and everything that is told.

The rule: data directories are only read, and every question to a node has a deadline.
"""

import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from pylitefs.compare.driver import SILENT
from pylitefs.compare.events import Heard
from pylitefs.compare.findings import Findings
from pylitefs.compare.ltx_facts import read_facts
from pylitefs.compare.nodes import NEVER_SYNCED, ProgramNode
from pylitefs.compare.side import PATIENCE, Side, digest
from pylitefs.errors import LtxError, RemoteError
from pylitefs.http import client
from pylitefs.ltx.header import parse_filename

ROLES = ("primary", "replica")
_EVENT_SECONDS = 2.0

Sides = tuple[Side, Side]
State = tuple[str, int, bool]
"""(database, how many more transactions theirs has, whether checksums differ)."""


def check_end(findings: Findings, sides: Sides, databases: Sequence[State]) -> None:
    """Compare everything that is there when a workload has ended and its connections are closed."""
    _check_nodes(findings, sides)
    for name, shift, diverged in databases:
        _check_database(findings, sides, name, shift, diverged)


def _check_nodes(findings: Findings, sides: Sides) -> None:
    same = findings.same
    same("nodes run", "the end", (side.has_ended() for side in sides))
    for role in ROLES:
        where = f"the {role}"
        same("/info", where, _settled(sides, partial(_info, role=role)))
        same("/events begins", where, (_first_event(side, role) for side in sides))
        names = _settled(sides, partial(_special, role=role, name=".primary"))
        same("special file", f".primary on {where}", names)
        same("special file", f".lag on {where}", (_special(side, role, ".lag") for side in sides))
        same("mode", f"the directory on {where}", (_listing(side, role, ())["mode"] for side in sides))


def _check_database(findings: Findings, sides: Sides, name: str, shift: int, diverged: bool) -> None:
    same = findings.same
    for role in ROLES:
        where = f"{name} on the {role}"
        follows = diverged and role == "replica"
        bytes_ = [bytes_of(side.node(role), name) for side in sides]
        same("database bytes", where, described(*bytes_), follows=follows)
        exports = [side.export(name, role) for side in sides]
        same("/export", where, exports, follows=follows)
        same("integrity", where, (integrity(side, role, name) for side in sides))
        same("position's time", where, (_position_time(side, role, name) for side in sides))
        same("data directory", where, (_folder(side.node(role), name) for side in sides))
        same("data directory's mode", where, (_folder_mode(side.node(role), name) for side in sides))
        _check_listing(findings, sides, name, role)
        _check_events(findings, sides, (name, shift, diverged), role)
    same("LTX files on the replica", name, (_replica_files(side, name) for side in sides))
    same("node id in LTX files", name, (_node_ids(side, name) for side in sides))


def described(ours: bytes | None, theirs: bytes | None) -> tuple[str, str]:
    """Two files as digests; where they differ with the first byte that does."""
    if ours is None or theirs is None or ours == theirs:
        left, right = ("no file" if one is None else digest(one) for one in (ours, theirs))
        return left, right
    at = next((n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), -1)
    if at < 0:
        return f"{len(ours)} bytes", f"{len(theirs)} bytes"
    left, right = (f"{len(one)} bytes, byte {at}: {one[at : at + 4].hex()}" for one in (ours, theirs))
    return left, right


def bytes_of(node: ProgramNode, name: str) -> bytes | None:
    try:
        return (node.databases_dir / name / "database").read_bytes()
    except FileNotFoundError:
        return None


def _folder(node: ProgramNode, name: str) -> list[str]:
    """Names and sizes in a database's directory; of `ltx` only the name. Empty side files are none."""
    folder = node.databases_dir / name
    found = []
    for path in sorted(folder.iterdir()) if folder.exists() else ():
        facts = path.stat()
        if stat.S_ISDIR(facts.st_mode):
            found.append(f"{path.name}/")
        elif facts.st_size:
            found.append(f"{path.name} {facts.st_size}")
    return found


def _folder_mode(node: ProgramNode, name: str) -> str:
    """Who may look into a database's directory in the data directory."""
    folder = node.databases_dir / name
    return stat.filemode(folder.stat().st_mode) if folder.exists() else "none"


def _settled(sides: Sides, look: Callable[[Side], str]) -> list[str]:
    """Both systems' answers, asked again for a while if they differ: a replica that has lost its primary
    tries again after a second."""
    deadline = time.monotonic() + _EVENT_SECONDS
    while len(set(seen := [look(side) for side in sides])) > 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    return seen


def _info(side: Side, role: str) -> str:
    try:
        facts = client.info(side.node(role).url)
    except RemoteError as error:
        return type(error).__name__
    told = (facts.is_primary, facts.candidate, facts.primary_hostname, bool(facts.cluster_id))
    return f"isPrimary, candidate, hostname, cluster id: {told}, path {side.masked(facts.path)}"


def _first_event(side: Side, role: str) -> object:
    ear = side.ears[ROLES.index(role)]
    deadline = time.monotonic() + _EVENT_SECONDS
    while (first := ear.first()) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return dict(first) if first is not None else None


def _special(side: Side, role: str, name: str) -> str:
    answer = side.observer(role).ask("read", PATIENCE, path=str(side.node(role).mount / name))
    if "text" not in answer:
        return str(answer.get("error"))
    text = str(answer["text"])
    if name == ".lag" and role == "replica" and text.encode() != NEVER_SYNCED:
        return "".join("n" if letter.isdigit() else letter for letter in text)
    return text


def _listing(side: Side, role: str, prefixes: tuple[str, ...]) -> dict[str, object]:
    path = str(side.node(role).mount)
    answer = side.observer(role).ask("list", PATIENCE, path=path, prefixes=prefixes)
    return answer if "names" in answer else {"names": {}, "mode": answer.get("error")}


def _check_listing(findings: Findings, sides: Sides, name: str, role: str) -> None:
    ours, theirs = (_listing(side, role, (name,))["names"] for side in sides)
    assert isinstance(ours, dict) and isinstance(theirs, dict)
    for file in sorted({*ours, *theirs}):
        where = f"{file} on the {role}"
        there = ["listed" if file in one else "not listed" for one in (ours, theirs)]
        findings.same("listing", where, there)
        if file in ours and file in theirs:
            for aspect, index in (("mode", 0), ("size", 1)):
                findings.same(aspect, where, [one[file].split()[index] for one in (ours, theirs)])


def _check_events(findings: Findings, sides: Sides, state: State, role: str) -> None:
    """Each transaction is told once, by the primary and by the replica."""
    name, shift, diverged = state
    if shift or diverged:
        return
    heard: list[list[Heard]] = []
    for side in sides:
        ear = side.ears[ROLES.index(role)]
        spans = map(parse_filename, side.node(role).ltx_files(name))
        last = max((span[1] for span in spans if span), default=0)
        deadline = time.monotonic() + _EVENT_SECONDS if last > ear.passed(name) else 0.0
        while time.monotonic() < deadline and not any(one.txid >= last for one in ear.heard(name)):
            time.sleep(0.01)
        heard.append(ear.heard(name))
    ours, theirs = ([(one.txid, one.summary()) for one in events] for events in heard)
    if ours == theirs:
        findings.same("/events", f"{name} on the {role}", (len(ours), len(theirs)))
        return
    first = next((pair for pair in zip(ours, theirs, strict=False) if pair[0] != pair[1]), None)
    counts = (f"{len(ours)} events", f"{len(theirs)} events")
    findings.same("/events", f"{name} on the {role}", first or counts)


def integrity(side: Side, role: str, name: str) -> str:
    """What SQLite says of the database on the mount; its own process, for it may hang."""
    driver = side.observer(f"{role} integrity")
    answer = driver.ask("open", PATIENCE, path=f"file:{side.node(role).mount / name}?mode=ro", timeout=5.0)
    if "error" not in answer:
        answer = driver.ask("sql", 3 * PATIENCE, text="PRAGMA integrity_check")
    driver.ask("close", PATIENCE)
    if SILENT in str(answer.get("error", "")):
        side.forget_observer(f"{role} integrity")
    return str(answer.get("error") or answer.get("rows"))


def _position_time(side: Side, role: str, name: str) -> str:
    """Whether `DB-pos` is as old as the last transaction."""
    answer = side.observer(role).ask("read", PATIENCE, path=str(side.node(role).mount / f"{name}-pos"))
    files = sorted(side.node(role).ltx_files(name).values())
    if "mtime_ms" not in answer or not files:
        return str(answer.get("error", "no transaction"))
    apart = answer["mtime_ms"] - _timestamp(files[-1])
    return "the last transaction's" if apart == 0 else f"{apart} ms apart from the last transaction's"


def _timestamp(path: Path) -> int:
    try:
        return read_facts(path).header.timestamp_ms
    except (LtxError, OSError):
        return 0


def _replica_files(side: Side, name: str) -> str:
    """Whether the replica keeps the LTX files that the primary wrote.

    A file's time is not compared. What makes a snapshot gives it a time of its own: whether that is another
    one depends on whether a millisecond went by.
    """
    ours, theirs = (node.ltx_files(name) for node in (side.primary, side.replica))
    if missing := sorted(set(ours) ^ set(theirs)):
        return f"not on both nodes: {' '.join(missing[:4])}"
    for file in ours:
        if _apart_from_time(ours[file]) != _apart_from_time(theirs[file]):
            return f"{file} is another file there"
    return "the primary's own"


def _apart_from_time(path: Path) -> object:
    """All that an LTX file says but its time, and the checksum that covers it."""
    facts = read_facts(path)
    header = replace(facts.header, timestamp_ms=0)
    return header, facts.pages, facts.trailer.post_apply_checksum, bool(facts.problem)


def _node_ids(side: Side, name: str) -> str:
    """Whether every LTX file names the node that made it (the primary may have been started anew)."""
    ids = {read_facts(path).header.node_id for path in side.primary.ltx_files(name).values()}
    return "a node's" if all(ids) else "none"
