"""Who holds which of SQLite's locks, told from the `lock.*` tracepoints.

The rule is the kernel's own: a lock belongs to an owner (a connection, not a process), a later call of the
same owner converts what it holds of the bytes it names, and a release frees just these bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pylitefs.lecture.model import Json
from pylitefs.sqlite.locks import LOCK_NAMES, SHARED_FIRST, SHARED_SIZE, WAL_DMS_LOCK

_END = 1 << 63
_RANGES = {first: SHARED_SIZE if first == SHARED_FIRST else 1 for first in LOCK_NAMES}


@dataclass(frozen=True, slots=True)
class _Lock:
    first: int
    """Which of SQLite's locks: its first byte."""
    kind: str
    who: str


def lock_label(first: int, kind: str) -> str:
    """SQLite's name: SHARED, PENDING, WRITE …; the SHARED range held for writing is EXCLUSIVE."""
    if first == SHARED_FIRST and kind == "write":
        return "EXCLUSIVE"
    return LOCK_NAMES[first]


class HeldLocks:
    """The locks of every database of every node."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], dict[tuple[str, int], _Lock]] = {}

    def take(self, node: str, database: str, payload: Json, who: str) -> str:
        """`lock.acquire`; the lock's name as this owner held it before, or ""."""
        kind = "write" if payload.get("kind") == "write" else "read"
        held = self._held.setdefault((node, database), {})
        before = ""
        for first in _named(payload):
            key = (str(payload.get("owner", "")), first)
            if key in held and held[key].kind != kind:
                before = lock_label(first, held[key].kind)
            held[key] = _Lock(first, kind, who)
        return before

    def release(self, node: str, database: str, payload: Json) -> None:
        """`lock.release`."""
        held = self._held.get((node, database), {})
        for first in _named(payload):
            held.pop((str(payload.get("owner", "")), first), None)

    def forget(self, node: str) -> list[str]:
        """The node is down, and every lock with it; its databases that had some."""
        databases = [database for name, database in self._held if name == node]
        for database in databases:
            del self._held[node, database]
        return databases

    def state(self, node: str, database: str) -> list[Json]:
        """As `STATE_KEYS` has it."""
        found = {(lock.first, lock.who, lock.kind) for lock in self._held.get((node, database), {}).values()}
        return [
            {"who": who, "lock": lock_label(first, kind), "kind": kind} for first, who, kind in sorted(found)
        ]

    def holders(self, node: str, database: str, payload: Json) -> list[str]:
        """Who stands in the way of a lock that was refused: "writer (pid 12) (RESERVED)"."""
        wanted, owner = set(_named(payload)), str(payload.get("owner", ""))
        write = payload.get("kind") == "write"
        return sorted(
            {
                f"{lock.who} ({lock_label(lock.first, lock.kind)})"
                for (holder, first), lock in self._held.get((node, database), {}).items()
                if first in wanted and holder != owner and (write or lock.kind == "write")
            }
        )


def _named(payload: Json) -> Iterator[int]:
    """The first byte of each of SQLite's locks that a call's range touches."""
    start, length = payload.get("first"), payload.get("length")
    if not isinstance(start, int) or not isinstance(length, int):
        name = "SHARED" if payload.get("lock") == "EXCLUSIVE" else payload.get("lock")
        yield from (first for first, known in LOCK_NAMES.items() if known == name)
        return
    end = start + length if length > 0 else _END
    file = payload.get("file")
    if file not in ("database", "shm"):
        return
    for first, size in _RANGES.items():
        if (first <= WAL_DMS_LOCK) is (file == "shm") and start < first + size and first < end:
            yield first
