"""A mount in a process of its own, over a store that only keeps files: `python mounted.py MODE DATA MOUNT`.

MODE is "fuse" or, with observed locks, "observed". It says "ready" and serves until its stdin ends; each line
there is a database's name, and the answer who has it locked.
"""

import sys
from pathlib import Path

from pylitefs.mount.observed.lock_table import LockTable
from pylitefs.mount.observed.operations import ObservedOperations
from pylitefs.mount.operations import MountOperations
from pylitefs.mount.session import MountSession, install_signal_handlers
from pylitefs.store.status import Status
from pylitefs.trace import Tracer
from tests.mount.passthrough import PassthroughStore


def is_applier_thread(tid: int) -> bool:
    """An applier is another process's child here, and told by its command line."""
    try:
        return b"pylitefs.mount.applier.process" in Path(f"/proc/{tid}/cmdline").read_bytes()
    except OSError:
        return False


def main() -> None:
    install_signal_handlers()
    status = Status()
    status.is_primary = True
    mode, data_dir, mount_dir = sys.argv[1:]
    store = PassthroughStore(Path(data_dir), status, Tracer())
    locks = LockTable() if mode == "observed" else None
    operations: MountOperations
    if locks is None:
        operations = MountOperations(store, is_applier_thread)  # type: ignore[arg-type]
    else:
        operations = ObservedOperations(store, is_applier_thread, locks=locks)  # type: ignore[arg-type]
    session = MountSession(operations, Path(mount_dir))
    session.start()
    print("ready", flush=True)
    for name in sys.stdin:
        print(locks.describe(name.strip()) if locks else "", flush=True)
    session.stop()


if __name__ == "__main__":
    main()
