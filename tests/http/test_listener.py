"""The API's port: taken at once, told at once where it cannot be had, and quick."""

import socket

import pytest

from pylitefs.errors import ConfigError
from pylitefs.http.listener import Listener, take_port


@pytest.mark.parametrize("address", [("127.0.0.1\0", 0), ("no such host.invalid", 0)])
def test_an_address_that_cannot_be_is_named(address: tuple[str, int]) -> None:
    """An error of the system that says so, and for the config file's key one line."""
    with pytest.raises(OSError, match=r"no address|not known|resolution"):
        Listener.bound(*address)
    with pytest.raises(ConfigError, match=r"cannot listen on http\.addr"):
        take_port(*address)


def test_a_port_says_what_it_is() -> None:
    """Its number, and whether only this machine reaches it."""
    with take_port("127.0.0.1", 0) as local, take_port("", 0) as everywhere:
        assert local.port == local.getsockname()[1] > 0
        assert local.is_loopback and not everywhere.is_loopback


def test_a_small_frame_waits_for_no_acknowledgement() -> None:
    """Of the frame before it: connections are without Nagle's algorithm."""
    with Listener.bound("127.0.0.1", 0) as listener:
        listener.setblocking(True)
        with socket.create_connection(listener.getsockname()):
            connection, _ = listener.accept()
            with connection:
                assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
