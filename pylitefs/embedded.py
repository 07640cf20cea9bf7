"""A node in this process, and connections to it: `pylitefs.connect`.

    import pylitefs

    with pylitefs.open_node(config) as node:         a primary or a replica, as the config says
        db = node.connect("app.db")                  an apsw.Connection

    db = pylitefs.connect("app.db", config)          the same, on a node that lives as long as the process

The node is the one of node.py, with another front: no mount and no applier process, but `vfs/`. So it is a
member of a cluster like any other: it serves the API and the streams, follows a primary, asks for a lease.

The rule: the data directory belongs to one process. Another one is refused (store/directory_lock.py), and so
is a child that this one forked.
"""

import atexit
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pylitefs.config import Config, find_config, load_config
from pylitefs.errors import ConfigError, DatabaseNotFoundError, PylitefsError, ReadOnlyReplicaError
from pylitefs.ltx.position import Pos
from pylitefs.node import Node
from pylitefs.store.names import FileKind, check_database_name
from pylitefs.vfs.bridge import plainly
from pylitefs.vfs.connection import Connection
from pylitefs.vfs.front import BUSY_S, READ_WRITE, Front

log = logging.getLogger("pylitefs")

READY_S = 10.0
"""`connect` waits so long for a replica to be level with its primary."""
LOOK_S = 0.005
DROP_S = 5.0
_nodes: dict[Path, "EmbeddedNode"] = {}
_lock = threading.RLock()


class EmbeddedNode(Node):
    """A node without a mount. `start()` and `stop()`, or `with`; all calls may come from any thread."""

    front: Front | None = None

    @property
    def mount_dir(self) -> Path:
        """SQLite sees the databases right below the root: it is the flat namespace of the VFS."""
        return Path("/")

    @property
    def place(self) -> str:
        return "this process"

    def _prepare_process(self) -> None:
        """The process is the application's: its limits stay as they are."""

    def _start_mount(self) -> None:
        self.front = Front(self.store, explain=self._explain)

    def _stop_mount(self) -> None:
        if self.front is not None:
            self.front.close()

    def __enter__(self) -> "EmbeddedNode":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Take everything down. Connections that are open are closed, and what they had begun is undone."""
        with _lock:
            for place in [place for place, node in _nodes.items() if node is self]:
                del _nodes[place]
        super().stop()

    # -- connections ----------------------------------------------------------------------------------------

    def connect(self, database: str, *, timeout: float = BUSY_S, flags: int = READ_WRITE) -> Connection:
        """A connection to a database of this node, made if it is new and this node is the primary.

        `timeout`: seconds for which it waits for another connection's lock. `flags` are APSW's.
        """
        if self.front is None or self.ended.is_set():
            raise PylitefsError("this node is not running: start() it, or use `with pylitefs.open_node(…)`")
        made = self.front.connect(database, flags, busy_s=timeout, make=Connection.of(self))
        assert isinstance(made, Connection)
        return made

    def wait_ready(self, seconds: float = READY_S) -> bool:
        """Wait for a replica to have what its primary has. False if it is not level within the time."""
        deadline = time.monotonic() + seconds
        while not self.status.ready:
            if time.monotonic() > deadline or self.ended.wait(LOOK_S):
                return self.status.ready
        return True

    def _explain(self, name: str, error: OSError) -> str:
        """The sentence that goes into the exception."""
        text = plainly(name, error)
        if self.status.is_primary or "replica" not in text:
            return text
        where = self.status.primary_hostname
        url = self.status.primary_url
        return f"{text}: write on the primary" + (
            f", {where} ({url})" if where else ", which is not connected"
        )

    # -- what the special files of a mount say --------------------------------------------------------------

    @property
    def is_primary(self) -> bool:
        """Whether this node takes writes now."""
        return self.status.is_primary

    @property
    def primary(self) -> str | None:
        """The primary's hostname, on a replica that is connected to it: `.primary`."""
        return None if self.status.is_primary else self.status.primary_hostname

    @property
    def lag_ms(self) -> int:
        """Milliseconds behind the primary: `.lag`."""
        return self.status.lag_ms()

    @property
    def url(self) -> str:
        """Where this node's API answers; also where `http.addr` leaves the port to the system (port 0)."""
        host, port = self.config.http.host_port
        assert self.server is not None
        return f"http://{host or '127.0.0.1'}:{port or self.server.port}"

    def databases(self) -> list[str]:
        """The databases that have a file now."""
        return self.store.names()

    def position(self, database: str) -> Pos:
        """The newest transaction that others may hear of: `DB-pos`. DatabaseNotFoundError without one."""
        return self.store.require(database).current_pos()

    @contextmanager
    def halt(self, database: str) -> Iterator[None]:
        """Within, this replica may write the database: it has the primary's HALT lock, as by `DB-lock`."""
        found = self.store.require(database)
        held = self.halted.take(found)
        try:
            yield
        finally:
            if held is not None:
                self.halted.give_back(held)

    def drop(self, database: str) -> None:
        """Remove a database, here and on all replicas: what `rm` does in a mount."""
        check_database_name(database)
        found = self.store.require(database)
        if not found.exists:
            raise DatabaseNotFoundError("database not found")
        if not found.state.may_write():
            raise ReadOnlyReplicaError(f"cannot drop {database} on a replica: drop it on the primary")
        assert self.front is not None
        with self.front.applier.write_lock(database, DROP_S):
            found.remove(FileKind.DATABASE)
            self.front.locks.removed(database)


def open_node(config: "Config | Path | str | None" = None) -> EmbeddedNode:
    """A node of that config, or of the config file; without one, of litefs.yml where LiteFS looks for it."""
    return EmbeddedNode(_config(config))


def connect(
    database: str,
    config: "Config | Path | str | None" = None,
    *,
    timeout: float = BUSY_S,
    ready: float = READY_S,
) -> Connection:
    """A connection to a database, on a node in this process: started if it is the first, and shared then.

    The node ends with the process, or by `connection.node.stop()`. On a replica this waits for up to `ready`
    seconds until it is level with its primary; after that, what is there is shown.
    """
    node = _shared(_config(config))
    if not node.wait_ready(ready):
        log.warning("%s is opened although this replica is not level with its primary", database)
    return node.connect(database, timeout=timeout)


def _config(config: "Config | Path | str | None") -> Config:
    if isinstance(config, Config):
        return config
    return load_config(Path(config) if config is not None else find_config()).config


def _shared(config: Config) -> EmbeddedNode:
    place = config.data.dir.resolve()
    with _lock:
        node = _nodes.get(place)
        if node is not None:
            if node.config != config:
                raise ConfigError(
                    f"a node on {place} runs in this process with another config: stop() it first"
                )
            return node
        node = EmbeddedNode(config)
        node.start()
        if not _nodes:
            atexit.register(_stop_all)
        _nodes[place] = node
        return node


def _stop_all() -> None:
    for node in list(_nodes.values()):
        with suppress(PylitefsError):
            node.stop()
