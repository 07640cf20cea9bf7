"""The one thread that decides what this node is: it asks for the lease, and does what follows from the
answer.

    who has it? -- another -->  follow it until the connection ends  --> again
                -- nobody  -->  take it: primary, renewing, until it is lost, handed over or given back -->
                again -- nobody, and this node may not: ask again later

Each step is real LiteFS's, in its order, so the two can be candidates of one lease. The rule: this thread
never makes a node the primary for longer than its lease; the clock ends that by itself (`Status.is_primary`),
also while this thread sleeps, waits for an answer, or was stopped with the whole process.
"""

import logging
import queue
import threading
import time
from collections.abc import Mapping

from pylitefs.config.model import LeaseConfig
from pylitefs.errors import PylitefsError, RemoteError
from pylitefs.http import client
from pylitefs.http.turnover import NOT_CONNECTED, TurnoverError
from pylitefs.lease.base import (
    Held,
    Lease,
    LeaseError,
    LeaseExpiredError,
    PrimaryInfo,
    UnreachableError,
)
from pylitefs.roles.candidates import Candidates
from pylitefs.roles.change import Changes
from pylitefs.roles.ports import Follower, Handoff, NoStreams, Streams, Wake
from pylitefs.store import cluster_id
from pylitefs.store.status import lease_clock, watch_lease_time
from pylitefs.store.store import Store

log = logging.getLogger("pylitefs")

AGAIN_S = 0.1
"""A free lease is asked for again so soon: whoever had it before may still have its lock-delay."""
SOON_S = 0.02
"""The lease still names this node itself: it was handed over just now, or is of a life before."""
MOST_QUICK = 50
"""So often it is asked quickly, one time after the other."""
MISSED = 3
"""So many answers of the lease service in a row may be missing, or for a TTL."""
RENEW_AGAIN_S = 1.0
HANDOFF_S = 5.0
"""A request for a handoff waits so long to be taken up."""
WRITERS_S = 2.0
"""A handoff waits so long for write transactions that are under way."""
LOOK_S, LEARN_S = 0.1, 2.0
HANDED, GIVEN_BACK, GIVEN_UP = "handed over", "given back", "given up"


