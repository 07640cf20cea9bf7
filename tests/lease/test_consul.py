"""The client of a lease service, against one of ours."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.config.model import ConsulConfig
from pylitefs.http.lease_server import LeaseServer
from pylitefs.lease.base import LeaseError, LeaseExpiredError, PrimaryInfo
from pylitefs.lease.consul import ConsulLease
from pylitefs.store.status import lease_clock

A = PrimaryInfo("a", "http://127.0.0.1:1")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[LeaseServer]:
    server = LeaseServer(tmp_path / "leases", ("127.0.0.1", 0), token="tok3n")
    server.start()
    yield server
    server.stop()


def lease_of(service: LeaseServer, name: str, *, ttl: float = 4.0, token: str = "tok3n") -> ConsulLease:
    url = service.url.replace("http://", f"http://:{token}@") + "/pre"
    config = ConsulConfig(url=url, key="litefs/primary", ttl=ttl, lock_delay=0.2)
    return ConsulLease(config, hostname=name, advertise_url=f"http://127.0.0.1:{ord(name) - 96}/")


def test_one_has_the_lease_and_the_other_learns_who(service: LeaseServer) -> None:
    """Nobody at first; then who asked first; after its release nobody, at once."""
    with closing(lease_of(service, "a")) as one, closing(lease_of(service, "b")) as two:
        one.register()
        assert one.primary() is None
        held = one.acquire()
        assert held is not None and two.primary() == A and two.acquire() is None
        assert len(service.service.state.sessions) == 1, "the loser's session is gone"
        held.release()
        assert two.primary() is None and two.acquire() is not None


def test_a_lease_counts_from_before_it_was_asked_for(service: LeaseServer) -> None:
    """Its end is before the TTL after the request, and moves with each renewal."""
    with closing(lease_of(service, "a")) as lease:
        before = lease_clock()
        held = lease.acquire()
        assert held is not None
        assert before < held.renew_at < held.until < lease_clock() + 4.0
        until = held.until
        held.renew()
        assert held.until > until


def test_a_lease_that_ended_is_told(service: LeaseServer) -> None:
    """Its session was destroyed: the renewal says expired, which is not the same as no answer."""
    with closing(lease_of(service, "a")) as lease:
        held = lease.acquire()
        assert held is not None
        lease.release(held.id)
        with pytest.raises(LeaseExpiredError):
            held.renew()


def test_a_lease_is_handed_over_by_its_id(service: LeaseServer) -> None:
    """The session stays; the key names the new holder. A session that is gone cannot be taken over."""
    with closing(lease_of(service, "a")) as one, closing(lease_of(service, "b")) as two:
        held = one.acquire()
        assert held is not None
        taken = two.acquire_existing(held.id)
        assert taken.id == held.id and one.primary() == two.me
        taken.release()
        with pytest.raises(LeaseExpiredError):
            one.acquire_existing(held.id)


def test_the_cluster_s_id_is_kept_beside_the_lease(service: LeaseServer) -> None:
    """None at first; every node reads what the first primary wrote."""
    with closing(lease_of(service, "a")) as one, closing(lease_of(service, "b")) as two:
        assert one.cluster_id() is None
        one.set_cluster_id("LFSC0123456789ABCDEF")
        assert two.cluster_id() == "LFSC0123456789ABCDEF"
        assert two.primary() is None, "the id is no lease"


def test_a_wrong_token_and_a_service_that_is_not_there_are_told(service: LeaseServer) -> None:
    """A LeaseError with the service's address or words, and no other error."""
    with closing(lease_of(service, "a", token="wrong")) as lease, pytest.raises(LeaseError, match="403"):
        lease.primary()
    with closing(lease_of(service, "a")) as lease:
        service.stop()
        with pytest.raises(LeaseError, match="is it running"):
            lease.primary()


def test_a_service_that_does_not_answer_is_given_up_in_a_share_of_the_ttl() -> None:
    """So that a renewal can be tried again before the lease is over."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = ConsulConfig(url=f"http://127.0.0.1:{silent.getsockname()[1]}", key="k", ttl=1.0)
        with closing(ConsulLease(config, hostname="a", advertise_url="http://a:1")) as lease:
            started = lease_clock()
            with pytest.raises(LeaseError):
                lease.renew("x")
            assert lease_clock() - started < 1.0
