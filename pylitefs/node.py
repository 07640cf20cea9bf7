"""One node: config in, running parts out. The only place where the parts are wired together.

    config --> Store (recovered) --> Applier (child process) --> MountSession (FUSE, a thread)
                                 `-> LateServer (asyncio, a thread) --> streams to replicas
                                 `-> Replica (a thread), where the lease names another node
                                 `-> RoleLoop (a thread), where the lease changes hands (roles/)
                                 `-> Proxy (asyncio, a thread), before the application

The rule is the order. Going up: the applier is started before the mount, so that it does not inherit
/dev/fuse, and nothing is served before every database is whole. Going down: no new transaction once the
mount is gone, and the data directory is let go last.

What a node need not have before its mount serves is loaded when it is wanted, or in a thread: the server,
NumPy, the proxy, what a lecture asks for (`tests/test_node.py` has the list).
"""

import logging
import os
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from pylitefs import parts
from pylitefs.config import Config
from pylitefs.config.token import VARIABLE
from pylitefs.control import CONTROL_FD
from pylitefs.http.late_server import LateServer
from pylitefs.lease.make import make_lease
from pylitefs.lease.static import StaticLease
from pylitefs.limits import keep_buffers, most_databases, raise_open_files
from pylitefs.store.halting import Halts
from pylitefs.store.status import pass_lease_time
from pylitefs.trace import Tracer

if TYPE_CHECKING:
    from pylitefs.control.node_end import NodeEnd
    from pylitefs.http.app import Api
    from pylitefs.mount.applier.applier import Applier
    from pylitefs.mount.session import MountSession
    from pylitefs.replication.replica import Replica
    from pylitefs.roles.loop import RoleLoop
    from pylitefs.store.strict_verify import StrictVerify

log = logging.getLogger("pylitefs")

BACKUP_S = 2.0
"""The next primary's backup waits so long for what this one writes."""


