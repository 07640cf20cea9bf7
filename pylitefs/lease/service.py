"""What a lease service knows: sessions that end by themselves, and keys that a session may hold.

This is the part of Consul that LiteFS uses. A session is made with a TTL and lives on while it is renewed. A
key that it has acquired is its own until it releases it. When the session ends, by its TTL or because it is
destroyed, the key goes with it (behaviour `delete`) or is free (`release`), and for the session's lock-delay
nobody can acquire it: whoever had it gets time to notice.

The rules: nothing is answered before it is saved (`save`), but for a renewal. After a restart of the service
every session, and every lock-delay, has its full time anew: it may end late, never early. No I/O and no clock
here but what is handed in.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pylitefs.config.model import parse_duration
from pylitefs.errors import PylitefsError

LONGEST_TTL_S = 86400.0


class BadRequestError(PylitefsError):
    """A request that means nothing; the text is what Consul would say."""


class NoSessionError(PylitefsError):
    """A session that is not there, or not any more."""


@dataclass
class Session:
    """One session; times are in seconds."""

    id: str
    name: str
    node: str
    ttl: float
    lock_delay: float
    behavior: str
    text_ttl: str
    """As whoever made it wrote it."""
    index: int

    def shown(self) -> dict[str, object]:
        """As Consul shows it."""
        return {
            "ID": self.id,
            "Name": self.name,
            "Node": self.node,
            "LockDelay": round(self.lock_delay * 1e9),
            "Behavior": self.behavior,
            "TTL": self.text_ttl,
            "NodeChecks": [],
            "ServiceChecks": None,
            "CreateIndex": self.index,
            "ModifyIndex": self.index,
        }


@dataclass
class Entry:
    """One key."""

    value: bytes = b""
    session: str = ""
    lock_index: int = 0
    flags: int = 0
    create_index: int = 0
    modify_index: int = 0


@dataclass
class State:
    """All that is saved."""

    index: int = 0
    sessions: dict[str, Session] = field(default_factory=dict)
    keys: dict[str, Entry] = field(default_factory=dict)
    delays: dict[str, float] = field(default_factory=dict)
    """Keys that nobody can acquire just now, and for how many seconds in all."""

    def to_json(self) -> dict[str, Any]:
        keys = {key: {**asdict(entry), "value": entry.value.hex()} for key, entry in self.keys.items()}
        return {**asdict(self), "keys": keys}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> "State":
        return cls(
            index=int(saved["index"]),
            sessions={key: Session(**one) for key, one in saved["sessions"].items()},
            keys={
                key: Entry(**{**one, "value": bytes.fromhex(one["value"])})
                for key, one in saved["keys"].items()
            },
            delays={key: float(one) for key, one in saved["delays"].items()},
        )


class Service:
    """The lease service. For one thread. `save` makes the state durable; `clock` is monotonic."""

    def __init__(self, state: State, clock: Callable[[], float], save: Callable[[State], None]) -> None:
        self.state = state
        self._clock = clock
        self._save = save
        now = clock()
        self._ends = {id: now + one.ttl for id, one in state.sessions.items() if one.ttl}
        self._delayed = {key: now + seconds for key, seconds in state.delays.items()}

    def expire(self) -> None:
        """End the sessions and lock-delays whose time is over; before anything else is asked."""
        now = self._clock()
        over = [id for id, end in self._ends.items() if end <= now]
        free = [key for key, end in self._delayed.items() if end <= now]
        for id in over:
            self._end(id)
        for key in free:
            del self._delayed[key], self.state.delays[key]
        if over or free:
            self._save(self.state)

    def _end(self, id: str) -> None:
        session = self.state.sessions.pop(id)
        self._ends.pop(id, None)
        for key, entry in list(self.state.keys.items()):
            if entry.session != id:
                continue
            if session.behavior == "delete":
                del self.state.keys[key]
            else:
                entry.session = ""
                entry.modify_index = self._next()
            if session.lock_delay:
                self.state.delays[key] = session.lock_delay
                self._delayed[key] = self._clock() + session.lock_delay

    def _next(self) -> int:
        self.state.index += 1
        return self.state.index

    # Sessions

    def create(self, fields: Mapping[str, object]) -> str:
        """Make a session; its id."""
        behavior = str(fields.get("Behavior") or "release")
        if behavior not in {"release", "delete"}:
            raise BadRequestError(f"Invalid Behavior setting '{behavior}'")
        text_ttl = str(fields.get("TTL") or "")
        try:
            ttl = parse_duration(text_ttl) if text_ttl else 0.0
            lock_delay = _delay(fields.get("LockDelay", 15.0))
        except ValueError as error:
            raise BadRequestError(f"Request decode failed: {error}") from None
        if ttl > LONGEST_TTL_S:
            raise BadRequestError(f"Invalid Session TTL '{text_ttl}', must be at most 24h0m0s")
        id = str(uuid.uuid4())
        name, node = str(fields.get("Name") or ""), str(fields.get("Node") or "")
        self.state.sessions[id] = Session(id, name, node, ttl, lock_delay, behavior, text_ttl, self._next())
        if ttl:
            self._ends[id] = self._clock() + ttl
        self._save(self.state)
        return id

    def renew(self, id: str) -> Session:
        """Let a session live for its TTL from now. NoSessionError."""
        session = self.state.sessions.get(id)
        if session is None:
            raise NoSessionError(f"Session id '{id}' not found")
        if session.ttl:
            self._ends[id] = self._clock() + session.ttl
        return session

    def destroy(self, id: str) -> None:
        """End a session, if it is there."""
        if id in self.state.sessions:
            self._end(id)
            self._save(self.state)

    # Keys

    def put(self, key: str, value: bytes) -> bool:
        """Set a key; whoever holds it goes on holding it."""
        self._set(key, value)
        self._save(self.state)
        return True

    def acquire(self, key: str, value: bytes, session: str) -> bool:
        """Make the key the session's; False if it is another's, or its lock-delay is not over."""
        if session not in self.state.sessions:
            raise NoSessionError(f'invalid session "{session}"')
        entry = self.state.keys.get(key)
        if key in self._delayed or (entry is not None and entry.session not in {"", session}):
            return False
        was_held = entry is not None and entry.session == session
        entry = self._set(key, value)
        entry.session = session
        entry.lock_index += not was_held
        self._save(self.state)
        return True

    def release(self, key: str, value: bytes, session: str) -> bool:
        """Free the key, with a new value; False if it is not the session's."""
        entry = self.state.keys.get(key)
        if entry is None or entry.session != session:
            return False
        self._set(key, value).session = ""
        self._save(self.state)
        return True

    def delete(self, key: str) -> bool:
        """Remove a key, whoever holds it."""
        if self.state.keys.pop(key, None) is not None:
            self._next()
            self._save(self.state)
        return True

    def _set(self, key: str, value: bytes) -> Entry:
        index = self._next()
        entry = self.state.keys.setdefault(key, Entry(create_index=index))
        entry.value, entry.modify_index = value, index
        return entry


def _delay(value: object) -> float:
    """A lock-delay: a duration as text, or (as Consul has it) a number of nanoseconds, or of seconds."""
    if isinstance(value, (int, float)):
        return float(value) if value < 1000 else value / 1e9
    return min(parse_duration(str(value)), 60.0)
