"""The API's server is loaded after its port is taken, and who was there before is answered."""

import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.errors import ConfigError
from pylitefs.http import late_server
from pylitefs.http.app import Api
from pylitefs.http.late_server import LateServer
from pylitefs.lease.static import StaticLease
from pylitefs.store.store import Store
from tests.replication.stores import opened

LEASE = StaticLease(True, "a", "http://a:1")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "primary", primary=True) as store:
        yield store


class Loading:
    """A server whose API is made when the test lets it."""

    def __init__(self, store: Store) -> None:
        self.go = threading.Event()
        self.loaded = threading.Event()
        self.failures: list[Exception] = []
        self._store = store
        self.server = LateServer(
            ("127.0.0.1", 0), self.make_api, on_loaded=self.loaded.set, on_failure=self.failures.append
        )

    def make_api(self) -> Api:
        assert self.go.wait(20)
        return Api(self._store, LEASE)


def test_who_comes_before_it_is_loaded_is_answered(store: Store) -> None:
    """The port is there at once; the request waits, and no client sees an error."""
    loading = Loading(store)
    port = loading.server.listen().port
    loading.server.start()
    answers: list[int] = []

    def ask() -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/info", timeout=20) as answer:
            answers.append(answer.status)

    client = threading.Thread(target=ask)
    client.start()
    loading.server.primary_changed()  # Nobody can have asked for events yet.
    loading.go.set()
    client.join(20)
    assert answers == [200]
    assert loading.loaded.wait(20)
    loading.server.primary_changed()
    loading.server.stop()
    assert not loading.failures


def test_a_node_that_ends_meanwhile_serves_nothing(store: Store) -> None:
    """And its port is free again."""
    loading = Loading(store)
    port = loading.server.listen().port
    loading.server.start()
    stopping = threading.Thread(target=loading.server.stop)
    stopping.start()
    loading.go.set()
    stopping.join(20)
    assert not stopping.is_alive() and loading.loaded.is_set()
    again = LateServer(("127.0.0.1", port), loading.make_api, on_loaded=str, on_failure=repr)  # type: ignore[arg-type]
    again.listen()
    again.stop()


def test_it_waits_until_it_is_time_but_not_for_long(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica that joins loads it afterwards, or after a second; and a node that ends does not wait."""
    moment = threading.Event()
    first = Loading(store)
    first.go.set()
    first.server.listen()
    first.server.start(moment.is_set)
    assert not first.loaded.is_set()
    moment.set()
    assert first.loaded.wait(20) and not first.failures
    first.server.stop()

    monkeypatch.setattr(late_server, "LATEST_S", 0.05)
    second = Loading(store)
    second.go.set()
    second.server.listen()
    second.server.start(lambda: False)
    assert second.loaded.wait(20)
    second.server.stop()

    monkeypatch.setattr(late_server, "LATEST_S", 600.0)
    third = Loading(store)
    third.server.listen()
    third.server.start(lambda: False)
    third.server.stop()
    assert third.loaded.is_set() and not third.failures


def test_what_cannot_be_loaded_is_told(store: Store) -> None:
    """The node is told what failed, and the port is given back."""
    loading = Loading(store)

    def fail() -> Api:
        raise ImportError("no module named starlette")

    loading.server._make_api = fail
    loading.server.listen()
    loading.server.start()
    assert loading.loaded.wait(20)
    assert [str(one) for one in loading.failures] == ["no module named starlette"]
    loading.server.stop()


def test_a_port_that_is_taken_is_told_before_anything_is_loaded(store: Store) -> None:
    """It is an error of the config file."""
    loading = Loading(store)
    port = loading.server.listen().port
    with pytest.raises(ConfigError, match=r"http\.addr"):
        LateServer(("127.0.0.1", port), loading.make_api, on_loaded=str, on_failure=repr).listen()  # type: ignore[arg-type]
    loading.server.stop()
