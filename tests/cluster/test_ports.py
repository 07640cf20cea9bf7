"""Ports that are chosen: free, and given to nobody else for a minute, in this process or another."""

import socket
import subprocess
import sys

import pytest

from pylitefs.cluster import ports
from pylitefs.cluster.ports import free_ports
from pylitefs.errors import PylitefsError


def test_they_are_free_and_differ() -> None:
    found = free_ports(5)
    assert len(set(found)) == 5
    for port in found:
        with socket.socket() as one:
            # As a node does: a connection that ended a moment ago is in nobody's way.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(("127.0.0.1", port))


def test_one_that_is_listened_on_is_passed_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert taken not in free_ports(1, taken)


def test_one_that_was_chosen_is_given_to_nobody_else() -> None:
    (first,) = free_ports(1)
    assert first not in free_ports(1, first)
    other = subprocess.run(
        [
            sys.executable,
            "-c",
            f"from pylitefs.cluster.ports import free_ports; print(free_ports(1, {first}))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(first) not in other.stdout


def test_after_a_minute_a_look_at_it_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    (first,) = free_ports(1)
    monkeypatch.setattr(ports, "KEPT_S", -1.0)
    assert free_ports(1, first) == [first]


def test_where_there_are_none_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_is_free", lambda port: False)
    with pytest.raises(PylitefsError, match=r"no 2 free ports on 127\.0\.0\.1 from 25000 on"):
        free_ports(2, 25000)