class RoleLoop:
    """The roles of one node. `start`, `stop`; the rest may be called in any thread."""

    def __init__(
        self,
        store: Store,
        lease: Lease,
        config: LeaseConfig,
        *,
        follower: Follower,
        changes: Changes,
        candidates: Candidates,
        token: str = "",
    ) -> None:
        self._store = store
        self._lease = lease
        self._config = config
        self._follower = follower
        self._streams: Streams = NoStreams()
        self._changes = changes
        self._others = candidates
        self._token = token
        self._me = PrimaryInfo(lease.hostname, lease.advertise_url)
        self._inbox: queue.SimpleQueue[Handoff | Wake] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._told = ""
        self._quick = 0
        self._handed_to = ""
        self._proposed = ""
        """The cluster's id that this node has asked the lease service to keep."""
        self._trouble = ""
        """Why this node could not take the lease; "" if it could."""
        self._unheard = 0.0
        """When the lease service was first silent, of late; 0.0 if it answered last."""
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def start(self, streams: Streams) -> None:
        """`streams` are those that this node serves while it is the primary."""
        self._streams = streams
        self._others.load()
        self._store.terms.history = self._history
        watch_lease_time(lambda: self._inbox.put(Wake("look")))
        self._thread.start()
        threading.Thread(target=self._learn, name="candidates", daemon=True).start()

    def stop(self, timeout: float = 10.0) -> bool:
        """Send out what there is, give the lease back, and end; the follower is stopped by its owner
        first."""
        self._stopping.set()
        self._inbox.put(Wake("stop"))
        if self._thread.is_alive():
            self._thread.join(timeout)
        self._store.status.follow()
        self._store.status.changing = False
        return not self._thread.is_alive()

    # What others ask

    @property
    def eligible(self) -> bool:
        """Whether this node would take the lease if it were free."""
        return self._store.status.candidate and not self._trouble and not self._stopping.is_set()

    def candidates(self) -> Mapping[str, str]:
        """The nodes that may become the primary, as far as this one knows: URLs by id."""
        return {id: url for url, id in self._others.known().items()}

    def demote(self) -> None:
        """Give the lease up, and do not ask for it for `demote-delay`."""
        self._inbox.put(Wake("demote"))

    def hand_off(self, node_id: str) -> None:
        """Begin to hand the lease to a connected replica. Raises TurnoverError."""
        if not self._store.status.is_primary:
            raise TurnoverError("cannot handoff: node is not currently primary")
        if self._streams.stream_of(node_id) is None:
            raise TurnoverError(f"cannot handoff: {NOT_CONNECTED}")
        asked = Handoff(node_id)
        self._inbox.put(asked)
        if not asked.taken.wait(HANDOFF_S):
            raise TurnoverError("cannot handoff: consul handoff timeout")

    def promote(self) -> None:
        """Have the primary hand its lease to this node. Raises TurnoverError."""
        url = self._store.status.primary_url
        if url is None:
            raise TurnoverError("no primary is currently available for handoff, cannot promote")
        try:
            client.hand_off(url, self._store.node_id_text, token=self._token)
        except RemoteError as error:
            raise TurnoverError(f"handoff failed: {error}") from None

    # The thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                pause = self._once()
                self._unheard = 0.0
            except LeaseError as error:
                self._note_trouble(error)
                again = f"trying again every {self._config.reconnect_delay:g} s"
                what = again if isinstance(error, UnreachableError) else ""
                self._tell(logging.WARNING, f"{error}; {again}", what)
                pause = self._config.reconnect_delay
            except Exception:
                log.exception("the lease's thread: an error of pylitefs itself; it goes on")
                self._changes.follow()
                pause = self._config.reconnect_delay
            self._store.status.changing = bool(self._follower.handed)
            self._stopping.wait(pause)
        self._lease.close()

    def _note_trouble(self, error: LeaseError) -> None:
        """One answer that is lost makes no node ineligible: an older one would take the lease."""
        now = lease_clock()
        self._unheard = self._unheard or now
        patience = max(self._config.consul.ttl, MISSED * self._config.reconnect_delay)
        if not isinstance(error, UnreachableError) or now - self._unheard >= patience:
            self._trouble = str(error)

    # One step after the other

    def _once(self) -> float:
        """One step; for how many seconds to wait before the next."""
        theirs, ours = self._lease.cluster_id(), self._store.cluster_id
        if theirs and theirs == self._proposed and not ours:
            self._store.set_cluster_id(ours := theirs)  # It was kept, and only the answer was lost.
        delay = self._config.reconnect_delay
        if theirs and ours and theirs != ours:
            raise LeaseError(
                f"cannot connect: the lease is of cluster {theirs} and this node of {ours}, a different ID: "
                "give it the key of its own cluster, or an empty data directory"
            )
        if handed := self._follower.handed:
            self._follower.handed = ""
            return self._take_over(handed)
        primary = self._lease.primary()
        if primary is None:
            may_lead = self._store.status.candidate and not (theirs and not ours)
            if not may_lead:
                why = "cannot find primary & ineligible to become primary"
                self._tell(logging.INFO, f"{why}; waiting for one")
                return delay
            if why := self._why_not():
                self._tell(logging.INFO, why)
                return self._soon(AGAIN_S)
            self._trace("lease.ask")
            held = self._lease.acquire()
            if held is not None:
                return self._lead(held, self._lease.index)
            primary = self._lease.primary()
        if primary is None:
            return self._soon(AGAIN_S)
        if primary == self._me:
            return self._soon(SOON_S)
        return self._follow(primary)

    def _soon(self, pause: float) -> float:
        """Ask again quickly, but not for long: the lease service is to have its rest."""
        self._quick += 1
        return pause if self._quick <= MOST_QUICK else self._config.reconnect_delay

    def _why_not(self) -> str:
        """Why this node leaves a free lease to others; "" if it does not."""
        self._trouble = self._behind()
        if self._trouble:
            return f"this node cannot become the primary yet: {self._trouble}"
        if self._config.newest_first and (url := self._others.newer()):
            return f"the candidate at {url} has newer data than this node: it goes first"
        return ""

    def _behind(self) -> str:
        """Why not all that came from a primary is applied; "" if it is."""
        if not self._follower.is_level:
            return "a transaction waits for readers here"
        return self._changes.why_not_ready()

    def _follow(self, primary: PrimaryInfo) -> float:
        self._told, self._trouble, self._quick = "", "", 0
        reason = self._follower.follow(primary)
        if reason is None:
            self._stopping.wait()  # The node ends.
            return 0.0
        return 0.0 if self._follower.handed else self._follower.rest(reason)

    def _take_over(self, lease_id: str) -> float:
        """The primary has handed its lease to this node."""
        why = self._behind() if self._store.status.candidate else "it is no candidate"
        self._trace("lease.ask", session=lease_id, handed=True)
        try:
            held = self._lease.acquire_existing(lease_id)
        except LeaseError as error:
            self._tell(logging.WARNING, f"the lease was handed to this node, and it cannot take it: {error}")
            return self._config.reconnect_delay
        if why:
            log.warning("the lease was handed to this node, and it gives it back: %s", why)
            held.release()
            return self._config.reconnect_delay
        return self._lead(held, 0)

    # As the primary

    def _lead(self, held: Held, index: int) -> float:
        handed, why = False, "given back after an error"
        try:
            self._agree_on_cluster()
            self._changes.lead(held.until, index)
            self._told, self._quick = "", 0
            log.info("primary: %s has the lease", self._me.hostname)
            self._trace("lease.acquire", session=held.id, ttl=self._config.consul.ttl)
            self._streams.primary_changed()
            why = self._renew_until_over(held)
            handed = why == HANDED
            if why == GIVEN_BACK:
                self._changes.drain(self._streams.is_drained)
        finally:
            self._changes.follow(handed=handed, why=why)
            self._others.note({one.request.node_id: one.request.url for one in self._streams.streams()})
            if not handed:
                self._give_back(held)  # Before the replicas are let go: they find it free.
            self._streams.demoted()
            self._streams.primary_changed()
            self._trace(
                "lease.handoff" if handed else "lease.lose", why=why, peer=self._handed_to if handed else ""
            )
        log.info("not the primary any more: the lease was %s", why)
        return self._config.demote_delay if why == GIVEN_UP else 0.0

    def _agree_on_cluster(self) -> None:
        """The cluster's id is in the lease service before it is anywhere else."""
        theirs, ours = self._lease.cluster_id(), self._store.cluster_id
        if theirs:
            return
        ours = self._proposed = ours or self._proposed or cluster_id.make()
        if (theirs := self._lease.cluster_id()) and theirs != ours:
            raise LeaseError(f"the lease was given cluster id {theirs} meanwhile, which is not this node's")
        self._lease.set_cluster_id(ours)
        if self._store.cluster_id is None:
            self._store.set_cluster_id(ours)

    def _renew_until_over(self, held: Held) -> str:
        """Be the primary; how that ended, in words."""
        due = held.renew_at
        while not self._inbox.empty():
            self._inbox.get()  # Asked of this node when it was the primary last.
        while not self._stopping.is_set():
            asked = self._next_asked(min(due, held.until) - lease_clock())
            if isinstance(asked, Wake) and asked.what != "look":
                return GIVEN_BACK if asked.what == "stop" else GIVEN_UP
            if isinstance(asked, Handoff):
                asked.taken.set()
                if self._hand_off(held, asked.node_id):
                    return HANDED
            now = lease_clock()
            if now >= held.until:
                return "lost: it could not be renewed in time"
            if now >= due:
                try:
                    self._renew(held)
                    due = held.renew_at
                except LeaseExpiredError as error:
                    return f"lost: {error}"
                except LeaseError as error:
                    self._tell(logging.WARNING, f"the lease cannot be renewed: {error}", "not renewed")
                    due = lease_clock() + min(RENEW_AGAIN_S, self._config.consul.ttl / 10)
        return GIVEN_BACK

    def _next_asked(self, timeout: float) -> "Handoff | Wake | None":
        try:
            return self._inbox.get(timeout=max(0.0, timeout))
        except queue.Empty:
            return None

    def _renew(self, held: Held) -> None:
        held.renew()
        self._store.status.lead(held.until)
        self._told = ""
        self._trace("lease.renew", ttl=self._config.consul.ttl)

    def _hand_off(self, held: Held, node_id: str) -> bool:
        """Hand the lease to a replica; False if this node goes on as the primary."""
        why = "the target is not connected any more"
        try:
            self._renew(held)
            stream = self._streams.stream_of(node_id)
            if stream is not None:
                left = held.until - lease_clock()
                self._changes.stop_writers(min(WRITERS_S, left / 3))
                self._handed_to = node_id
                if stream.hand_over(held.id, min(HANDOFF_S, left / 3)):
                    self._store.status.follow()
                    return True
                why = "the target did not take it in time"
        except (PylitefsError, OSError) as error:
            why = str(error)
        self._changes.writers_go_on()
        log.warning("handoff unsuccessful, continuing as primary: %s", why)
        return False

    def _give_back(self, held: Held) -> None:
        try:
            held.release()
        except LeaseError as error:
            log.warning("the lease is not given back, it ends by itself: %s", error)

    # Others

    def _learn(self) -> None:
        """Ask each primary who else is a candidate, at once and then now and then."""
        asked, since = "", 0.0
        while not self._stopping.wait(LOOK_S):
            url = self._store.status.primary_url or ""
            if not url or self._store.status.is_primary or not self._follower.caught_up:
                asked = ""
                continue
            if url == asked and time.monotonic() - since < LEARN_S:
                continue
            index, asked, since = self._lease.index, url, time.monotonic()
            if not self._others.learn(url) and self._store.status.primary_url == url:
                try:
                    self._store.terms.follow(index)  # Of real LiteFS.
                except OSError as error:
                    self._store.disk.note(error)

    def _history(self, name: str) -> Mapping[int, int]:
        url = self._store.status.primary_url
        return self._others.history(url, name) if url is not None else {}

    def _tell(self, level: int, text: str, what: str = "") -> None:
        """What stays so is worth one line; `what` is what stays, where the text does not."""
        if (what or text) != self._told:
            self._told = what or text
            log.log(level, "%s", text)

    def _trace(self, name: str, **facts: object) -> None:
        tracer = self._store.tracer
        if tracer.active:
            tracer.emit_bytes(b"", name, "", 0, {"hostname": self._me.hostname, **facts})
