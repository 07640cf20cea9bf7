"""A lease that a Consul keeps, or `pylitefs lease-server`: whoever has the key has the lease.

    acquire    create a session, acquire the key with it      None: somebody else has it
    renew      the session lives for another TTL
    release    the key is free at once, and the session ends

The rule: what goes over the wire is consul_calls.py's; here are the connection and the time. A request that
has no answer in time is a LeaseError, and whoever asked goes on by the clock.
"""

import contextlib
import logging

import httpx

from pylitefs.config.model import ConsulConfig
from pylitefs.lease import consul_calls as calls
from pylitefs.lease.base import LeaseError, PrimaryInfo, UnreachableError, fence
from pylitefs.lease.consul_calls import Call, ConsulCalls
from pylitefs.store.status import lease_clock

log = logging.getLogger("pylitefs")

LONGEST_ANSWER_S = 5.0
TRIES = 4
"""A request takes no longer than this share of the TTL, so that a renewal can be tried again in time."""


class ConsulLease:
    """The lease of one node. Raises ConfigError for a config that names no Consul."""

    type = "consul"

    def __init__(self, config: ConsulConfig, *, hostname: str, advertise_url: str) -> None:
        self.hostname = hostname
        self.advertise_url = advertise_url.rstrip("/")
        self.config = config
        self.me = PrimaryInfo(hostname, self.advertise_url)
        self.index = 0
        """Consul's own count of changes when it was last asked who is the primary: it only grows."""
        self._calls = ConsulCalls(config, self.me)
        base = self._calls.base_url
        self._client = httpx.Client(
            base_url=base,
            trust_env=False,
            verify=base.startswith("https:"),
            timeout=min(LONGEST_ANSWER_S, config.ttl / TRIES),
            headers=self._calls.headers,
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def ask(self, call: Call) -> tuple[int, bytes]:
        """Status and body of an answer. LeaseError if there is none."""
        headers = {"Content-Type": call.content_type} if call.content_type else {}
        try:
            answer = self._client.request(call.method, call.path, content=call.body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:
            raise UnreachableError(
                f"cannot ask the lease service at {self._calls.base_url}: {error or type(error).__name__}; "
                "is it running?"
            ) from None
        self._index = answer.headers.get("X-Consul-Index", "")
        return answer.status_code, answer.content

    def register(self) -> None:
        """Tell the catalog of this node, as LiteFS does at its start where the URL has a path."""
        if (call := self._calls.register()) is not None:
            calls.check_done(call, *self.ask(call))

    def primary(self) -> PrimaryInfo | None:
        call = self._calls.get_primary()
        status, body = self.ask(call)
        value = calls.value_of(call, status, body)
        self.index = calls.index_of(status, body, self._index)
        return calls.primary_of(value)

    def cluster_id(self) -> str | None:
        call = self._calls.get_cluster_id()
        value = calls.value_of(call, *self.ask(call))
        return None if value is None else value.decode("ascii", "replace").strip()

    def set_cluster_id(self, text: str) -> None:
        call = self._calls.put_cluster_id(text)
        if not calls.is_true(call, *self.ask(call)):
            raise LeaseError("the lease service does not keep the cluster's id")

    def acquire(self) -> "ConsulHeld | None":
        """Take the lease with a new session; None, and the session goes, if somebody else has it."""
        asked = lease_clock()
        call = self._calls.create_session()
        held = ConsulHeld(self, calls.session_id(call, *self.ask(call)), asked, self.config.ttl)
        try:
            if self.take(held.id):
                return held
        except LeaseError:
            held.give_up()
            raise
        held.give_up()
        return None

    def acquire_existing(self, lease_id: str) -> "ConsulHeld":
        """Take over a session that its holder hands over. LeaseError if that cannot be."""
        held = ConsulHeld(self, lease_id, lease_clock(), self.config.ttl)
        held.renew()
        if not self.take(lease_id):
            raise LeaseError("the lease that was handed to this node has been taken by another")
        return held

    def take(self, session: str) -> bool:
        """Make the key the session's, with this node's name; False if it is another's."""
        call = self._calls.acquire(session)
        return calls.is_true(call, *self.ask(call))

    def renew(self, session: str) -> float:
        """Let a session live on; its TTL in seconds."""
        call = self._calls.renew(session)
        return calls.ttl_left(call, *self.ask(call), self.config.ttl)

    def release(self, session: str) -> None:
        """Free the key and end the session, both in any case."""
        for call in (self._calls.release(session), self._calls.destroy(session)):
            calls.check_done(call, *self.ask(call))


class ConsulHeld:
    """The lease, held by a session. For one thread, but `until` is read by others."""

    def __init__(self, lease: ConsulLease, session: str, asked: float, ttl: float) -> None:
        self.id = session
        self._lease = lease
        self._asked, self._ttl = asked, ttl

    @property
    def until(self) -> float:
        return fence(self._asked, self._ttl)

    @property
    def renew_at(self) -> float:
        return self._asked + self._ttl / 2

    def renew(self) -> None:
        asked = lease_clock()
        self._ttl = self._lease.renew(self.id)
        self._asked = asked

    def release(self) -> None:
        self._lease.release(self.id)

    def give_up(self) -> None:
        """The same, where it does not matter whether it is heard: the session ends by itself."""
        with contextlib.suppress(LeaseError):
            self.release()
