"""The lease service's own rules, without HTTP and without time."""

import json
from collections.abc import Mapping

import pytest

from pylitefs.lease.service import BadRequestError, NoSessionError, Service, State

FIELDS: Mapping[str, object] = {"Behavior": "delete", "LockDelay": "1000ms", "Name": "litefs", "TTL": "4s"}


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Saved:
    """The service's disk."""

    def __init__(self) -> None:
        self.text = json.dumps(State().to_json())

    def save(self, state: State) -> None:
        self.text = json.dumps(state.to_json())

    def load(self) -> State:
        return State.from_json(json.loads(self.text))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def saved() -> Saved:
    return Saved()


@pytest.fixture
def service(clock: Clock, saved: Saved) -> Service:
    return Service(State(), clock, saved.save)


def test_one_session_has_the_key_and_another_does_not(service: Service) -> None:
    """The holder may say so again; whoever else asks is told no; who is no session is told so."""
    one, two = service.create(FIELDS), service.create(FIELDS)
    assert service.acquire("k", b"1", one) and service.acquire("k", b"1b", one)
    assert not service.acquire("k", b"2", two)
    assert service.state.keys["k"].value == b"1b" and service.state.keys["k"].lock_index == 1
    with pytest.raises(NoSessionError):
        service.acquire("k", b"3", "nobody")


def test_a_session_that_is_not_renewed_ends_and_takes_its_key_along(service: Service, clock: Clock) -> None:
    """At its TTL and not before; a renewal counts from when it comes."""
    one = service.create(FIELDS)
    service.acquire("k", b"1", one)
    clock.now += 3.9
    service.expire()
    service.renew(one)
    clock.now += 3.9
    service.expire()
    assert service.state.keys["k"].session == one
    clock.now += 0.1
    service.expire()
    assert "k" not in service.state.keys
    with pytest.raises(NoSessionError):
        service.renew(one)


@pytest.mark.parametrize("how", ["ttl", "destroy"])
def test_after_a_session_s_end_nobody_gets_its_key_for_the_lock_delay(
    service: Service, clock: Clock, how: str
) -> None:
    """Whoever had it has so long to notice."""
    one = service.create(FIELDS)
    service.acquire("k", b"1", one)
    if how == "ttl":
        clock.now += 4
        service.expire()
    else:
        service.destroy(one)
    two = service.create(FIELDS)
    assert not service.acquire("k", b"2", two)
    clock.now += 0.9
    service.expire()
    assert not service.acquire("k", b"2", two)
    clock.now += 0.1
    service.expire()
    assert service.acquire("k", b"2", two)


def test_a_key_that_was_released_is_free_at_once(service: Service) -> None:
    """Only its session can release it; destroying a session that holds nothing delays nobody."""
    one, two = service.create(FIELDS), service.create(FIELDS)
    service.acquire("k", b"1", one)
    assert not service.release("k", b"", two)
    assert service.release("k", b"", one) and service.state.keys["k"].value == b""
    service.destroy(one)
    assert service.acquire("k", b"2", two)


def test_a_restart_gives_everyone_the_full_time_and_forgets_nothing(
    service: Service, clock: Clock, saved: Saved
) -> None:
    """A lease may end late, never early, and a lock-delay too; plain keys are there."""
    one = service.create(FIELDS)
    service.acquire("k", b"\x00\xff", one)
    service.put("k/clusterid", b"LFSC")
    gone = service.create(FIELDS)
    service.acquire("other", b"", gone)
    service.destroy(gone)
    clock.now += 3.9
    again = Service(saved.load(), clock, saved.save)
    again.expire()
    clock.now += 3.9
    again.expire()
    assert again.state.keys["k"].session == one and again.state.keys["k"].value == b"\x00\xff"
    assert again.state.keys["k/clusterid"].value == b"LFSC"
    again = Service(saved.load(), clock, saved.save)
    assert not again.acquire("k", b"2", again.create(FIELDS))
    clock.now += 4.1
    again.expire()
    assert "k" not in again.state.keys


def test_a_lock_delay_outlives_a_restart(service: Service, clock: Clock, saved: Saved) -> None:
    """In full: the service does not know for how long it was away."""
    one = service.create(FIELDS)
    service.acquire("k", b"1", one)
    service.destroy(one)
    again = Service(saved.load(), clock, saved.save)
    two = again.create(FIELDS)
    assert not again.acquire("k", b"2", two)
    clock.now += 1
    again.expire()
    assert again.acquire("k", b"2", two)


def test_a_session_of_behaviour_release_leaves_its_key(service: Service) -> None:
    """As Consul's default."""
    one = service.create({"LockDelay": 0})
    service.acquire("k", b"1", one)
    service.destroy(one)
    assert service.state.keys["k"].session == "" and service.state.keys["k"].value == b"1"


@pytest.mark.parametrize(
    "fields", [{"Behavior": "keep"}, {"TTL": "soon"}, {"TTL": "25h"}, {"LockDelay": "long"}]
)
def test_a_session_that_means_nothing_is_refused(service: Service, fields: Mapping[str, object]) -> None:
    """With Consul's own kind of text."""
    with pytest.raises(BadRequestError):
        service.create(fields)


def test_deleting_a_key_takes_it_from_whoever_has_it(service: Service) -> None:
    """A way to end a lease by hand; the session itself lives on."""
    one, two = service.create(FIELDS), service.create(FIELDS)
    service.acquire("k", b"1", one)
    assert service.delete("k") and service.acquire("k", b"2", two)
    assert service.renew(one).id == one
