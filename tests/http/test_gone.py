"""Connections whose clients are gone: their descriptors come back at once, not when they would be idle."""

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from tests.replication.stores import opened, serving

SOON_S = 2.0
"""Less than hypercorn's idle time of 5 s."""


def connections(port: int) -> int:
    """How many sockets of the server's there are, of connections that it has accepted and not closed."""
    ours = set()
    for fd in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            ours.add(os.readlink(f"/proc/self/fd/{fd}"))
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    at = f"0100007F:{port:04X}"
    return sum(one[1] == at and one[2] != "00000000:0000" and f"socket:[{one[9]}]" in ours for one in lines)


def test_a_closed_connection_keeps_no_descriptor(tmp_path: Path) -> None:
    """Of clients that got an answer, of one that said nothing, and of one that broke off in its request."""
    with opened(tmp_path / "node", primary=True) as store, serving(store) as info:
        port = int(info.advertise_url.rpartition(":")[2])
        for request in (*(b"GET /info HTTP/1.1\r\nHost: localhost\r\n\r\n",) * 40, b"", b"GET /inf"):
            with socket.create_connection(("127.0.0.1", port), 5) as client:
                client.sendall(request)
                if request.endswith(b"\r\n"):
                    assert client.recv(12) == b"HTTP/1.1 200"
        end = time.monotonic() + SOON_S
        while (left := connections(port)) and time.monotonic() < end:
            time.sleep(0.01)
        assert left == 0
