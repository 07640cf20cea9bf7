"""A node's roles, put together."""

from pathlib import Path

from pylitefs.config.model import ConsulConfig, LeaseConfig
from pylitefs.lease.consul import ConsulLease
from pylitefs.roles.make import make_roles
from pylitefs.store.halting import Halts
from tests.replication.stores import opened
from tests.roles.test_loop import Follows


def test_they_are_there_and_idle(tmp_path: Path) -> None:
    """Before their start nobody is the primary; a stop that comes first is the end of it."""
    consul = ConsulConfig(url="http://127.0.0.1:1", key="k")
    lease = ConsulLease(consul, hostname="a", advertise_url="http://a:1")
    with opened(tmp_path / "a") as store:
        store.status.candidate = True
        config = LeaseConfig(type="consul", consul=consul)
        follows = Follows()
        roles = make_roles(
            store, lease, config, follower=follows, halts=Halts(store), token="", on_following=lambda: None
        )
        assert roles.eligible and not store.status.has_lease and roles.candidates() == {}
        assert roles.stop() and not roles.eligible
    lease.close()
