"""The life of a mount: made, served by libfuse in a thread of its own, and ended.

The rule: a mount that was made is ended by whoever made it, with files open and under load, within
milliseconds; and nobody else's mount is ever taken down, only a dead one.

Ending: tell libfuse's loop to exit, interrupt its wait with SIGUSR1, join its thread (it closes
/dev/fuse and unmounts), and detach what is left. Gates must be open by then: a callback that is held
keeps its thread. The node itself never opens a file on its own mount; it could not be killed any more.
"""

import contextlib
import logging
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pylitefs.errors import MountError
from pylitefs.mount import mountinfo, requirements
from pylitefs.mount.bare_directory import (
    BareDirectory,
    add_guard,
    hidden_names,
    is_guarded,
    remove_guard,
    warn_of_hidden,
)
from pylitefs.mount.operations import MountOperations
from pylitefs.signals import WAKE_SIGNAL

if TYPE_CHECKING:
    from pylitefs.mount.one_file import OneFileOperations

log = logging.getLogger("pylitefs")

ENTRY_TIMEOUT_S = 3600
"""How long the kernel trusts a name that it has seen: every name comes and goes through the mount."""
ATTR_TIMEOUT_S = 1
"""For attributes, and for names that were not there: modes and `.primary` change with the node's role."""

SWITCH_INTERVAL_S = 5e-5
"""A callback that waits for the interpreter behind a busy Python thread gets it after 50 µs, not 5 ms."""


def install_signal_handlers() -> None:
    """Make SIGUSR1 harmless, so that it can interrupt libfuse's wait. Call in the main thread, first of all.

    libfuse takes SIGHUP, SIGINT and SIGTERM where they have no handler: install those before the mount too.
    """
    signal.signal(WAKE_SIGNAL, lambda signum, frame: None)


