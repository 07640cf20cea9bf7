"""Ports for nodes that are about to start: free, and given to nobody else meanwhile.

A node binds its port a second after it was chosen. In that second another cluster on this machine may choose
the same one: then one node does not start, or is taken for the other. The rule: who chooses a port keeps a
socket of its name for a minute, in the abstract namespace of Unix sockets, and who finds one looks further.
"""

import random
import socket
import time

from pylitefs.errors import PylitefsError

KEPT_S = 60.0
"""By then the node has bound its port, and a look at it tells."""

_kept: list[tuple[float, socket.socket]] = []


def free_ports(count: int, first: int | None = None) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on, from `first` or a random one upwards.

    They lie below the range that the kernel hands out to clients, so they are still free a moment later.
    """
    now = time.monotonic()
    while _kept and _kept[0][0] < now - KEPT_S:
        _kept.pop(0)[1].close()
    found: list[int] = []
    start = first or random.randrange(21000, 32000)
    for port in range(start, start + 700):
        if _is_free(port) and _keep(port, now):
            found.append(port)
            if len(found) == count:
                return found
    raise PylitefsError(f"no {count} free ports on 127.0.0.1 from {start} on")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _keep(port: int, now: float) -> bool:
    """Whether nobody else has chosen it; then it is ours for a minute."""
    name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        name.bind(f"\0pylitefs-port-{port}")
    except OSError:
        name.close()
        return False
    _kept.append((now, name))
    return True
