"""The one module that imports fusepy, and what fusepy leaves to be desired for a filesystem under SQLite.

fusepy looks for libfuse 2 while it is imported, so this module is imported only after
`requirements.check()` has said in a sentence what is missing. The rules kept here:

- no byte is copied: reads go from the data file straight into libfuse's buffer, and a write hands on a
  memoryview over that buffer (which is gone once the callback has returned);
- a libfuse thread keeps its Python thread state from its first callback to its end, instead of making
  and dropping one for each callback, which doubles the callbacks a second;
- a callback answers with an errno, never with an exception: what nobody expected is EIO and one log line.

The API: https://libfuse.github.io/doxygen/structfuse__operations.html (libfuse 2's is nearly the same).
"""

import ctypes
import errno
import fcntl
import logging
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias, cast

import fuse

from pylitefs import limits

if TYPE_CHECKING:
    from pylitefs.mount.one_file import OneFileOperations
    from pylitefs.mount.operations import MountOperations

    Bytes: TypeAlias = ctypes._Pointer[ctypes.c_byte]
    FileInfo: TypeAlias = ctypes._Pointer[fuse.fuse_file_info]
    Stat: TypeAlias = ctypes._Pointer[fuse.c_stat]

log = logging.getLogger("pylitefs")

_PYBUF_READ = 0x100
_PYBUF_WRITE = 0x200
_NS = 1_000_000_000
_IGNORED = 1
"""SIG_IGN, as C has it: Python's own call works in the main thread alone."""
_libc = ctypes.CDLL(None)
_libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
_libc.signal.restype = ctypes.c_void_p

_libfuse = fuse._libfuse
_libfuse.fuse_get_session.argtypes = [ctypes.c_void_p]
_libfuse.fuse_get_session.restype = ctypes.c_void_p
_libfuse.fuse_session_exit.argtypes = [ctypes.c_void_p]
_libfuse.fuse_session_exit.restype = None
_libfuse.fuse_session_exited.argtypes = [ctypes.c_void_p]
_libfuse.fuse_session_next_chan.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
_libfuse.fuse_session_next_chan.restype = ctypes.c_void_p
_libfuse.fuse_chan_fd.argtypes = [ctypes.c_void_p]

_view = ctypes.pythonapi.PyMemoryView_FromMemory
_view.argtypes = [ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int]
_view.restype = ctypes.py_object


def caller_tid() -> int:
    """The thread (not process) whose call this libfuse thread is serving, 0 for the kernel itself."""
    return cast(int, _libfuse.fuse_get_context().contents.pid)


def interrupted() -> bool:
    """Whether a signal came for the client whose call this libfuse thread is serving."""
    return bool(_libfuse.fuse_interrupted())


class FileLock(ctypes.Structure):
    """`struct flock` of 64-bit Linux."""

    _fields_ = (
        ("l_type", ctypes.c_short),
        ("l_whence", ctypes.c_short),
        ("l_start", ctypes.c_int64),
        ("l_len", ctypes.c_int64),
        ("l_pid", ctypes.c_int),
    )
    l_type: int
    l_whence: int
    l_start: int
    l_len: int
    l_pid: int


