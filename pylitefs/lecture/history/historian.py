"""From what a node's control channel tells to the entries of a history.

    {"event": {...}, "bytes": [...]}  --entry-->  Entry (text, who, lights, frame, XOR, set), its dumps

The rule: an entry says all that a viewer shows of it, so the historian keeps what single events do not say:
who holds which lock, how the pages stand, the page checksums, which frames are under way. It decides
nothing and touches no node; one thread calls it, in the order in which the entries are to stand.
"""

from collections.abc import Callable
from typing import Any

from pylitefs.errors import SqliteFormatError
from pylitefs.lecture.history.dumps import Dumps
from pylitefs.lecture.history.explain import explain
from pylitefs.lecture.history.facts import Facts
from pylitefs.lecture.history.held_locks import HeldLocks
from pylitefs.lecture.history.page_states import PageStates
from pylitefs.lecture.history.raw_events import RawItem, plain, read_items
from pylitefs.lecture.history.travelling import Travelling
from pylitefs.lecture.history.xor import ChecksumMirror, LtxContent, read_ltx
from pylitefs.lecture.model import Dump, Entry, Json
from pylitefs.ltx.checksum import CHECKSUM_FLAG
from pylitefs.ltx.position import Pos
from pylitefs.sqlite.header import DatabaseHeader

_MODES = {
    "unlink": "delete",
    "delete": "delete",
    "truncate": "truncate",
    "persist": "persist",
    "zero": "persist",
}
"""The journal mode, from how a journal ended."""
_WRITER_LOCKS = {"RESERVED", "WRITE"}
"""Who takes one of these to write means to write."""


class Historian:
    """Tells one run's history. `name_of` maps a node id (hex) to the node's name, "" or None if unknown;
    `client_of` names the client behind a process id, if it has a name of its own."""

    def __init__(
        self,
        name_of: Callable[[str], str | None] = lambda _: None,
        client_of: Callable[[int], str | None] = lambda _: None,
    ) -> None:
        self._name_of = name_of
        self._client_of = client_of
        self._dumps = Dumps()
        self._locks = HeldLocks()
        self._pages = PageStates()
        self._mirror = ChecksumMirror()
        self._travelling = Travelling()
        self._wal_first: dict[tuple[str, str], int] = {}
        """The first frame of the transaction that is not captured yet."""
        self._modes: dict[tuple[str, str], str] = {}
        self._writers: set[tuple[str, int]] = set()

    def entry(self, raw: Json, node: str = "") -> tuple[Entry, list[Dump]]:
        """The entry of one control message of `node` (without a name the event's own counts), and its dumps.

        `seq`, `t_ms`, `stop` and `step` are the caller's to fill in.
        """
        event: Json = raw.get("event") or {}
        items = read_items(raw.get("bytes"))
        return _Telling(self, event, items, node or str(event.get("node", ""))).tell()

    def position(self, node: str, database: str, pos: Pos, pages: int, mode: str | None = None) -> Json:
        """The changes of the state by a position that was asked for rather than seen."""
        base = f"db/{node}/{database}"
        found: Json = {
            f"{base}/txid": pos.txid,
            f"{base}/checksum": f"{pos.checksum:016x}",
            f"{base}/pages": pages,
            **self._pages.cut(node, database, pages),
        }
        if mode is not None:
            found[f"{base}/mode"] = mode
        return found

    def node_ended(self, node: str, *, wiped: bool = False) -> Json:
        """The node is down: its locks are gone. `wiped`: so is its data directory."""
        if wiped:
            self._mirror.forget(node)
        self._dumps.forget(node)
        return {f"db/{node}/{database}/locks": [] for database in self._locks.forget(node)}


