"""What a store does, told by a historian: every event with its bytes, as over the control channel."""

import json
from pathlib import Path

from pylitefs.control.events import event_to_json
from pylitefs.lecture.history.historian import Historian
from pylitefs.lecture.model import Dump, Entry, Json, state_at
from pylitefs.store.evidence import Evidence
from pylitefs.store.store import Store
from pylitefs.trace import Event


class Told:
    """A run's entries and dumps."""

    def __init__(self, historian: Historian | None = None) -> None:
        self.historian = historian or Historian()
        self.entries: list[Entry] = []
        self.dumps: dict[str, Dump] = {}
        self.hears = True

    def listen(self, store: Store, node: str) -> None:
        """Tell everything that the store does from now on as `node`."""
        evidence = Evidence(Path(store.data_dir))

        def hear(event: Event) -> None:
            if not self.hears:
                return
            message = {
                "event": event_to_json(event, len(self.entries)),
                "bytes": [piece.to_json() for piece in evidence(event)],
                "held": False,
            }
            self.tell(json.loads(json.dumps(message)), node)

        store.tracer.listen(hear)

    def tell(self, message: Json, node: str) -> Entry:
        entry, dumps = self.historian.entry(message, node)
        entry.seq = len(self.entries)
        self.entries.append(entry)
        assert entry.dumps == tuple(dump.id for dump in dumps)
        self.dumps.update({dump.id: dump for dump in dumps})
        return entry

    def event(
        self, node: str, name: str, database: str = "a.db", *, txid: int = 0, pid: int = 0, **payload: object
    ) -> Entry:
        """Tell an event that nobody emitted."""
        event = {"name": name, "node": node, "database": database, "txid": txid, "pid": pid}
        return self.tell({"event": {**event, "payload": payload}, "bytes": []}, node)

    def named(self, name: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.name == name]

    def last(self, name: str) -> Entry:
        return self.named(name)[-1]

    def shown(self, entry: Entry) -> list[Dump]:
        return [self.dumps[one] for one in entry.dumps]

    @property
    def state(self) -> Json:
        return state_at(self.entries)

    def pages(self, node: str, database: str = "a.db") -> dict[int, str]:
        """How the pages stand."""
        start = f"page/{node}/{database}/"
        return {
            int(key.removeprefix(start)): value["how"]
            for key, value in sorted(self.state.items())
            if key.startswith(start)
        }
