"""The parts of a node's roles, put together.

The rule: they are loaded where the lease changes hands, and nowhere else.
"""

from collections.abc import Callable

from pylitefs.config.model import LeaseConfig
from pylitefs.lease.base import Lease
from pylitefs.roles.candidates import Candidates
from pylitefs.roles.change import Changes
from pylitefs.roles.loop import RoleLoop
from pylitefs.roles.ports import Follower
from pylitefs.store.halting import Halts
from pylitefs.store.store import Store


def make_roles(
    store: Store,
    lease: Lease,
    config: LeaseConfig,
    *,
    follower: Follower,
    halts: Halts,
    token: str,
    on_following: Callable[[], object],
) -> RoleLoop:
    """What changes a node's role, not started yet."""
    store.status.lease_ttl = config.consul.ttl
    return RoleLoop(
        store,
        lease,
        config,
        follower=follower,
        changes=Changes(store, store.applier, on_following, halts),
        candidates=Candidates(store, lease.advertise_url, token=token),
        token=token,
    )
