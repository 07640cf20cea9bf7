"""The replica's end of a stream: a thread that follows the primary, transaction by transaction.

    connect --> POST /stream with our positions --> frames --> store.receive_ltx (blocks: verify, store,
    apply) --> the next frame ... --> whatever ends the connection --> wait --> connect

The rules: transactions in the order in which they come, but a database whose readers hold it up does not hold
up the others (intake.py); every end of a connection has a reason, which is logged once;
and what cannot be mended by asking the primary again (an LTX file that does not fit although the primary was
told our position) stops the replica loudly, through `on_fatal`.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus

from pylitefs.config.token import authorization
from pylitefs.errors import (
    PylitefsError,
    RecoveryError,
    ReplicationError,
)
from pylitefs.lease.static import PrimaryInfo
from pylitefs.replication.frames import (
    Decoder,
    DropDb,
    End,
    Frame,
    Handoff,
    Heartbeat,
    HighWaterMark,
    LtxBegin,
    Ready,
    encode_positions,
)
from pylitefs.replication.http2 import Answer, CannotConnectError, LostConnectionError, Post
from pylitefs.replication.intake import CannotGoOnError, Intake
from pylitefs.replication.taken import Giving
from pylitefs.store.store import Store

SILENCE_S = 5.0
"""Seconds without a byte after which the primary is taken for gone; Heartbeats come every second."""
FRAME_TIMES = 12
"""So many times that long an HTTP/2 frame may take to come whole: 64 KiB on a slow link, 1.1 KB/s."""
CONNECT_S = 5.0
DISK_RETRY_S = 2.0
"""Seconds between two attempts, at least, while this node's disk takes no transaction."""
CANDIDATE = "Pylitefs-Candidate"
"""A header of ours: the URL of a replica that may become the primary. Real LiteFS does not look at it."""
TERM = "Pylitefs-Term"
"""A header of ours in a primary's answer: its number; the next primary has a higher one."""
SKEW_BEATS = 3
"""Heartbeats of a connection after which the clocks are compared: the first may have waited in a queue."""
SKEW_S = 2.0
"""A difference of the clocks that is worth a line in the log."""

log = logging.getLogger("pylitefs")


