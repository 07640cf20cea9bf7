"""The network of a history: the primary's and the replica's own code, over pipes that break at any byte.

    PrimaryStream (in a Loop) --> Connection: bytes on their way --> Answer --> Replica (in a Fiber)

A connection may be cut, with what is on its way lost from any byte on; be silent, so that nobody hears of
its end; or never come about, while the network is parted. HTTP/2 and sockets are not there: bytes come in
pieces of any size, and what a replica gives back of its window arrives at once.

The rule: what is between two moves of a position is the product's code, not ours.
"""

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from pylitefs.lease.static import PrimaryInfo
from pylitefs.replication import primary as primary_module
from pylitefs.replication import replica as replica_module
from pylitefs.replication.fan_out import FanOut
from pylitefs.replication.followed import StreamRequest
from pylitefs.replication.frames import decode_positions
from pylitefs.replication.http2 import CannotConnectError, LostConnectionError
from pylitefs.replication.primary import PrimaryStream
from pylitefs.replication.replica import TERM, Replica
from pylitefs.store.snapshot import SnapshotInfo
from pylitefs.store.store import Store
from tests.sim.clock import Clock
from tests.sim.node import Node
from tests.sim.oracle import Wrong
from tests.sim.turns import Fiber, Loop

_ON_THE_WAY = 96 * 1024
"""Bytes after which the primary has to wait."""
_HEAL = 400
T = TypeVar("T")


class Connection:
    """One connection, from the replica's POST to its end."""

    def __init__(self, body: bytes, headers: Mapping[str, str]) -> None:
        self.request = StreamRequest(headers["Litefs-Id"], decode_positions(body))
        self.accepted = self.refused = False
        self.stream: PrimaryStream | None = None
        self.task: asyncio.Task[None] | None = None
        self.flying = bytearray()
        self.arrived = bytearray()
        self.silent = False
        """What is sent is lost, and nobody is told."""
        self.over = ""
        """Why it has ended, for the replica."""
        self.ended_well = False
        self.room: asyncio.Event | None = None

    async def send(self, data: bytes) -> None:
        if self.over:
            raise OSError("the connection is gone")
        if self.silent:
            return
        self.flying += data
        while len(self.flying) > _ON_THE_WAY and not self.over:
            assert self.room is not None
            self.room.clear()
            await self.room.wait()

    def deliver(self, size: int) -> None:
        self.arrived += self.flying[:size]
        del self.flying[:size]
        if self.room is not None:
            self.room.set()

    def shutdown(self, how: int = 0) -> None:
        """As a socket's: the replica hangs up."""
        self.over = self.over or "hung up"


class Answer:
    """What the replica reads: http2.py's, without HTTP/2."""

    status = HTTPStatus.OK

    def __init__(self, link: "Link", connection: Connection) -> None:
        self._link, self._connection = link, connection
        store = link.primary.store
        assert store is not None
        self.headers = {"litefs-id": store.node_id_text, "litefs-cluster-id": store.cluster_id or ""}
        if link.primary.role is not None:
            self.headers[TERM.lower()] = str(store.terms.term)
        self.heard = link.clock.monotonic()

    def __iter__(self) -> Iterator[bytes]:
        connection = self._connection
        while True:
            self._link.fiber.wait(lambda: bool(connection.arrived or connection.over))
            if connection.arrived:
                data = bytes(connection.arrived[: self._link.piece])
                del connection.arrived[: len(data)]
                self.heard = self._link.clock.monotonic()
                yield data
            elif connection.ended_well:
                return
            else:
                raise LostConnectionError(connection.over)

    def has_more(self) -> bool:
        # The connection's end counts: a socket that has come to it can be read.
        return bool(self._connection.arrived or self._connection.over)

    def give_back(self, size: int) -> None:
        store = self._link.primary.store
        if self._connection.stream is not None and store is not None and not self._connection.over:
            self._connection.stream.followed.given_back(size, store)

    def text(self) -> str:
        return ""


class Event:
    """The replica's `_stopped`: a wait is one on the history's clock."""

    def __init__(self, link: "Link") -> None:
        self._link = link
        self._set = False

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set

    def wait(self, seconds: float) -> bool:
        clock = self._link.clock
        until = clock.monotonic() + seconds
        self._link.fiber.wait(lambda: self._set or clock.monotonic() >= until)
        return self._set


