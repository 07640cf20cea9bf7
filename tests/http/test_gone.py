"""Connections whose clients are gone: their descriptors come back at once, not when they would be idle."""

import os
import socket
import time
from pathlib import Path

from tests.replication.stores import opened, serving

SOON_S = 2.0
"""Less than hypercorn's idle time of 5 s."""


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_closed_connection_keeps_no_descriptor(tmp_path: Path) -> None:
    """Of clients that got an answer, of one that said nothing, and of one that broke off in its request."""
    with opened(tmp_path / "node", primary=True) as store, serving(store) as info:
        port = int(info.advertise_url.rpartition(":")[2])
        before = descriptors()
        for request in (*(b"GET /info HTTP/1.1\r\nHost: localhost\r\n\r\n",) * 40, b"", b"GET /inf"):
            with socket.create_connection(("127.0.0.1", port), 5) as client:
                client.sendall(request)
                if request.endswith(b"\r\n"):
                    assert client.recv(12) == b"HTTP/1.1 200"
        end = time.monotonic() + SOON_S
        while (left := descriptors() - before) > 0 and time.monotonic() < end:
            time.sleep(0.01)
        assert left <= 0
