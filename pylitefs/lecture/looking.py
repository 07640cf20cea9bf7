"""Where the thing is that a lesson points at, at this moment of its history.

    entries and dumps so far --note--> Seen --find(Target)--> Found: a dump's bytes, a node, a page, a lock

The rule: it is found by what every viewer has, entries and dumps, so that a lesson's checker, the terminal
and (by the same rule, in show/page/look.js) the page agree. What is not there is said, with what there is.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pylitefs.errors import LessonError
from pylitefs.lecture.language import look
from pylitefs.lecture.language.look import Target, slug
from pylitefs.lecture.model import Dump, Entry, Json, Part

_WORDS = {
    "journal": "rollback journal",
    "wal": "WAL",
    "wal-index": "WAL index",
    "ltx": "LTX file",
    "frame": "stream frame",
    "database": "page of its database file",
    "position": "position",
}


@dataclass(frozen=True, slots=True)
class Found:
    """What is pointed at. `text` says it in a sentence."""

    text: str
    dump: Dump | None = None
    """The file, if it is one."""
    part: Part | None = None
    """The field in it, if one is named."""


class Seen:
    """What has been shown so far: the state, and the newest dump of each key, in the order of its showing."""

    def __init__(self, entries: Iterable[Entry] = (), dumps: "dict[str, Dump] | None" = None) -> None:
        self.state: Json = {}
        self._newest: dict[str, Dump] = {}
        for entry in entries:
            self.note(entry, [dumps[one] for one in entry.dumps if one in dumps] if dumps else ())

    def note(self, entry: Entry, dumps: Iterable[Dump]) -> None:
        """One more entry, with its dumps. An entry numbered 0 begins anew."""
        if entry.seq == 0:
            self.state, self._newest = {}, {}
        for key, value in entry.set.items():
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        # Of one entry's dumps the first tells the most, so it is the newest.
        for dump in reversed([*dumps]):
            self._newest.pop(dump.key, None)
            self._newest[dump.key] = dump

    def before(
        self, emit: Callable[[Entry, Sequence[Dump]], None]
    ) -> Callable[[Entry, Sequence[Dump]], None]:
        """`emit`, with a note of each entry first."""

        def noted(entry: Entry, dumps: Sequence[Dump] = ()) -> None:
            self.note(entry, dumps)
            emit(entry, dumps)

        return noted

    def find(self, target: Target) -> Found:
        """What `target` names. Raises LessonError if it is not there now."""
        nodes = self.state.get("nodes") or ()
        if target.node not in nodes:
            raise LessonError(f"there is no node {target.node}: there are {', '.join(nodes) or 'none yet'}")
        if not target.what:
            return Found(f"The node {target.node}, {self.state.get(f'node/{target.node}/role', 'down')}")
        if target.what == "page":
            return self._page(target)
        return self._lock(target) if target.what == "lock" else self._bytes(target)

    def _page(self, target: Target) -> Found:
        counts = self._of_databases(target.node, "pages")
        for database, count in counts.items():
            lit = f"page/{target.node}/{database}/{target.name}" in self.state
            if lit or (isinstance(count, int) and int(target.name) <= count):
                return Found(f"Page {target.name} of {database} on {target.node}")
        has = ", ".join(f"{name} has {count} pages" for name, count in counts.items()) or "it has no database"
        raise LessonError(f"{target.node} has no page {target.name}: {has}")

    def _lock(self, target: Target) -> Found:
        held: list[str] = []
        for database, locks in self._of_databases(target.node, "locks").items():
            for lock in locks if isinstance(locks, list) else ():
                if lock["lock"] == target.name:
                    return Found(f"{target.name} on {database} of {target.node}, held by {lock['who']}")
                held.append(lock["lock"])
        raise LessonError(f"nobody holds {target.name} on {target.node}; held: {', '.join(held) or 'none'}")

    def _of_databases(self, node: str, what: str) -> Json:
        """Each database of the node, and this fact of it."""
        found: Json = {}
        for key, value in self.state.items():
            words = key.split("/")
            if len(words) == 4 and words[:2] == ["db", node] and words[3] == what:
                found[words[2]] = value
        return found

    def _bytes(self, target: Target) -> Found:
        known = [one for one in reversed(self._newest.values()) if _is_of(one, target)]
        if not known:
            raise LessonError(f"no {_WORDS[target.what]} of {target.node} has been shown yet")
        if not target.name:
            return Found(f"{known[0].title}, {len(known[0].data):,} bytes", known[0])
        for dump in known:
            parts = sorted((one for one in dump.parts if look.is_named(one.name, target.name)), key=_offset)
            if len(parts) >= max(target.number, 1):
                part = parts[target.number - 1]
                return Found(_told(dump, part), dump, part)
        names = list(dict.fromkeys(slug(part.name) for part in known[0].parts))
        which = f"{target.name} number {target.number}" if target.number else target.name
        raise LessonError(f"{known[0].title} has no field {which}; it has: {', '.join(names) or 'no bytes'}")


def _is_of(dump: Dump, target: Target) -> bool:
    owner = dump.key.split(" ", 1)[0]
    return dump.format == target.what and target.node in owner.split(">")


def _offset(part: Part) -> int:
    return part.offset


def _told(dump: Dump, part: Part) -> str:
    value = f" {part.value}" if part.value else ""
    until = part.offset + part.length - 1
    return f"{dump.title}, bytes {part.offset:,} to {until:,}: {part.name}{value}. {part.meaning}".rstrip()
