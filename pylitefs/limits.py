"""How many files this process may have open, and what is said when that is not enough; and its buffers.

The rule: a node takes all that the system allows (the soft limit is raised to the hard one, as Go does for
LiteFS), and an application that it starts gets the limit back that the node was started with: old programs
use select(2), which knows no descriptor past 1,023.
"""

import errno
import logging
import threading
import time
from collections.abc import Callable
from functools import partial

log = logging.getLogger("pylitefs")

MOST_DATABASES = 64
"""So many databases keep descriptors while nobody uses them: those that were used last."""
QUIET_S = 60.0
"""The shortage is over when nothing ran into it for so long; then the next one is told again."""

WINDOWS_FILES = 512
"""So many files a process of Windows may have open, which has no `resource` to say so."""
BUFFER = 1 << 20
"""Bytes of the largest buffer that is used again and again, with room."""

_lock = threading.Lock()
_original: tuple[int, int] | None = None
_last_told = -QUIET_S


def raise_open_files() -> int:
    """Raise the soft limit of open files to the hard one; the limit that there is now."""
    import resource  # Here and below: a recording is shown on systems that have no such thing.

    global _original
    with _lock:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            _original = _original or (soft, hard)
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            except (OSError, ValueError):
                return soft  # More than the kernel itself allows (fs.nr_open): the limit stays.
        return hard


def keep_buffers() -> None:
    """Have the C library keep the memory of buffers up to `BUFFER` bytes once they are freed.

    glibc gives each of 128 KiB and more back to the kernel, and has it anew, page by page, for the next one:
    that was a third of the work of an import. It learns by the first larger one that is freed.
    """
    bytes(BUFFER)


def open_files_limit() -> int:
    """The soft limit as it is now."""
    try:
        import resource
    except ImportError:
        return WINDOWS_FILES

    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def most_databases() -> int:
    """How many databases may keep descriptors while nobody uses them. Each may have two, and on a replica
    two more of the applier's, so that is an eighth to a quarter of what is allowed."""
    return max(4, min(MOST_DATABASES, open_files_limit() // 16))


def give_back() -> Callable[[], None] | None:
    """What a child process has to call, between fork and exec, to have the limit from before; None: nothing.

    It is one call into C, so it is safe where other threads of the parent held any lock.
    """
    import resource

    if _original is None:
        return None
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return partial(resource.setrlimit, resource.RLIMIT_NOFILE, (min(_original[0], hard), hard))


def is_shortage(error: OSError) -> bool:
    """Whether a file could not be opened because too many are."""
    return error.errno in (errno.EMFILE, errno.ENFILE)


def explain(error: OSError) -> str:
    """The limit that was met, and the remedy."""
    if error.errno == errno.ENFILE:
        return (
            "too many open files in the whole system: its limit is fs.file-max; raise it with "
            "`sysctl fs.file-max=NUMBER`, or close what has so many open"
        )
    return (
        f"too many open files: the limit of this process is {open_files_limit()} (RLIMIT_NOFILE); start the "
        "node with a higher hard limit (`ulimit -Hn NUMBER`, LimitNOFILE= of its service), or have clients "
        "close connections"
    )


def note(error: OSError) -> bool:
    """Log a shortage, once until it ends; False if the error is another one."""
    global _last_told
    if not is_shortage(error):
        return False
    with _lock:
        now = time.monotonic()
        is_new, _last_told = now - _last_told >= QUIET_S, now
    if is_new:
        log.error("%s", explain(error))
    return True
