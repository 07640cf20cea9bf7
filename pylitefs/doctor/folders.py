"""The folders of a node: whose they are, how much room there is, and what lies where it should not.

The rule: they are looked at and not touched. A mount that is there is not listed: its node may be held.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from pylitefs.doctor.finding import Finding, note, ok, wrong
from pylitefs.errors import MountError
from pylitefs.mount import mountinfo
from pylitefs.mount.bare_directory import hidden_names
from pylitefs.roles import candidates
from pylitefs.store import lost, terms
from pylitefs.store.directory_lock import holder_of

LEAST_ROOM = 100 << 20
"""Bytes that are to be free at least."""
_OURS = {"clusterid", "dbs", "tmp", "kept", lost.FOLDER, terms.NAME, candidates.NAME}
_READ_WRITE = os.R_OK | os.W_OK | os.X_OK


def data_directory(path: Path, *, running: bool) -> Iterator[Finding]:
    """Whether a node can have it. `running`: its own node has it just now."""
    about = "data directory"
    try:
        facts = os.stat(path)
    except FileNotFoundError:
        yield from _to_be_made(about, path)
        return
    except OSError as error:
        yield wrong(about, f"{path}: {error.strerror}", "choose another with data.dir, or change its owner")
        return
    if not path.is_dir():
        yield wrong(about, f"{path} is no directory", "move it away, or choose another with data.dir")
        return
    if not os.access(path, _READ_WRITE):
        yield note(
            about, f"{path} belongs to user {facts.st_uid}: only that user's node can have it, or root's"
        )
        return
    holder = holder_of(facts.st_ino)
    if holder and not running:
        yield wrong(
            about,
            f"{path} is in use by {holder}, which does not answer at this config's http.addr",
            "end that process, or give one of the two nodes a data.dir of its own",
        )
    else:
        yield ok(about, f"{path}: {'its node runs' if running else 'a node can have it'}")
    yield from _what_lies_there(path)


def _what_lies_there(path: Path) -> Iterator[Finding]:
    strangers = sorted(set(os.listdir(path)) - _OURS)
    if strangers:
        yield note("data directory", f"{path} holds what is no node's: {_some(strangers)}; move it elsewhere")
    kept = sorted(str(file) for file in (path / "kept").rglob("*.ltx"))
    if kept:
        yield note(
            "data directory",
            f"a restore has kept what it replaced: {_some(kept)}; look at it with `pylitefs ltx apply`, then "
            "remove it",
        )
    left = sorted(str(folder) for folder in (path / lost.FOLDER).glob("*/*"))
    if left:
        yield note(
            "data directory",
            f"a failover has kept transactions that the new primary did not have: {_some(left)}; look at "
            "them with `pylitefs ltx list`, then remove them",
        )


def room(about: str, path: Path, largest: int = 0) -> Iterator[Finding]:
    """Whether there is room on a folder's disk; `largest` are the bytes of the largest database."""
    existing = _existing(path)
    try:
        figures = os.statvfs(existing)
    except OSError as error:
        yield wrong(about, f"{existing}: {error.strerror}", "look for the reason in dmesg")
        return
    free = figures.f_bavail * figures.f_frsize
    text = f"{free / 1e6:,.0f} MB are free on the disk of {path}"
    if figures.f_flag & os.ST_RDONLY:
        yield wrong(about, f"the disk of {path} is read-only", "mount it writable; dmesg says why it is not")
    elif figures.f_files and not figures.f_favail:
        yield wrong(about, f"the disk of {path} has no inodes left", "remove small files")
    elif free < max(LEAST_ROOM, largest):
        needs = f"; an import or a snapshot needs {largest / 1e6:,.0f} MB" if largest > LEAST_ROOM else ""
        yield wrong(about, f"{text}{needs}", "make room, or move the folder to a larger disk")
    else:
        yield ok(about, text)


def largest_database(data_dir: Path) -> int:
    """Its bytes; 0 where nothing can be seen."""
    sizes = [0]
    for path in data_dir.glob("dbs/*/database"):
        try:
            sizes.append(path.stat().st_size)
        except OSError:
            continue
    return max(sizes)


def mount_directory(path: Path, *, running: bool) -> Iterator[Finding]:
    """Whether the node's mount is there, or can be made, and what it would hide."""
    about = "mount"
    mounted = mountinfo.find(path)
    if mounted is not None:
        yield from _mounted(about, path, mounted, running=running)
        return
    if running:
        yield wrong(about, f"a node answers, and nothing is mounted at {path}", "restart the node")
    if not path.exists():
        yield from _to_be_made(about, path)
        return
    try:
        hidden = hidden_names(path)
    except MountError as error:
        yield wrong(about, str(error))
        return
    except OSError as error:
        yield note(about, f"{path} cannot be looked into: {error.strerror}")
        return
    if hidden:
        yield note(about, f"{path} is not empty: {_some(hidden)} will be hidden while the node runs")
    else:
        yield ok(about, f"{path} is empty: a node can be mounted there")


def _mounted(about: str, path: Path, mounted: mountinfo.Mount, *, running: bool) -> Iterator[Finding]:
    if running and mounted.is_fuse:
        yield ok(about, f"{path} is served by {mounted.holder()}")
    elif mounted.is_guard:
        yield note(about, f"{path} is closed since a crash, so that nobody writes there; a start opens it")
    elif mounted.is_fuse and mounted.source in mountinfo.NODES and mountinfo.answers(path):
        yield wrong(
            about,
            f"{path} is the mount of a node ({mounted.holder()}) that does not answer at this config's "
            "http.addr",
            "end that node: it hangs, or has another config",
        )
    elif not mounted.is_fuse or mountinfo.answers(path):
        yield wrong(
            about,
            f"{path} is a mount of {mounted.source} ({mounted.fstype}), which is not this node's",
            f"`umount {path}`, or choose another directory with fuse.dir",
        )


def backup_folder(path: Path, data_dir: Path, *, running: bool) -> Iterator[Finding]:
    """Whether the node can back up there."""
    about = "backup"
    if not path.exists():
        yield from _to_be_made(about, path)
        return
    if not path.is_dir() or not os.access(path, _READ_WRITE):
        what = f"this user may not write into {path}"
        if running:
            yield note(about, f"{what}; its node says below if it cannot")
        else:
            yield wrong(about, what, "change its owner, or choose another backup.path")
        return
    if path.stat().st_dev == _existing(data_dir).stat().st_dev:
        yield note(about, f"{path} lies on the disk of data.dir: it does not survive the loss of that disk")
    else:
        yield ok(about, f"{path} can be written")


def _to_be_made(about: str, path: Path) -> Iterator[Finding]:
    above = _existing(path)
    if os.access(above, os.W_OK | os.X_OK):
        yield ok(about, f"{path} is not there yet: a start makes it")
    else:
        yield wrong(
            about,
            f"{path} is not there, and this user may not make it in {above}",
            f"as root: mkdir -p {path} && chown {os.geteuid()} {path}",
        )


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
