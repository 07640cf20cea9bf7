"""The folder of a demo or a lecture: one's own, so that nobody else can put anything in the way.

The rules: a folder that is made here is 0700, and has a name that nobody could guess if nobody gave it one;
in one that was there, a symlink, or what belongs to another user, is refused by name before anything is
written; and the demos that `pylitefs status` finds are the user's own.
"""

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from pylitefs.errors import PylitefsError

PREFIX = "pylitefs-demo-"
_OTHERS_WRITE = 0o022
_ELSE = "name another folder with --dir"


class FolderError(PylitefsError):
    """A folder that is not the user's own; the text says whose, and what to do."""


def fresh() -> Path:
    """A new folder, in the user's runtime directory or the temporary one."""
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=_places()[0])).resolve()


def claimed(directory: Path) -> Path:
    """The folder that the user has named, made if need be. FolderError if it is not the user's alone."""
    path = directory.absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.mkdir(0o700)
        except FileExistsError:
            check(path)
            if path.stat().st_mode & _OTHERS_WRITE:
                raise FolderError(f"others may write into {path}: chmod go-w {path}, or {_ELSE}") from None
    except OSError as error:
        raise FolderError(f"{path}: {error.strerror}; {_ELSE}") from None
    return path.resolve()


def check(path: Path) -> None:
    """FolderError if the path is a symlink, or another user's; FileNotFoundError if it is not there."""
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        raise FolderError(f"{path} is a symlink: remove it, or {_ELSE}")
    if found.st_uid != os.geteuid():
        raise FolderError(f"{path} belongs to another user (uid {found.st_uid}): {_ELSE}")


def check_below(paths: Iterable[Path]) -> None:
    """`check` of each path that is there. A mount whose node is dead is: only its own user could mount it."""
    for path in paths:
        try:
            check(path)
        except OSError:
            continue


def demos() -> list[Path]:
    """The folders of this user's demos that run now, of those that were given none."""
    return [path for path in _candidates() if _is_locked(path / ".lock")]


def _candidates() -> Iterator[Path]:
    for place in _places():
        for path in sorted(place.glob(f"{PREFIX}*")):
            try:
                check(path)
                if path.is_dir() and not path.stat().st_mode & _OTHERS_WRITE:
                    check(path / "cluster.json")
                    check(path / ".lock")
                    yield path
            except (FolderError, OSError):
                continue


def _is_locked(path: Path) -> bool:
    """Whether a demo holds its folder."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _places() -> list[Path]:
    """Where demos' folders are made: the first one. `XDG_RUNTIME_DIR` counts if it is the user's own."""
    places = [Path(tempfile.gettempdir()).resolve()]
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime):
        try:
            check(Path(runtime))
            if stat.S_IMODE(os.stat(runtime).st_mode) == 0o700:
                places.insert(0, Path(runtime))
        except (FolderError, OSError):
            pass
    return places
