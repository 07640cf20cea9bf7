"""A mount in a process of its own, told what to do by lines of JSON: what the tests of the mount drive.

A test must not touch a mount that its own process serves (it could not be killed any more), so the
mount lives here and pytest is the client. `python -m tests.mount.node_process DATA MOUNT`.
"""

import argparse
import json
import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import cast

from pylitefs.errors import MountError
from pylitefs.mount.observed.lock_table import names_of
from pylitefs.mount.observed.operations import ObservedOperations
from pylitefs.mount.operations import FileInfo, MountOperations
from pylitefs.mount.session import MountSession, install_signal_handlers
from pylitefs.store.status import Status
from pylitefs.store.store import Store
from pylitefs.trace import Event, Gate, Tracer
from tests.mount.passthrough import PassthroughStore


class CountingOperations(MountOperations):
    """Counts the callbacks that tests ask for, and breaks or holds the one they name."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, lambda tid: tid in self.applier_tids)
        self.applier_tids: set[int] = set()
        self.counts: Counter[str] = Counter()
        self.broken = ""
        self.gate = threading.Event()
        self.gate.set()

    def _seen(self, operation: str) -> None:
        self.counts[operation] += 1
        if self.broken == operation:
            raise RuntimeError("broken by the test")
        self.gate.wait()

    def read(self, fh: int, buffer: memoryview, offset: int) -> int:
        self._seen("read")
        return super().read(fh, buffer, offset)

    def write(self, fh: int, data: memoryview, offset: int) -> int:
        self._seen("write")
        return super().write(fh, data, offset)

    def create(self, path: str, mode: int, fi: FileInfo) -> None:
        self._seen("create")
        super().create(path, mode, fi)

    def truncate(self, path: str | None, length: int, fi: FileInfo | None = None) -> None:
        self._seen("truncate")
        super().truncate(path, length, fi)


class CountingObservedOperations(CountingOperations, ObservedOperations):
    """The same with observed locks."""


class NodeProcess:
    """The commands; each takes the line's other fields and returns what is answered."""

    def __init__(
        self, data_dir: Path, mount_dir: Path, *, real: bool, allow_other: bool, observed: bool
    ) -> None:
        operations = CountingObservedOperations if observed else CountingOperations
        self.status = Status(is_primary=True)
        self.tracer = Tracer()
        self.real_store: Store | None = None
        if real:
            self.real_store = Store(data_dir, tracer=self.tracer, status=self.status, monitor_interval_s=0)
            self.real_store.open(mount_dir)
            self.operations = operations(self.real_store)
        else:
            store = PassthroughStore(data_dir, self.status, self.tracer)
            self.operations = operations(cast(Store, store))
        self.events: list[Event] = []
        self.held = Gate()
        self.session = MountSession(
            self.operations, mount_dir, allow_other=allow_other, on_unmounted=self.on_unmounted
        )

    def on_unmounted(self) -> None:
        self.session.stop()
        say({"unmounted": True})

    def start(self) -> dict[str, object]:
        self.session.start()
        return {"pid": os.getpid()}

    def counts(self) -> dict[str, object]:
        return {"counts": dict(self.operations.counts)}

    def role(
        self, primary: bool, hostname: str | None = None, heard_ms: int | None = None
    ) -> dict[str, object]:
        self.status.is_primary = primary
        self.status.primary_hostname = hostname
        self.status.heard_ms = heard_ms
        return {}

    def applier(self, tids: list[int]) -> dict[str, object]:
        self.operations.applier_tids = set(tids)
        return {}

    def breaks(self, operation: str) -> dict[str, object]:
        self.operations.broken = operation
        return {}

    def hold(self, held: bool) -> dict[str, object]:
        (self.operations.gate.clear if held else self.operations.gate.set)()
        return {}

    def trace(self) -> dict[str, object]:
        self.tracer.listen(self.events.append)
        return {}

    def traced(self) -> dict[str, object]:
        return {"events": [[event.name, event.database, event.pid] for event in self.events]}

    def lock_events(self) -> dict[str, object]:
        """Those of locks so far, in order, and no more of them."""
        events, self.events[:] = list(self.events), []
        return {
            "events": [
                [event.name.removeprefix("lock."), event.payload["lock"], event.pid, dict(event.payload)]
                for event in events
                if event.name.startswith("lock.")
            ]
        }

    def gates(self, names: list[str], pids: list[int]) -> dict[str, object]:
        """Hold these processes at these tracepoints."""
        self.held = Gate(names, pids=pids)
        self.tracer.listen(self.held)
        return {}

    def gated(self) -> dict[str, object]:
        return {"held": [event.name for event in self.held.held]}

    def opens(self) -> dict[str, object]:
        self.held.close()
        return {}

    def locks(self, database: str) -> dict[str, object]:
        """Who holds what, by the table's own account."""
        assert isinstance(self.operations, ObservedOperations)
        found = [
            [caller.pid, caller.applier, caller.file, names_of(held)]
            for caller, all_held in self.operations.locks.holders(database)
            for held in all_held
        ]
        return {"locks": sorted(found)}

    def stop(self, timeout: float = 5.0) -> dict[str, object]:
        began = time.monotonic()
        self.session.stop(timeout)
        if self.real_store is not None:
            self.real_store.close()
        return {"seconds": time.monotonic() - began, "handles": len(self.operations._handles)}


def say(answer: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("mount_dir", type=Path)
    parser.add_argument("--passthrough", action="store_true")
    parser.add_argument("--allow-other", action="store_true")
    parser.add_argument("--observed-locks", action="store_true")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    install_signal_handlers()
    node = NodeProcess(
        args.data_dir,
        args.mount_dir,
        real=not args.passthrough,
        allow_other=args.allow_other,
        observed=args.observed_locks,
    )
    for line in sys.stdin:
        fields = json.loads(line)
        command: Callable[..., dict[str, object]] = getattr(node, fields.pop("do"))
        try:
            say({"ok": True, **command(**fields)})
        except MountError as error:
            say({"ok": False, "error": str(error)})
    node.operations.gate.set()
    node.session.stop()


if __name__ == "__main__":
    main()
