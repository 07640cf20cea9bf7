"""A mount in a process of its own, over a store that only keeps files: `python mounted.py DATA MOUNT`.

It says "ready" and serves until its stdin ends.
"""

import sys
from pathlib import Path

from pylitefs.mount.operations import MountOperations
from pylitefs.mount.session import MountSession, install_signal_handlers
from pylitefs.store.status import Status
from pylitefs.trace import Tracer
from tests.mount.passthrough import PassthroughStore


def main() -> None:
    install_signal_handlers()
    status = Status()
    status.is_primary = True
    store = PassthroughStore(Path(sys.argv[1]), status, Tracer())
    # This process cannot tell the applier's threads from others, and its store treats all alike.
    operations = MountOperations(store, lambda tid: True)  # type: ignore[arg-type]
    session = MountSession(operations, Path(sys.argv[2]))
    session.start()
    print("ready", flush=True)
    sys.stdin.read()
    session.stop()


if __name__ == "__main__":
    main()