class Node:
    """A node from its config. `start()`, then `wait()` until it ends; `stop()` from any thread."""

    def __init__(
        self,
        config: Config,
        *,
        tracer: Tracer | None = None,
        skip_unmount: bool = False,
        observed_locks: bool = False,
        proxy_forward: str = "",
    ) -> None:
        """`observed_locks`: the mount is told of every lock, for the `lock.*` tracepoints.
        `proxy_forward`: what the proxy does with a write on a replica, see `Proxy`."""
        self.config = config
        self.token = config.http.shown_token
        lease = config.lease
        self.locks = parts.make_lock_table() if observed_locks or lease.halt_on_write else None
        self.lease = make_lease(config)
        self.tracer = tracer or Tracer(self.lease.hostname)
        self.status = parts.make_status(config)
        self.store = parts.make_store(config, self.tracer, self.status)
        self.halts = Halts(self.store, ttl=lease.halt_lock_ttl, acquire_timeout=lease.halt_acquire_timeout)
        self.halted = parts.make_halt_holder(config, self.store)
        self.skip_unmount = skip_unmount
        self.proxy = parts.make_proxy(config, self.store, proxy_forward)
        self.backup = parts.make_backup(config, self.store, self._backup_is_level)
        self.strict = self._make_strict_verify() if config.strict_verify else None
        self.applier: Applier | None = None
        self.mount: MountSession | None = None
        self.server: LateServer | None = None
        self.replica: Replica | None = None
        self.roles: RoleLoop | None = None
        self._control: NodeEnd | None = None
        self.before_end: Callable[[], None] = lambda: None
        """Called when the node ends by itself, before its mount goes: the application has to end first."""
        self.on_loaded: Callable[[], None] = lambda: None
        """Called once all that a node loads late is there, in the thread that loads it."""
        self.ended = threading.Event()
        """Set once everything is taken down."""
        self._stop_lock = threading.Lock()
        self._exit_code = 0

    @property
    def mount_dir(self) -> Path:
        """Where clients see the databases."""
        return self.config.fuse.dir

    @property
    def place(self) -> str:
        """The same for people."""
        return str(self.mount_dir)

    def start(self) -> None:
        """Bring everything up. Raises PylitefsError, with everything taken down again, if a part cannot."""
        if CONTROL_FD in os.environ:
            self._control = self._serve_control()
        try:
            self._start()
        except BaseException:
            if self.mount:
                self.mount.keep_bare_closed()
            self.stop()
            raise

    def _start(self) -> None:
        self._prepare_process()
        static = isinstance(self.lease, StaticLease)
        if isinstance(self.lease, StaticLease):
            self.status.is_primary = self.lease.is_primary
            # With a backup, what it has is restored before the application starts.
            self.status.ready = self.lease.is_primary and self.backup is None
        else:
            self.lease.register()
            self.store.terms.load(self.config.data.dir)
            self.status.is_primary = self.store.terms.was_primary  # For recovery: what it finds is from then.
        self.store.open(self.mount_dir.absolute())
        if not static:
            self.status.follow()
        if self.status.is_primary:
            if self.store.cluster_id is None:
                self.store.make_cluster_id()
            self.tracer.emit("lease.acquire", hostname=self.lease.hostname)
        self._start_mount()
        self.server = self._make_server()
        if not static:
            self._make_roles(self.server)
        elif not self.status.is_primary:
            self.replica = self._make_replica(self.server)
            self.replica.start()
        # What a replica lacks comes first: to load the server takes the processor time of 80 MB of it.
        self.server.start(when=lambda: not static or self.status.ready or self.status.is_primary)
        if self.backup:
            self.backup.start()
        if self.strict:
            self.strict.start()
        if self.proxy:
            self.proxy.start()
        log.info(
            "%s %s on %s, data in %s, API on %s",
            "primary" if self.status.is_primary else "replica" if static else "node",
            self.store.node_id_text,
            self.place,
            self.config.data.dir,
            self.config.http.addr,
        )

    def _prepare_process(self) -> None:
        raise_open_files()
        keep_buffers()

    def _make_strict_verify(self) -> "StrictVerify":
        from pylitefs.store.strict_verify import StrictVerify

        return StrictVerify(self.store, self._differs)

    def _differs(self, error: Exception) -> None:
        log.error("%s", error)
        self._end(1)

    def _backup_is_level(self) -> None:
        self.status.ready = True

    def _serve_control(self) -> "NodeEnd | None":
        from pylitefs.control.node_end import serve_from_environment
        from pylitefs.store.evidence import Evidence

        evidence = Evidence(self.config.data.dir, self._wal_index)
        return serve_from_environment(self.tracer, evidence, pass_lease_time)

    def _wal_index(self, database: str) -> bytes:
        """The head of a `-shm` as the mount shows it; b"" while there is no mount."""
        return self.applier.wal_index(database) if self.applier and self.mount and self.mount.mounted else b""

    def _start_mount(self) -> None:
        from pylitefs.mount.applier.applier import Applier
        from pylitefs.mount.session import MountSession

        self.applier = Applier(tracer=self.tracer, holders=self.locks.describe if self.locks else None)
        self.applier.start()
        self.store.applier = self.applier
        self.mount = MountSession(
            parts.make_mount_operations(
                self.config, self.store, self.applier.is_applier_thread, self.locks, self.halted
            ),
            self.mount_dir,
            allow_other=self.config.fuse.allow_other,
            debug=self.config.fuse.debug,
            on_unmounted=self._unmounted_from_outside,
        )
        self.mount.start()
        self.applier.attach(self.mount_dir.absolute())
        if self.status.is_primary:
            self.store.start_publisher()
        else:
            for name in self.store.names()[: most_databases()]:
                self.applier.hold(name)

    def _make_server(self) -> LateServer:
        """The API's port is taken; its server is loaded by `start`."""
        server = LateServer(
            self.config.http.host_port,
            self._make_api,
            on_loaded=self._load_rest,
            on_failure=self._cannot_serve,
        )
        listener = server.listen()
        if not listener.is_loopback and not self.token:
            log.warning(
                "http.addr %s: whoever reaches it can read and replace every database; set http.token (%s) "
                "in all nodes, or write 127.0.0.1:%d where no other machine has a node",
                self.config.http.addr,
                VARIABLE,
                listener.port,
            )
        return server

    def _make_api(self) -> "Api":
        from pylitefs.http.app import Api

        api = Api(
            self.store,
            self.lease,
            turnover=self.roles,
            latencies=lambda: self.replica.latencies if self.replica else {},
            token=self.token,
            open_stream=self.config.http.open_stream,
            halts=self.halts,
        )
        self._start_roles(api)
        return api

    def _load_rest(self) -> None:
        """What the first commit would have to wait for otherwise."""
        try:
            import_module("pylitefs.numeric")
        finally:
            self.on_loaded()

    def _make_replica(self, server: LateServer, own_url: str = "") -> "Replica":
        return parts.make_replica(
            self.config,
            self.store,
            self.lease,
            own_url=own_url,
            on_fatal=self._fail,
            on_change=lambda: self._connected(server),
        )

    def _connected(self, server: LateServer) -> None:
        if self.status.primary_url is None:
            self.halted.end_all("the primary is not connected any more")
        server.primary_changed()

    def _make_roles(self, server: LateServer) -> None:
        """What changes this node's role, where the lease changes hands."""
        from pylitefs.roles.make import make_roles

        config = self.config.lease
        own_url = self.lease.advertise_url if self.status.candidate else ""
        self.replica = replica = self._make_replica(server, own_url)
        self.roles = make_roles(
            self.store,
            self.lease,
            config,
            follower=replica,
            halts=self.halts,
            token=self.token,
            on_following=lambda: self.backup and self.backup.wait_idle(BACKUP_S),
        )
        self.status.promoting = config.promote and self.status.candidate and not self.config.skip_sync
        self.replica.start_watch()

    def _start_roles(self, api: "Api") -> None:
        """From now on this node asks for the lease: who follows it finds its API."""
        if self.roles is None:
            return
        self.roles.start(api)
        if self.status.promoting:
            from pylitefs.roles.promotion import promote_at_start

            arguments = (self.status, self.roles, self.ended, self._fail)
            threading.Thread(target=promote_at_start, args=arguments, name="promote", daemon=True).start()

    def _fail(self, error: Exception) -> None:
        log.error("this replica cannot go on: %s", error)
        self._end(1)

    def _cannot_serve(self, error: Exception) -> None:
        log.error("the API cannot be served: %s: %s", type(error).__name__, error)
        self._end(1)

    def _unmounted_from_outside(self) -> None:
        log.error("%s was unmounted from outside: this node ends; start it again to mount it", self.mount_dir)
        self._end(1)

    def _end(self, code: int) -> None:
        self._exit_code = self._exit_code or code
        threading.Thread(target=self._end_by_itself, name="stop").start()

    def _end_by_itself(self) -> None:
        self.before_end()
        self.stop()

    def wait(self) -> int:
        """Block until the node has ended; its exit code, 0 after `stop()`."""
        self.ended.wait()
        return self._exit_code

    def stop(self) -> None:
        """Take everything down: streams end, the mount goes, the data directory is let go."""
        with self._stop_lock:
            if self.ended.is_set():
                return
            self.let_go()
            try:
                self._take_down()
            finally:
                if self._control:
                    self._control.close()
                self.ended.set()

    def let_go(self) -> None:
        """Release every thread that is held at a tracepoint, and hold none any more: the node is to end."""
        if self._control:
            self._control.let_go()

    def _take_down(self) -> None:
        if self.proxy:
            self.proxy.stop()
        if self.strict:
            self.strict.stop()
        self.halted.stop()
        if self.replica:
            self.replica.stop()
        if self.roles:
            self.roles.stop()
        if self.server:
            self.server.stop()
        self.store.finish_captures(1.0)
        if self.backup:
            self.backup.stop()
        self._stop_mount()
        self.store.close()

    def _stop_mount(self) -> None:
        if self.mount and not self.skip_unmount:
            self.mount.stop()
        if self.applier:
            self.applier.stop()
