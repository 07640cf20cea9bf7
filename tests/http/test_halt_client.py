"""A replica's requests to its primary: what it says, and what is known when nothing comes."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.errors import RemoteError
from pylitefs.http.halt import rfc3339
from pylitefs.http.halt_client import HaltClient, nanoseconds
from pylitefs.ltx.position import Pos
from pylitefs.store import status
from pylitefs.store.halted import UnreachableError, UnsureError
from pylitefs.store.store import Store
from tests.replication.stores import Writer, opened, serving


@pytest.fixture
def client() -> Iterator[HaltClient]:
    made = HaltClient("00000000000000AB", tx_timeout=0.5)
    yield made
    made.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "primary", primary=True) as made:
        yield made


def test_a_lock_is_taken_used_renewed_and_given_back(
    client: HaltClient, store: Store, tmp_path: Path
) -> None:
    """All over one connection, which is kept between two requests."""
    writer = Writer(store)
    writer.commit({1: 1})
    ltx = tmp_path / "a.ltx"
    ltx.write_bytes(writer.next_file({1: 2}))
    with serving(store) as node:
        url = node.advertise_url
        granted = client.acquire(url, "made.db", 5, 5.0)
        assert granted.pos == writer.pos
        assert client.acquire(url, "made.db", 5, 5.0).expires > granted.expires
        client.commit(url, "made.db", 5, ltx)
        assert writer.pos.txid == 2
        with pytest.raises(RemoteError, match=r"non-sequential.*\(500\)") as error:
            client.commit(url, "made.db", 5, ltx)
        assert not isinstance(error.value, UnsureError)
        client.release(url, "made.db", 5)
        with pytest.raises(RemoteError, match="409"):
            client.commit(url, "made.db", 5, ltx)
        assert len(client._kept) == 1
        client.close()


def test_nobody_there_is_another_thing_than_no_answer(client: HaltClient, tmp_path: Path) -> None:
    """In the first case the primary has done nothing; in the second nobody knows."""
    ltx = tmp_path / "a.ltx"
    ltx.write_bytes(b"x")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(UnreachableError):
            client.commit(url, "a.db", 1, ltx)
        listener.listen()
        with pytest.raises(UnsureError, match="no answer") as silent:
            client.commit(url, "a.db", 1, ltx)
        assert not isinstance(silent.value, UnreachableError)


def test_in_a_lecture_an_answer_is_waited_for_as_long_as_a_class_talks(
    client: HaltClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The primary's thread is held there; the holder's commit waits for it, whatever the timeout says."""
    monkeypatch.setattr(status, "_stands_at", 100.0)
    ltx = tmp_path / "a.ltx"
    ltx.write_bytes(b"x")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        sending = threading.Thread(target=client.commit, args=(url, "a.db", 1, ltx))
        sending.start()
        connection, _ = listener.accept()
        with connection:
            sending.join(0.8)
            assert sending.is_alive()
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            sending.join(10)
    assert not sending.is_alive() and client._kept


def test_what_is_no_lock_is_said_to_be_none(client: HaltClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(RemoteError, match="no lock"):
            client.acquire(f"http://127.0.0.1:{listener.getsockname()[1]}", "a.db", 1, 5.0)
        thread.join()


def test_go_s_times_are_read() -> None:
    for ns in (1_795_750_829_154_125_392, 1_795_750_829_000_000_000):
        assert nanoseconds(rfc3339(ns)) == ns
    assert nanoseconds("2026-11-27T04:40:29.5+01:00") == 1_795_750_829_500_000_000
    with pytest.raises(ValueError):
        nanoseconds("soon")
    assert Pos(1) != Pos(2)
