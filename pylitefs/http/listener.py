"""The API's port, with its connections counted: taken at once, before what answers there is loaded.

The rule: it leaves the mount its descriptors, so connections are bounded. Who connects before the server is
loaded waits in the kernel's queue.
"""

import errno
import ipaddress
import logging
import os
import socket
import weakref
from collections import deque
from contextlib import suppress

from pylitefs import limits
from pylitefs.errors import ConfigError
from pylitefs.portable import BINARY

BACKLOG = 128
MOST_CONNECTIONS = 1000
"""Connections at a time, readers of `/events` and replicas too; but no more than a quarter of the
descriptors, for the mount needs the others. Who comes when there are so many gets 503."""
LINGERING = 32
"""Of those turned away, so many are not closed at once: they are to read the answer."""

log = logging.getLogger("pylitefs")


class Listener(socket.socket):
    """A listening socket that knows its connections, so that they can be cut off."""

    whose = "the API"
    connections: "weakref.WeakSet[socket.socket]"
    turned_away: "deque[socket.socket]"
    is_full: bool
    spare: int
    """A descriptor to close when there is no other: then a connection can still be told."""

    @classmethod
    def bound(cls, host: str, port: int) -> "Listener":
        """Listen on host and port; an empty host is every interface, IPv6 too where there is any."""
        every = not host and socket.has_dualstack_ipv6()
        listener = cls(socket.AF_INET6 if every or ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        listener.connections = weakref.WeakSet()
        listener.turned_away = deque()
        listener.is_full = False
        listener.spare = os.open(os.devnull, os.O_RDONLY | BINARY)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if every:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            # Linux hands it down to connections. (asyncio sets it only where a protocol's number is given.)
            # Without it a stream's second small frame waits 40 ms for the acknowledgement of the first.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                listener.bind((host, port))
            except (ValueError, OverflowError, TypeError) as error:  # A host with NUL is a TypeError.
                raise OSError(errno.EINVAL, f"no address to listen on: {error}") from None
            listener.listen(BACKLOG)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
        return listener

    def accept(self) -> tuple[socket.socket, object]:
        while True:
            try:
                connection, address = super().accept()
            except OSError as error:
                if not limits.note(error):
                    raise
                self._accept_with_spare()
                continue
            if self._has_room(address):
                self.connections.add(connection)
                return connection, address
            self._turn_away(connection)

    @property
    def most(self) -> int:
        """So many connections at a time."""
        return min(MOST_CONNECTIONS, limits.open_files_limit() // 4)

    def _has_room(self, address: object) -> bool:
        """Whether one more connection, from this address, may stay."""
        del address
        most = self.most
        count = len(self.connections)
        if count >= most:
            count = sum(one.fileno() >= 0 for one in tuple(self.connections))
        if count < most:
            self.is_full = self.is_full and count > most // 2
            return True
        if not self.is_full:
            self.is_full = True
            log.warning(
                "%s has %d connections, its most: more are closed with 503; end readers of /events that "
                "are not needed, or raise the limit of open files (%d)",
                self.whose,
                count,
                limits.open_files_limit(),
            )
        return False

    def _accept_with_spare(self) -> None:
        """There is no descriptor: turn one connection away, with the one that is kept for it."""
        if self.spare >= 0:
            os.close(self.spare)
            self.spare = -1
        while self.turned_away:
            self.turned_away.popleft().close()
        try:
            connection, _ = super().accept()
        except OSError as error:
            raise BlockingIOError(error.errno, error.strerror) from None  # asyncio comes again.
        with connection:
            _say_full(connection)
        with suppress(OSError):
            self.spare = os.open(os.devnull, os.O_RDONLY | BINARY)

    def _turn_away(self, connection: socket.socket) -> None:
        _say_full(connection)
        self.turned_away.append(connection)
        while len(self.turned_away) > LINGERING:
            self.turned_away.popleft().close()

    def close(self) -> None:
        while self.turned_away:
            self.turned_away.popleft().close()
        if self.spare >= 0:
            os.close(self.spare)
            self.spare = -1
        super().close()

    @property
    def port(self) -> int:
        return int(self.getsockname()[1])

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return ipaddress.ip_address(self.getsockname()[0]).is_loopback

    def cut(self, peer: tuple[str, int]) -> None:
        """Break the connection of one peer."""
        for connection in tuple(self.connections):
            with suppress(OSError):
                if connection.getpeername()[:2] == tuple(peer):
                    connection.shutdown(socket.SHUT_RDWR)

    def cut_off(self) -> None:
        """Break every connection."""
        for connection in tuple(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it is closed already


def _say_full(connection: socket.socket) -> None:
    text = b"this node has as many connections as it takes: try again later\n"
    head = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    with suppress(OSError):
        connection.setblocking(False)
        connection.send(b"%sContent-Length: %d\r\n\r\n%s" % (head, len(text), text))
        connection.shutdown(socket.SHUT_WR)


def take_port(host: str, port: int) -> Listener:
    """The port of `http.addr`; an empty host is every interface. Raises ConfigError if it cannot be had."""
    try:
        return Listener.bound(host, port)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on http.addr {host}:{port}: {error.strerror or error}; "
            "is another node running here? Choose another port, or stop it"
        ) from None