class MountSession:
    """One mount of this process. `start()` once, `stop()` any number of times, from any thread."""

    def __init__(
        self,
        operations: "MountOperations | OneFileOperations",
        mount_dir: Path,
        *,
        allow_other: bool = False,
        debug: bool = False,
        fsname: str = "pylitefs",
        on_unmounted: Callable[[], None] | None = None,
    ) -> None:
        """`on_unmounted` is called, in the mount's thread, when someone else ended the mount."""
        self.operations = operations
        self.mount_dir = mount_dir.absolute()
        self.allow_other = allow_other
        self.debug = debug
        self.fsname = fsname
        self.on_unmounted = on_unmounted
        self._thread: threading.Thread | None = None
        self._session: int | None = None
        self._session_lock = threading.Lock()
        """Whoever uses libfuse's session holds it: libfuse frees it some time before its thread is back."""
        self._initialized = threading.Event()
        self._ended = threading.Event()
        self._stopping = False
        self._stop_lock = threading.Lock()
        self._bare = BareDirectory(self.mount_dir)
        self._mount_at = self.mount_dir

    @property
    def mounted(self) -> bool:
        """Whether the mount is up and served."""
        return self._initialized.is_set() and not self._ended.is_set()

    def start(self, timeout: float = 10.0) -> None:
        """Mount and return once a client can use it. Raises MountError with what to do."""
        if self._thread is not None:
            raise MountError(f"{self.mount_dir} was mounted by this session before: make a new one")
        requirements.check(allow_other=self.allow_other)
        if signal.getsignal(WAKE_SIGNAL) in (signal.SIG_DFL, None):
            if threading.current_thread() is not threading.main_thread():
                raise MountError("call install_signal_handlers() in the main thread before mounting")
            install_signal_handlers()
        prepare_mount_dir(self.mount_dir)
        try:
            self._mount(timeout)
        except BaseException:
            self.keep_bare_closed()
            self.stop()
            raise

    def _mount(self, timeout: float) -> None:
        self._mount_at = self._bare.close()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._thread = threading.Thread(target=self._serve, name="fuse", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + timeout
        while not (self._initialized.wait(0.005) and (mount := self._own_mount(self._mount_at)) is not None):
            if self._ended.is_set():
                with contextlib.suppress(OSError):
                    hidden_names(self._mount_at)
                raise MountError(f"{self.mount_dir}: libfuse could not mount here; its reason is on stderr")
            if time.monotonic() > deadline:
                raise MountError(f"{self.mount_dir}: the mount was not up after {timeout:g} s; see `dmesg`")
        self._bare.seal()
        warn_of_hidden(self.mount_dir, self._bare.hidden)
        self.operations.guard.begin(mount.minor, ATTR_TIMEOUT_S)

    def keep_bare_closed(self) -> None:
        """The start failed: what a crash before it left closed to writes stays so when the mount goes."""
        self._bare.keep_closed = True

    def stop(self, timeout: float = 5.0) -> None:
        """End the mount. Raises MountError if a callback holds on to it after `timeout` seconds."""
        with self._stop_lock:
            self._stopping = True
            thread = self._thread
            if thread is None:
                self._bare.open_again()
                return
            ends_itself = thread is threading.current_thread()  # stop() called by on_unmounted
            if not ends_itself and not self._end_loop(thread, timeout):
                self._detach()
                raise MountError(
                    f"{self.mount_dir}: a client's call is still being served {timeout:g} s after the end "
                    "was asked for; the mount is detached, and its clients wait until this process ends"
                )
            self._detach()

    def _end_loop(self, thread: threading.Thread, timeout: float) -> bool:
        from pylitefs.mount.libfuse import exit_session

        deadline = time.monotonic() + timeout
        while thread.is_alive() and time.monotonic() < deadline:
            with self._session_lock:
                if self._session is not None and thread.ident is not None:
                    exit_session(self._session)
                    # Again and again: one signal may arrive just before libfuse begins to wait.
                    signal.pthread_kill(thread.ident, WAKE_SIGNAL)
            thread.join(0.005)
        return not thread.is_alive()

    def _serve(self) -> None:
        from pylitefs.mount.libfuse import Fuse, caller_tid, has_exited, interrupted

        def is_interrupted() -> bool:
            if self._stopping or interrupted():
                return True
            with self._session_lock:
                return self._session is None or has_exited(self._session)

        self.operations.caller_tid = caller_tid
        self.operations.interrupted = is_interrupted
        options: dict[str, bool | int | str] = {
            "fsname": self.fsname,
            "subtype": "pylitefs",
            "entry_timeout": ENTRY_TIMEOUT_S,
            "attr_timeout": ATTR_TIMEOUT_S,
            "negative_timeout": ATTR_TIMEOUT_S,
            "hard_remove": True,
            "big_writes": True,
            "allow_other": self.allow_other,
            "debug": self.debug,
            # Asked for only where it is needed: not each fusermount knows it.
            "nonempty": self._bare.mounts_over_files,
        }
        try:
            Fuse(
                self.operations,
                str(mountinfo.real_path(self._mount_at)),
                self._on_init,
                self._on_destroy,
                **options,
            )
        except RuntimeError as error:
            log.debug("libfuse ended with status %s", error)
        finally:
            self._ended.set()
            self.operations.close_handles()
        if not self._stopping and self._initialized.is_set() and self.on_unmounted is not None:
            self.on_unmounted()

    def _on_init(self, session: int) -> None:
        self._session = session
        self._initialized.set()

    def _on_destroy(self) -> None:
        with self._session_lock:
            self._session = None

    def _own_mount(self, path: Path) -> mountinfo.Mount | None:
        mount = mountinfo.find(path)
        return mount if mount is not None and mount.is_fuse and mount.source == self.fsname else None

    def _detach(self) -> None:
        if self._own_mount(self.mount_dir) is not None:
            detach_one(self.mount_dir)
        self._bare.open_again()


def prepare_mount_dir(mount_dir: Path) -> None:
    """Make `mount_dir` fit to be mounted on: there, a dead mount taken over. Raises MountError.

    The bare directory is closed to writes before the dead mount goes, and stays so; see bare_directory.py.
    """
    for _ in range(10):
        mount = mountinfo.find(mount_dir)
        if mount is None or not mount.is_fuse:
            break
        if mountinfo.answers(mount_dir):
            raise MountError(
                f"{mount_dir} is mounted already, by {mount.holder()}: stop that one, "
                "or give this node another fuse.dir"
            )
        log.warning("%s: taking over the dead mount that %s left behind", mount_dir, mount.source)
        guarded = any(below.is_guard for below in mountinfo.stack(mount_dir))
        if guarded or not add_guard(mountinfo.real_path(mount_dir)):
            detach_one(mount_dir)
    if is_guarded(mount_dir):
        return
    try:
        mount_dir.mkdir(parents=True, exist_ok=True)
        hidden_names(mount_dir)
    except OSError as error:
        why = f"{mount_dir} cannot be mounted on: {error.strerror}"
        raise MountError(f"{why}; use a directory of your own") from error


def detach(mount_dir: Path) -> None:
    """Unmount lazily, with the guard beneath: whoever has files open keeps them. Raises MountError."""
    detach_one(mount_dir)
    remove_guard(mountinfo.real_path(mount_dir))


def detach_one(mount_dir: Path) -> None:
    """Unmount what is topmost, lazily, and nothing beneath it. Raises MountError."""
    program = shutil.which("fusermount") or shutil.which("fusermount3")
    path = str(mountinfo.real_path(mount_dir))
    depth = len(mountinfo.stack(mount_dir))
    command = [program, "-u", "-z", path] if program else ["umount", "-l", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 and len(mountinfo.stack(mount_dir)) >= depth > 0:
        raise MountError(f"{mount_dir} cannot be unmounted: {done.stderr.strip()}; try: {' '.join(command)}")