class Fuse(fuse.FUSE):
    """fusepy's FUSE with the three rules above. Making one mounts and serves until the mount is gone.

    `on_init` is called once the kernel has said hello, with libfuse's session, which `exit_session`
    takes to end the loop from another thread; `on_destroy` just before libfuse frees that session.
    Raises RuntimeError if libfuse could not mount (it says why on stderr).
    """

    operations: "MountOperations"

    def __init__(
        self,
        operations: "MountOperations | OneFileOperations",
        mount_dir: str,
        on_init: Callable[[int], None],
        on_destroy: Callable[[], None],
        **options: bool | int | str,
    ) -> None:
        self._on_init, self._on_destroy = on_init, on_destroy
        # This thread is Python's own, which keeps its state; libfuse calls `destroy` in it.
        _thread.kept = True
        try:
            super().__init__(operations, mount_dir, raw_fi=True, foreground=True, encoding="utf-8", **options)
        finally:
            # libfuse's end has it kill the process again, which is to write to sockets and pipes still.
            _libc.signal(signal.SIGPIPE, _IGNORED)

    @staticmethod
    def _wrapper(func: Callable[..., int | None], *args: object) -> int:
        try:
            if not hasattr(_thread, "kept"):
                _keep_thread_state()
            return func(*args) or 0
        except OSError as error:
            limits.note(error)
            _note(func, error)
            return -(error.errno or errno.EIO)
        except UnicodeDecodeError as error:
            _note_ill_named(error.object)
            return -errno.EILSEQ
        except BaseException as error:
            log.error(
                "mount: %s failed unexpectedly with %s: %s; the client gets EIO. This is a bug in pylitefs",
                func.__name__,
                type(error).__name__,
                error,
            )
            log.debug("mount: traceback of the failed %s", func.__name__, exc_info=True)
            return -errno.EIO

    def init(self, conn: int | None) -> int | None:
        del conn
        session = cast(int, _libfuse.fuse_get_session(_libfuse.fuse_get_context().contents.fuse))
        # A child that inherited /dev/fuse would keep the mount alive after the node's death.
        device = _libfuse.fuse_chan_fd(_libfuse.fuse_session_next_chan(session, None))
        fcntl.fcntl(device, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        self._on_init(session)
        return None

    def destroy(self, private_data: int | None) -> None:
        del private_data
        self._on_destroy()

    def read(self, path: bytes | None, buf: "Bytes", size: int, offset: int, fip: "FileInfo") -> int:
        return self.operations.read(fip.contents.fh, _view(buf, size, _PYBUF_WRITE), offset)

    def write(self, path: bytes | None, buf: "Bytes", size: int, offset: int, fip: "FileInfo") -> int:
        return self.operations.write(fip.contents.fh, _view(buf, size, _PYBUF_READ), offset)

    def lock(self, path: bytes | None, fip: "FileInfo", cmd: int, lock: int) -> None:
        assert self.operations.lock is not None
        self.operations.lock(fip.contents, cmd, FileLock.from_address(lock))

    def getattr(self, path: bytes, buf: "Stat") -> int:
        return self.fgetattr(path, buf, None)

    def fgetattr(self, path: bytes | None, buf: "Stat", fip: "FileInfo | None") -> int:
        if fip:
            attributes = self.operations.getattr_handle(fip.contents.fh)
        else:
            attributes = self.operations.getattr((path or b"/").decode())
        ctypes.memset(buf, 0, ctypes.sizeof(fuse.c_stat))
        st = buf.contents
        st.st_mode = attributes.mode
        st.st_nlink = attributes.nlink
        st.st_uid = attributes.uid
        st.st_gid = attributes.gid
        st.st_size = attributes.size
        st.st_blocks = (attributes.size + 511) // 512
        st.st_blksize = 4096
        seconds, nanoseconds = divmod(attributes.mtime_ns, _NS)
        for spec in (st.st_atimespec, st.st_mtimespec, st.st_ctimespec):
            spec.tv_sec = seconds
            spec.tv_nsec = nanoseconds
        return 0


def _note(func: Callable[..., int | None], error: OSError) -> None:
    """A call failed: if the disk is the reason, the node says so, once."""
    mount = getattr(func, "__self__", None)
    disk = getattr(getattr(getattr(mount, "operations", None), "store", None), "disk", None)
    if disk is not None:
        disk.note(error)


_ill_named: dict[bytes, object] = {}
_MOST_ILL_NAMED = 16


def _note_ill_named(path: bytes) -> None:
    """A name was refused; a line for each name, and an end to that."""
    me = object()
    if len(_ill_named) < _MOST_ILL_NAMED and _ill_named.setdefault(path, me) is me:
        log.warning(
            "mount: %s is refused with EILSEQ: its name is not UTF-8 (Latin-1, perhaps); use another name",
            str(path.removeprefix(b"/"))[2:-1],
        )


def has_exited(session: int) -> bool:
    """Whether libfuse's loop is told to end, or found the mount gone."""
    return bool(_libfuse.fuse_session_exited(session))


def exit_session(session: int) -> None:
    """Tell libfuse's loop to end at its next chance; a signal to its thread gives it that chance."""
    _libfuse.fuse_session_exit(session)


# --- thread states -------------------------------------------------------------------------------
#
# ctypes calls PyGILState_Ensure before a callback and PyGILState_Release after it, and the last
# release drops the thread's state. One Ensure more keeps it. libfuse ends a thread that finds ten
# others idle, so the state must be dropped then, or a busy mount would leak 5 KiB a thread:
# __cxa_thread_atexit_impl (what C++'s thread_local uses in glibc) calls us just before the end.

_GIL_WAS_HELD = 0
_thread = threading.local()


def _drop_thread_state(_: int | None) -> None:
    ctypes.pythonapi.PyGILState_Release(_GIL_WAS_HELD)


_at_exit = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_drop_thread_state)


def _keep_thread_state() -> None:
    _thread.kept = True
    try:
        at_thread_exit = ctypes.CDLL(None).__cxa_thread_atexit_impl
    except AttributeError:  # not glibc: slower, and right
        return
    here = ctypes.cast(ctypes.pythonapi.PyGILState_Ensure, ctypes.c_void_p)
    if at_thread_exit(_at_exit, None, here) == 0:
        ctypes.pythonapi.PyGILState_Ensure()