class Link:
    """One replica, and its way to the primary."""

    def __init__(self, node: Node, primary: Node, clock: Clock) -> None:
        self.node, self.primary, self.clock = node, primary, clock
        self.parted = False
        self.waits = False
        """Clients from before a change of the primary have its files: nothing is applied yet."""
        self.piece = 65536
        """So many bytes come at once, at most."""
        self.connection: Connection | None = None
        self.fatal: Exception | None = None
        self._loop: Loop | None = None
        self._fan_out: tuple[Store, FanOut] | None = None
        self._replica: Replica | None = None
        self._fiber: Fiber | None = None

    @property
    def fiber(self) -> Fiber:
        assert self._fiber is not None
        return self._fiber

    @property
    def lesson_name(self) -> str:
        return self.node.lesson_name

    @property
    def handed(self) -> bool:
        """Whether its node has been handed the lease."""
        return self._replica is not None and bool(self._replica.handed)

    @property
    def stream(self) -> PrimaryStream | None:
        """The primary's end of the connection, while there is one."""
        connection = self.connection
        return connection.stream if connection is not None and not connection.over else None

    # -- the replica's side ----------------------------------------------------------------------------

    def _follow(self) -> None:
        """Its node has a thread that follows, unless it has one."""
        store = self.node.store
        if store is None or self._fiber is not None or self.waits:
            return
        self._replica = Replica(
            store,
            lambda: PrimaryInfo("primary", "http://primary"),
            on_fatal=self._on_fatal,
            reconnect_delay=1.0,
            own_url="" if self.node.role is None else f"http://{self.node.name}",
        )
        self._replica._stopped = Event(self)  # type: ignore[assignment]
        self._fiber = Fiber(self._replica._run)

    def _on_fatal(self, error: Exception) -> None:
        self.fatal = error

    @contextmanager
    def post(self, url: str, body: bytes, *, on_socket: Callable[[Any], None], headers: Mapping[str, str],
             **options: Any) -> Iterator[Answer]:  # fmt: skip
        """What `http2.Post` is to the replica."""
        store = self.primary.store
        if self.parted or store is None or not store.status.has_lease:
            raise CannotConnectError("nobody is there")
        connection = self.connection = Connection(body, headers)
        on_socket(connection)
        self.fiber.wait(lambda: connection.accepted or bool(connection.over))
        if connection.over:
            raise LostConnectionError(connection.over)
        try:
            yield Answer(self, connection)
        finally:
            connection.over = connection.over or "hung up"

    # -- the primary's side ----------------------------------------------------------------------------

    def _turn(self) -> None:
        """The primary's loop does what is due."""
        connection, store = self.connection, self.primary.store
        if self._loop is None:
            self._loop = Loop(self.clock)
        if connection is not None and not connection.accepted and not connection.over and store is not None:
            connection.accepted = True
            connection.room = asyncio.Event()
            connection.task = self._loop.create_task(self._serve(connection, store))
        if connection is not None and connection.over and connection.task is not None:
            connection.task.cancel()
        self._loop.turn()

    async def _serve(self, connection: Connection, store: Store) -> None:
        if self._fan_out is None or self._fan_out[0] is not store:
            self._fan_out = store, FanOut(store)
        connection.stream = PrimaryStream(store, connection.request, fan_out=self._fan_out[1])
        await connection.stream.run(connection.send)
        connection.ended_well = True

    # -- what the history does -------------------------------------------------------------------------

    def flow(self, chance: random.Random, rounds: int, *, quick: bool = False) -> None:
        """The network lives: so many times each side does something, and bytes arrive."""
        for _ in range(rounds):
            self._follow()
            self._turn()
            connection = self.connection
            if connection is not None and connection.flying and not connection.silent:
                size = len(connection.flying)
                connection.deliver(size if quick else chance.choice((1, 10, size // 2, size, size)))
            if connection is not None and connection.ended_well and not connection.flying:
                connection.over = connection.over or "ended"
            self._look_for_silence()
            self.piece = 65536 if quick else chance.choice((1, 7, 600, 65536))
            while self._fiber is not None and not self._fiber.done and self.fiber.is_ready():
                self.fiber.resume()
            self._look_for_refusals()
            if self._fiber is not None and self._fiber.done:
                self._end_of_fiber()
            if self.node.disk.dead:
                return
            self.clock.sleep(chance.choice((0.0001, 0.001, 0.02, 0.3)))

    def send(self, turns: int) -> None:
        """The primary sends, and nothing comes yet."""
        for _ in range(turns):
            self._turn()
            self.clock.sleep(0.001)

    def _end_of_fiber(self) -> None:
        error = self.fiber.error or self.fatal
        self._fiber = self._replica = None
        self.fatal = None
        if error is not None and not self.node.disk.dead:
            raise Wrong(f"{self.node.name} gives up: {type(error).__name__}: {error}") from error

    def _look_for_silence(self) -> None:
        """What the replica's watch does each half second."""
        replica = self._replica
        if replica is not None and (reason := replica._silence_told(self.clock.monotonic())):
            replica._silent = reason
            if self.connection is not None:
                self.connection.shutdown()

    def _look_for_refusals(self) -> None:
        """What comes is what was sent, and each connection begins where the replica is."""
        if self._replica is None or (failure := self._replica._intake._failure) is None:
            return
        if failure[0] not in self.node.undone:
            raise Wrong(f"{self.node.name} refuses TXID {failure[1]} of {failure[0]}, as the primary sent it")

    def break_off(self, why: str, chance: random.Random | None = None) -> None:
        """The connection is gone. What was on its way may have come, up to any byte."""
        connection = self.connection
        if connection is None:
            return
        if chance is not None and connection.flying:
            connection.deliver(chance.randint(0, len(connection.flying)))
        connection.over = connection.over or why
        if self._loop is not None:
            for _ in range(3):
                self._turn()
        self.connection = None

    def lead_on_to(self, primary: Node) -> None:
        """Another node is the primary."""
        self.break_off("another node is the primary")
        self.primary, self.parted = primary, False

    def leave(self) -> None:
        """Its node follows nobody any more: what has arrived is taken in, and its thread ends."""
        self.break_off("it follows nobody any more")
        if self._fiber is not None and self._replica is not None:
            self._replica._stopped.set()
            while not self._fiber.done:
                self._fiber.resume()
            self._end_of_fiber()

    def retire(self) -> None:
        """The way is needed no more."""
        self.leave()
        if self._loop is not None:
            self._loop.close()

    def node_is_gone(self) -> None:
        """The replica's process is dead."""
        self.node.disk.dead = True
        if self._fiber is not None:
            self._fiber.kill()
        self._fiber = self._replica = None
        self.break_off("its node is dead")

    def heal(self) -> None:
        """All is well again: the replica comes level."""
        self.parted = False
        if self.connection is not None and self.connection.silent:
            self.break_off("healed")
        chance = random.Random(0)
        for _ in range(_HEAL):
            self.flow(chance, 5, quick=True)
            if self.is_level:
                return
        raise Wrong(f"{self.node.name} does not come level: it is at {_positions(self.node)}, "
                    f"the primary at {_positions(self.primary)}")  # fmt: skip

    @property
    def is_level(self) -> bool:
        """Of a database that the primary never had, it is told nothing: it keeps that, as with LiteFS."""
        own, theirs = _positions(self.node), _positions(self.primary)
        return {
            name: pos for name, pos in own.items() if name in theirs or name not in self.node.strays
        } == theirs

    def close(self) -> None:
        with suppress(Exception):
            self.node_is_gone()
        if self._loop is not None:
            self._loop.close()


def _positions(node: Node) -> dict[str, str]:
    return {name: str(pos) for name, pos in node.store.positions().items()} if node.store is not None else {}


class WholeSnapshot:
    """`snapshots.SnapshotPipe` without its pipe and its thread: made at once, then read."""

    def __init__(self, store: Store, database: str, path: Path, timeout: float = 0.0) -> None:
        self._store, self._database, self._path = store, database, path
        self._info: SnapshotInfo | None = None
        self._rest = b""

    async def __aenter__(self) -> "WholeSnapshot":
        try:
            self._info = self._store.snapshot(self._database, self._path)
            self._rest = self._path.read_bytes()
        finally:
            self._path.unlink(missing_ok=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing is left."""

    async def head(self) -> bytes:
        return await self.read(100)

    async def read(self, size: int = 8192) -> bytes:
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    async def made(self) -> SnapshotInfo:
        assert self._info is not None
        return self._info


async def _at_once(work: Callable[[], T]) -> T:
    return work()


@contextmanager
def wired(links: list[Link]) -> Iterator[None]:
    """Within, replicas' connections are these links'."""

    def post(url: str, body: bytes, **options: Any) -> Any:
        link = next(one for one in links if one.node.store is not None
                    and one.node.store.node_id_text == options["headers"]["Litefs-Id"])  # fmt: skip
        return link.post(url, body, **options)

    with ExitStack() as stack:
        for owner, name, value in (
            (replica_module, "Post", post),
            (primary_module, "snapshot_of", WholeSnapshot),
            (primary_module, "in_thread", _at_once),
        ):
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        yield
