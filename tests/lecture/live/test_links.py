"""The way between a replica and its primary: bytes in order, late, lost or wrong as asked, never stuck."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pylitefs.lecture.live.links import Link


class Echo:
    """A server that sends back what it gets, until the other end is through."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                one, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(one,), daemon=True).start()

    @staticmethod
    def _serve(one: socket.socket) -> None:
        with one:
            try:
                while data := one.recv(65536):
                    one.sendall(data)
            except OSError:
                pass

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    one = Echo()
    yield one
    one.close()


@pytest.fixture
def link(echo: Echo) -> Iterator[Link]:
    with Link(echo.port) as one:
        yield one


def connect(link: Link) -> socket.socket:
    return socket.create_connection(("127.0.0.1", link.port), 5)


def receive(one: socket.socket, size: int) -> bytes:
    """`size` bytes, or what came before the end."""
    one.settimeout(10)
    found = b""
    while len(found) < size:
        data = one.recv(65536)
        if not data:
            break
        found += data
    return found


def ends(one: socket.socket) -> bool:
    one.settimeout(5)
    try:
        return one.recv(1) == b""
    except ConnectionResetError:
        return True


def test_bytes_go_both_ways_in_order(link: Link) -> None:
    data = bytes(range(256)) * 4000
    with connect(link) as one:
        threading.Thread(target=one.sendall, args=(data,), daemon=True).start()
        assert receive(one, len(data)) == data


def test_the_end_of_a_connection_is_passed_on_after_its_bytes(link: Link) -> None:
    with connect(link) as one:
        one.sendall(b"last words")
        one.shutdown(socket.SHUT_WR)
        assert receive(one, 100) == b"last words"


def test_what_comes_from_the_target_is_late_by_the_delay_and_in_order(link: Link) -> None:
    link.delay_ms = 150
    with connect(link) as one:
        began = time.monotonic()
        one.sendall(b"a")
        assert receive(one, 1) == b"a"
        assert time.monotonic() - began >= 0.15
        one.sendall(b"b")
        while link.taken < 4:
            time.sleep(0.001)
        link.heal()
        one.sendall(b"c")
        assert receive(one, 2) == b"bc"
    assert link.delay_ms == 0


def test_what_is_on_its_way_is_counted(link: Link) -> None:
    link.delay_ms = 100
    with connect(link) as one:
        one.sendall(b"slow")
        while link.taken < 8:
            time.sleep(0.001)
        assert link.given == 4
        assert receive(one, 4) == b"slow"
        while link.given < 8:
            time.sleep(0.001)
    assert link.taken == 8


def test_a_cut_way_ends_connections_and_new_ones_too_until_it_is_healed(link: Link, echo: Echo) -> None:
    with connect(link) as one:
        one.sendall(b"x")
        assert receive(one, 1) == b"x"
        link.cut()
        assert link.is_cut and ends(one)
    with connect(link) as two:
        assert ends(two)
    assert echo.accepted == 1
    link.heal()
    with connect(link) as three:
        three.sendall(b"y")
        assert receive(three, 1) == b"y"


def test_a_drop_ends_connections_once(link: Link) -> None:
    with connect(link) as one:
        one.sendall(b"x")
        assert receive(one, 1) == b"x"
        link.drop()
        assert ends(one)
    with connect(link) as two:
        two.sendall(b"y")
        assert receive(two, 1) == b"y"


@pytest.mark.parametrize("offset", [None, 300])
def test_one_bit_is_flipped_in_the_next_long_piece_and_never_again(link: Link, offset: int | None) -> None:
    link.corrupt_next(offset)
    data = bytes(400)
    with connect(link) as one:
        one.sendall(b"short")
        assert receive(one, 5) == b"short"
        one.sendall(data)
        found = receive(one, 400)
        assert [place for place in range(400) if found[place] != 0] == [200 if offset is None else offset]
        assert sum(found) == 1
        one.sendall(data)
        assert receive(one, 400) == data


def test_a_target_that_is_not_there_ends_the_connection(link: Link) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        link.target_port = free.getsockname()[1]
    with connect(link) as one:
        assert ends(one)


def test_a_new_target_gets_the_new_connections(link: Link, echo: Echo) -> None:
    other = Echo()
    try:
        link.target_port = other.port
        with connect(link) as one:
            one.sendall(b"x")
            assert receive(one, 1) == b"x"
        assert (other.accepted, echo.accepted) == (1, 0)
    finally:
        other.close()


def test_a_receiver_that_does_not_read_keeps_no_other_connection_waiting(
    link: Link, eventually: Callable[..., None]
) -> None:
    with connect(link) as lazy, connect(link) as busy:
        lazy.setblocking(False)
        try:
            while True:
                lazy.send(bytes(65536))
        except BlockingIOError:
            pass
        busy.sendall(b"x")
        assert receive(busy, 1) == b"x"
    eventually(lambda: link.connections == 0, "both connections are gone")
    assert link.taken == link.given


def test_a_link_that_is_closed_ends_its_thread_and_connections(echo: Echo) -> None:
    link = Link(echo.port)
    one = connect(link)
    one.sendall(b"x")
    assert receive(one, 1) == b"x"
    link.close()
    assert ends(one)
    assert not any(thread.name == f"link-{link.port}" for thread in threading.enumerate())
    one.close()
    link.close()


def test_an_idle_link_says_so(link: Link, eventually: Callable[..., None]) -> None:
    assert link.is_idle()
    with connect(link) as one:
        one.sendall(b"x")
        assert receive(one, 1) == b"x"
        eventually(link.is_idle, "nothing is under way")
        link.delay_ms = 50
        one.sendall(b"y")
        assert receive(one, 1) == b"y"
        eventually(link.is_idle, "nothing is under way")