class _Telling:
    """One event on its way to an entry."""

    def __init__(self, historian: Historian, event: Json, items: list[RawItem], node: str) -> None:
        self.known = historian
        self.event = event
        self.items = items
        self.node = node
        self.name = str(event.get("name", ""))
        self.database = str(event.get("database", ""))
        self.txid = _number(event.get("txid"))
        self.pid = _number(event.get("pid"))
        payload = event.get("payload")
        self.payload: Json = dict(payload) if isinstance(payload, dict) else {}
        self.content = self._ltx()
        self.is_applier = self.payload.get("applier") in (True, "True")
        self.who = self._who()
        self.entry = Entry(0, 0.0, "event", self.name, node, self.database, self.txid, self.who)

    def tell(self) -> tuple[Entry, list[Dump]]:
        entry = self.entry
        peer = str(self.payload.get("peer") or "")
        peer_name = (self.known._name_of(peer) or "") if peer else ""
        if self.name.startswith("stream."):
            peer_name = self._stream(peer_name)
        elif self.name.startswith("lock."):
            self._lock()
        else:
            self._files()
        dumps = self.known._dumps.of_event(self.node, self.event, self.items, self.content, entry.frame)
        entry.dumps = tuple(dump.id for dump in dumps)
        if self.name == "catchup.decide":
            self.payload["replica"] = peer_name
        facts = Facts(self.node, self.database, self.txid, self.who, peer_name or peer, self.payload)
        entry.text, entry.alone = explain(self.name, facts)
        entry.detail = {key: plain(key, value) for key, value in self.payload.items()}
        return entry, dumps

    # Who

    def _who(self) -> str:
        if self.is_applier or self.name == "page.apply":
            return "applier"
        if not self.pid:
            return f"{self.node} itself"
        key = (self.node, self.pid)
        is_lock = self.name.startswith("lock.")
        to_write = self.name == "lock.acquire" and self.payload.get("kind") == "write"
        if not is_lock or (to_write and self.payload.get("lock") in _WRITER_LOCKS):
            self.known._writers.add(key)
        role = "writer" if key in self.known._writers else "reader"
        client = self.known._client_of(self.pid)
        return f"{role} {client} (pid {self.pid})" if client else f"{role} (pid {self.pid})"

    # What

    def _stream(self, peer: str) -> str:
        """Of stream.*: the frame that travels; gives the peer's name."""
        kind = str(self.payload.get("frame") or "")
        travelling = self.known._travelling
        if self.name == "stream.receive" and not peer:
            peer = travelling.sender_of(self.node, self.database, self.txid, kind)
        if self.name in ("stream.connect", "stream.end"):
            travelling.lost(self.node, peer)
            return peer
        phase = "send" if self.name == "stream.send" else "receive"
        ends = (self.node, peer) if phase == "send" else (peer, self.node)
        size = next((item.size for item in self.items if item.file == "frame"), 0)
        if size:
            self.payload.setdefault("size", size)
        self.entry.frame = {
            "id": travelling.seen(phase, ends, self.database, self.txid, kind),
            "from": ends[0],
            "to": ends[1],
            "kind": kind,
            "phase": phase,
            "bytes": size,
        }
        if phase == "receive" and peer:
            # Not where it is sent: that is told, and held, before the frame leaves.
            self._shipped(peer)
        return peer

    def _shipped(self, sender: str) -> None:
        """The sender's pages have gone to a replica; those that changed again since then show that."""
        pgnos = sorted(self.content.pages) if self.content else Facts(payload=self.payload).pgnos
        known = self.known._pages
        gone = [pgno for pgno in pgnos if known.txid(sender, self.database, pgno) <= self.txid]
        self._light(gone, "shipped", self.txid, sender)

    def _lock(self) -> None:
        locks = self.known._locks
        if self.name == "lock.acquire":
            before = locks.take(self.node, self.database, self.payload, self.who)
            if before:
                self.payload["before"] = before
        elif self.name == "lock.release":
            locks.release(self.node, self.database, self.payload)
        else:
            holders = locks.holders(self.node, self.database, self.payload)
            if holders:
                self.payload["holder"] = ", ".join(holders)
            return
        self.entry.set[f"db/{self.node}/{self.database}/locks"] = locks.state(self.node, self.database)

    def _files(self) -> None:
        """What an event does to pages, checksums and the position."""
        pgnos = Facts(payload=self.payload).pgnos
        pages = self.known._pages
        match self.name:
            case "journal.open" | "tx.rollback" | "recovery.journal" | "recovery.wal":
                self.entry.set.update(pages.taken_back(self.node, self.database))
            case "journal.invalidate" if self.payload.get("live") in (False, "False"):
                self.entry.set.update(pages.taken_back(self.node, self.database))
            case "journal.sync":
                self.payload["header"] = self.known._dumps.journal_header(self.node, self.database)
            case "journal.write" if self._is_page():
                self._light(pgnos, "journalled", self.txid + 1)
            case "page.write" if self.payload.get("checkpoint") in (True, "True"):
                # The page's content is no other for it: a light, and no change of how it stands.
                self.entry.lights = tuple((self.node, self.database, pgno, "written") for pgno in pgnos)
            case "page.write":
                self._light(pgnos, "written", self.txid + 1)
            case "wal.frame":
                self._wal_frame(pgnos)
            case "ltx.encode":
                self._light(pgnos, "captured", self.txid)
            case "ltx.commit" | "ltx.store":
                self._ltx_kept("captured" if self.name == "ltx.commit" else "stored")
            case "page.apply":
                self._light(pgnos, "applied", self.txid)
            case "pos.advance":
                self._position()
            case "recovery.end":
                # What of a transaction was in no LTX file yet came to nothing.
                self.entry.set.update(pages.taken_back(self.node, self.database))
                self.known._wal_first.pop((self.node, self.database), None)
                self._position()
        self._mode()

    def _is_page(self) -> bool:
        """Whether what was written is, or may be, a page's content."""
        return "page" in str(self.payload.get("parts", "page")).split(", ")

    def _wal_frame(self, pgnos: tuple[int, ...]) -> None:
        first, frame = self.known._wal_first, _number(self.payload.get("frame"))
        place = (self.node, self.database)
        is_page = self._is_page()
        if place in first and frame <= first[place] and not is_page:
            # The frames from here on are written once more: who wrote them rolled back.
            self.entry.set.update(self.known._pages.taken_back(*place))
            del first[place]
        if frame:
            first.setdefault(place, frame)
        if is_page:
            size = self.known._dumps.page_size(*place)
            self.payload["part"] = _number(self.payload.get("length")) < size
            self._light(pgnos, "written", self.txid + 1)

    def _ltx_kept(self, how: str) -> None:
        content = self.content
        if how == "captured":
            self.known._pages.captured(self.node, self.database)
            self.known._wal_first.pop((self.node, self.database), None)
        if content is None:
            self._light(Facts(payload=self.payload).pgnos, how, self.txid)
            return
        self._light(sorted(content.pages), how, self.txid)
        if how == "stored" and content.header.is_snapshot:
            self.payload["snapshot"] = True
        self.payload.setdefault("post_apply_checksum", f"{content.post_apply_checksum:016x}")
        self.entry.xor = self.known._mirror.apply(self.node, self.database, content)

    def _position(self) -> None:
        checksum = _number(self.payload.get("checksum"))
        base = f"db/{self.node}/{self.database}"
        changes = self.entry.set
        changes[f"{base}/txid"] = self.txid
        changes[f"{base}/checksum"] = f"{checksum:016x}"
        self.payload["checksum"] = f"{checksum:016x}"
        if checksum == CHECKSUM_FLAG:
            self.payload["pages"] = 0
        header = self._database_header()
        if header is not None and self.name == "recovery.end":
            self.payload.setdefault("pages", header.page_count)
        if "pages" in self.payload:
            count = _number(self.payload["pages"])
            changes[f"{base}/pages"] = count
            changes.update(self.known._pages.cut(self.node, self.database, count))

    def _mode(self) -> None:
        """The journal mode, where this event shows it."""
        mode = _MODES.get(str(self.payload.get("how"))) if self.name == "journal.invalidate" else None
        if self.name in ("wal.frame", "wal.commit"):
            mode = "wal"
        header = self._database_header()
        place = (self.node, self.database)
        if header is not None and self.name in ("pos.advance", "recovery.end"):
            # Which of the rollback modes a database is in is nowhere in its file.
            left_wal = not header.is_wal and self.known._modes.get(place) == "wal"
            mode = "wal" if header.is_wal else "" if left_wal else None
        if mode is not None:
            self.known._modes[place] = mode
            self.entry.set[f"db/{self.node}/{self.database}/mode"] = mode

    def _database_header(self) -> DatabaseHeader | None:
        """The database file's, where it came along."""
        for item in self.items:
            if item.file == "database" and item.offset == 0:
                try:
                    return DatabaseHeader.parse(item.data)
                except SqliteFormatError:
                    return None
        return None

    def _light(self, pgnos: Any, how: str, txid: int, node: str = "") -> None:
        lights, changes = self.known._pages.light(node or self.node, self.database, pgnos, how, txid)
        self.entry.lights += tuple(lights)
        self.entry.set.update(changes)

    def _ltx(self) -> LtxContent | None:
        """The LTX file among the event's bytes, read."""
        for item in self.items:
            if item.file in ("ltx", "frame") and not item.cut:
                data = item.ltx_of_frame() if item.file == "frame" else item.data
                return read_ltx(data) if data else None
        return None


def _number(value: object) -> int:
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        try:
            return int(value, 16 if len(value) == 16 else 10)
        except ValueError:
            return 0
    return 0
