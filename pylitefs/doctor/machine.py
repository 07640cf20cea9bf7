"""The machine: FUSE, how many files may be open, mounts whose node is dead.

The rule: a mount is never touched by this process; who is dead is asked by a child that may be left behind.
"""

import resource
from collections.abc import Iterator
from pathlib import Path

from pylitefs.doctor.finding import Finding, note, ok, wrong
from pylitefs.errors import MountError
from pylitefs.mount import mountinfo, requirements

LEAST_FILES, ENOUGH_FILES = 1024, 4096
"""Open files: below the first a node is short of them soon; the second is enough for some hundred clients."""
NEARLY = 0.9
FILE_NR = Path("/proc/sys/fs/file-nr")


def fuse(*, allow_other: bool, running: bool) -> Iterator[Finding]:
    """What a mount needs. `running`: another user's node may have what this user has not."""
    try:
        requirements.check(allow_other=allow_other)
    except MountError as error:
        yield (
            note("fuse", f"its node runs, not by this user: {error}")
            if running
            else wrong("fuse", str(error))
        )
    else:
        yield ok("fuse", f"{requirements.FUSE_DEVICE} opens, libfuse 2 and fusermount are there")


def descriptors(limit: int | None = None, file_nr: Path = FILE_NR) -> Iterator[Finding]:
    """How many files a node may have open: it raises its own limit up to the hard one."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1] if limit is None else limit
    text = f"a node may have {hard:,} files open" if hard != resource.RLIM_INFINITY else "as many as it likes"
    if hard == resource.RLIM_INFINITY or hard >= ENOUGH_FILES:
        yield ok("descriptors", text)
    elif hard >= LEAST_FILES:
        yield note("descriptors", f"{text}: enough for some dozens of databases and clients")
    else:
        yield wrong(
            "descriptors",
            f"{text}, which databases and connections use up soon",
            f"`ulimit -Hn {ENOUGH_FILES}` as root, or LimitNOFILE={ENOUGH_FILES} in its service",
        )
    try:
        used, _, most = map(int, file_nr.read_text().split())
    except (OSError, ValueError):
        return
    if used > most * NEARLY:
        yield wrong(
            "descriptors",
            f"{used:,} of the {most:,} files that the whole system may have open are open",
            f"`sysctl fs.file-max={most * 2}`, or end what has so many open",
        )


def dead_mounts(own: Path | None) -> Iterator[Finding]:
    """Mounts of pylitefs and LiteFS that nobody serves any more, on this whole machine. Only the own one is
    in this node's way."""
    dead = {
        mount.mount_dir
        for mount in mountinfo.every()
        if mount.is_fuse and mount.source in mountinfo.NODES and not mountinfo.answers(Path(mount.mount_dir))
    }
    real = str(mountinfo.real_path(own)) if own else ""
    for mount_dir in sorted(dead):
        what = (
            f"{mount_dir} is the mount of a node that was killed: whoever opens a file there gets "
            '"Transport endpoint is not connected"'
        )
        if mount_dir == real:
            yield wrong("mounts", what, "start the node, which takes it away by itself")
        else:
            yield note("mounts", f"{what}; start its node, or `umount -l {mount_dir}`")
    if not dead:
        yield ok("mounts", "no node has left a dead mount behind")