class Replica:
    """Follows the primary that `primary()` names, until `stop`.

    `databases` are the only ones to replicate (empty: all). `on_fatal` is called in the replica's thread
    when it gives up; `on_change` after it connected or disconnected. `token` is shown to the primary. With an
    `own_url` this node may become the primary: it says so, and takes a lease that is handed to it.
    """

    def __init__(
        self,
        store: Store,
        primary: Callable[[], PrimaryInfo | None],
        *,
        databases: Sequence[str] = (),
        reconnect_delay: float = 1.0,
        on_fatal: Callable[[Exception], None],
        on_change: Callable[[], None] = lambda: None,
        silence: float = SILENCE_S,
        token: str = "",
        own_url: str = "",
    ) -> None:
        self._store = store
        self._primary = primary
        self._databases = tuple(databases)
        self._reconnect_delay = reconnect_delay
        self._on_fatal = on_fatal
        self._on_change = on_change
        self._silence = silence
        self._token = token
        self._own_url = own_url
        self.caught_up = False
        """Whether it has had all that the primary had, in the connection of now."""
        self.handed = ""
        """The lease that the primary has handed to this node, in the connection that ended last."""
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._waiting_since: float | None = None
        self._silent = ""
        self._answer: Answer | None = None
        self._beats = 0
        self._logged = ""
        self._peer = self._term = ""
        self._intake = Intake(store, self._held_up_in_trouble, self._trace)
        self._thread = threading.Thread(target=self._run, name="replica", daemon=True)

    @property
    def latencies(self) -> Mapping[str, float]:
        """Seconds from a transaction's timestamp to its end here, by database, of the newest one."""
        return self._intake.latencies

    @property
    def is_level(self) -> bool:
        """Whether all that came is applied: no database waits for its readers."""
        return self._intake.is_level

    def start(self) -> None:
        """Follow in a thread of its own."""
        self._thread.start()
        self.start_watch()

    def start_watch(self) -> None:
        """Be ready for `follow`, in the caller's thread."""
        threading.Thread(target=self._watch, name="replica-watch", daemon=True).start()

    def stop(self, timeout: float = 5.0) -> bool:
        """Disconnect and end the thread; False if it still applies a transaction after `timeout` seconds.

        A thread that is still waiting for a TCP connection is left to end by itself.
        """
        self._stopped.set()
        with self._lock:
            connected = self._socket
            if connected is not None:
                _hang_up(connected)
        if self._thread is threading.current_thread() or not self._thread.is_alive():
            return True
        end = time.monotonic() + timeout
        self._thread.join(timeout if connected is not None else 0.1)
        return not self._thread.is_alive() and self._intake.stop(max(0.0, end - time.monotonic()))

    def _watch(self) -> None:
        """Hang up when no byte comes, or bytes that make up no frame.

        Any byte is a sign of life: on a slow link a frame takes long. But a timeout of the socket is not
        enough: after a damaged length HTTP/2 swallows Heartbeats for ever.
        """
        while not self._stopped.wait(self._silence / 10):
            reason = self._silence_told(time.monotonic())
            if reason:
                with self._lock:
                    self._silent = reason
                    if self._socket is not None:
                        _hang_up(self._socket)

    def _silence_told(self, now: float) -> str:
        """Why the primary is taken for gone; "" if it is not."""
        since, answer = self._waiting_since, self._answer
        if since is None:
            return ""
        if now - max(since, answer.heard if answer else since) > self._silence:
            return f"sent nothing for {self._silence:g} s"
        if now - since > FRAME_TIMES * self._silence:
            return f"sent bytes for {FRAME_TIMES * self._silence:g} s that make up no frame"
        return ""

    # The thread

    def _run(self) -> None:
        while not self._stopped.is_set():
            primary = self._primary()
            reason = self.follow(primary) if primary is not None else "no primary is known"
            if reason is None:
                return
            self._stopped.wait(self.rest(reason))

    def follow(self, primary: PrimaryInfo) -> str | None:
        """Connect and follow until the connection ends; the reason why it did. None: this replica cannot go
        on, and `on_fatal` has been told."""
        try:
            return self._follow(primary)
        except CannotGoOnError as error:
            if isinstance(error.__cause__, Exception):
                self._on_fatal(error.__cause__)
        except Exception as error:
            log.exception("replication stops: an error of pylitefs itself")
            self._on_fatal(error)
        return None

    def rest(self, reason: str) -> float:
        """Tell why the connection ended, once; for how many seconds to wait before the next one."""
        delay = self._reconnect_delay
        if self._stopped.is_set():
            return 0.0
        if self._store.disk.code:
            return max(delay, DISK_RETRY_S)  # That was told, once.
        self._log_once(f"{reason}; trying again every {delay:g} s")
        return delay

    def _follow(self, primary: PrimaryInfo) -> str:
        self.handed, self.caught_up = "", False
        url = primary.advertise_url
        try:
            return self._stream(primary)
        except CannotConnectError as error:
            return f"cannot reach the primary at {url}: {error}"
        except LostConnectionError as error:
            if self._silent:
                return f"primary {url} {self._silent}"
            return f"lost the connection to primary {url}: {error}"
        except (PylitefsError, OSError) as error:
            if isinstance(error, OSError):
                self._store.disk.note(error)
            return f"disconnected from primary {url}: {error}"
        finally:
            self.caught_up = False
            with self._lock:
                self._socket = None
                self._waiting_since = None
                self._silent = ""
                self._answer = None
            self._set_connected(None)

    def _stream(self, primary: PrimaryInfo) -> str:
        self._intake.asking_anew()
        with Post(
            f"{primary.advertise_url}/stream",
            encode_positions(self._store.positions()),
            params={"filter": ",".join(self._databases)} if self._databases else {},
            headers=self._headers(),
            connect_timeout=CONNECT_S,
            on_socket=self._keep_socket,
        ) as answer:
            if answer.status != HTTPStatus.OK:
                return f"primary {primary.advertise_url} refuses: {answer.status} {answer.text()}"
            self._waiting_since, self._answer, self._beats = time.monotonic(), answer, 0
            self._peer = answer.headers.get("litefs-id", "")
            self._term = answer.headers.get(TERM.lower(), "")
            self._check_cluster(primary, answer.headers.get("litefs-cluster-id"))
            self._set_connected(primary)
            frames = self._frames(answer)
            try:
                for frame in frames:
                    if isinstance(frame, End):
                        return f"primary {primary.advertise_url} ended the stream"
                    self._take(frame, frames)
                return f"primary {primary.advertise_url} closed the stream without End"
            finally:
                self._waiting_since = None
                self._intake.flush()  # Whole files that came before: nobody may be there to send them again.

    def _headers(self) -> dict[str, str]:
        own = {CANDIDATE: self._own_url} if self._own_url else {}
        return {"Litefs-Id": self._store.node_id_text, **own, **authorization(self._token)}

    def _keep_socket(self, sock: socket.socket) -> None:
        """From the moment it is connected `stop` can shut it."""
        with self._lock:
            self._socket = sock
            self._waiting_since = time.monotonic()
            if self._stopped.is_set():
                _hang_up(sock)

    def _check_cluster(self, primary: PrimaryInfo, theirs: str | None) -> None:
        ours = self._store.cluster_id
        if theirs and not ours:
            self._store.set_cluster_id(theirs)
        elif theirs and theirs != ours:
            raise ReplicationError(
                f"it belongs to cluster {theirs} and this node to {ours}: point lease.advertise-url at this "
                "node's own cluster, or start this node with an empty data directory"
            )

    def _set_connected(self, primary: PrimaryInfo | None) -> None:
        status = self._store.status
        changed = (status.primary_hostname is None) != (primary is None)
        status.primary_hostname = primary.hostname if primary else None
        status.primary_url = primary.advertise_url if primary else None
        if changed:
            if primary is not None:
                self._logged = ""
                level = logging.DEBUG if self._store.disk.code else logging.INFO
                self._store.status.note_role(f"replica of {primary.hostname}")
                log.log(level, "following primary %s at %s", primary.hostname, primary.advertise_url)
            self._on_change()

    def _log_once(self, reason: str) -> None:
        """A primary that stays away is worth one line, not one every second."""
        if reason != self._logged:
            self._logged = reason
            log.warning("%s", reason)

    def _tell_skew(self) -> None:
        skew = (self._store.status.skew_ms or 0) / 1000
        if abs(skew) >= SKEW_S:
            log.warning(
                "this node's clock is %.0f s %s the primary's: set both by NTP (the lag is not affected)",
                abs(skew),
                "ahead of" if skew > 0 else "behind",
            )

    # Frames

    def _frames(self, answer: Answer) -> Iterator[Frame]:
        decoder, giving = Decoder(), Giving(answer.give_back)
        for data in answer:
            self._waiting_since = None
            yield from decoder.feed(data)
            if not answer.has_more():
                self._intake.flush()
            giving.read(len(data), *self._intake.progress)
            self._waiting_since = time.monotonic()
        decoder.finish()

    def _take(self, frame: Frame, frames: Iterator[Frame]) -> None:
        status = self._store.status
        if not isinstance(frame, LtxBegin | HighWaterMark):
            self._intake.flush()
        match frame:
            case Heartbeat(timestamp_ms):
                if timestamp_ms > 0:
                    status.heartbeat(timestamp_ms, level=self._intake.is_level)
                    self._beats += 1
                    if self._beats == SKEW_BEATS:
                        self._tell_skew()
            case LtxBegin(name):
                self._intake.receive(name, frames)
            case Ready():
                self._trace("", 0, "ready", frame.pack())
                status.ready = self.caught_up = True
                if self._own_url and self._term.isdecimal():
                    self._store.terms.follow(int(self._term))
            case DropDb(name):
                self._trace(name, 0, "drop-db", frame.pack())
                log.info("the primary has no database %s, which this node holds", name)
            case Handoff(lease_id):
                self._trace("", 0, "handoff", frame.pack())
                if self._own_url:
                    self.handed = lease_id
                    status.changing = True  # Until this node is the primary: who writes here waits for it.
                    return
                log.warning("the primary hands its lease to this node, which has a static lease: ignored")
            case HighWaterMark(txid, name):
                # Of a database that is only coming, the next file brings it again.
                if database := self._store.get(name):
                    database.state.high_water_mark = txid
            case _:
                pass

    def _held_up_in_trouble(self, name: str, error: Exception | None) -> None:
        """In a held-up database's thread: what it lacks is asked for again, and fails then if it must."""
        if self._stopped.is_set():
            return
        if isinstance(error, RecoveryError):
            self._on_fatal(error)
            return
        if error is None:
            log.info("%s: its reader is gone, and what there was no room for is asked for again", name)
        elif isinstance(error, PylitefsError | OSError):
            if isinstance(error, OSError):
                self._store.disk.note(error)
            log.warning("%s was held up and cannot go on: %s; the primary is asked again", name, error)
        else:
            log.error("%s was held up and stops: an error of pylitefs itself", name, exc_info=error)
            self._on_fatal(error)
            return
        with self._lock:
            if self._socket is not None:
                _hang_up(self._socket)

    def _trace(self, database: str, txid: int, frame: str, data: bytes) -> None:
        tracer = self._store.tracer
        if tracer.active:
            told = {"frame": frame, "peer": self._peer}
            tracer.emit_bytes(data, "stream.receive", database, txid, told)


def _hang_up(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is closed already
