"""Crashes without crashing: what a data directory looked like before each system call that changed it.

`Recorder` wraps the calls of `os` through which everything in `pylitefs.store` changes files. Before each
it keeps an image: what `kill -9` at that moment leaves behind. It also follows what was synced, so that
`PowerFailure` images can be made: there, what was never synced may be lost.
"""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_BLOCK = 512
"""Bytes that a disk writes as a whole."""

_CALLS = (
    "open",
    "write",
    "pwrite",
    "pwritev",
    "ftruncate",
    "truncate",
    "fsync",
    "fdatasync",
    "unlink",
    "rename",
    "replace",
    "rmdir",
)
"""What changes or syncs files. (`open` counts where it makes or empties one.)"""

Files = dict[str, bytes]
"""Path below the data directory to content."""


@dataclass(frozen=True)
class Image:
    """The data directory at one moment."""

    step: int
    call: str
    """The call that is about to be made: `unlink dbs/a.db/journal`."""
    files: Files
    durable: Files
    """What would be left if nothing that was not synced survived, and no removal of a name either."""
    gone: frozenset[str]
    """Names that were removed, which a power failure may bring back."""
    noted: Any
    """What the test had noted by then: the transactions that SQLite had acknowledged, say."""

    def write(self, directory: Path, files: Files | None = None) -> Path:
        """Lay the files out below `directory`."""
        for name, content in (self.files if files is None else files).items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return directory

    def after_power_failure(self, chance: random.Random) -> Files:
        """One of the states that a power failure may leave: each block either as synced or as written."""
        names = {*self.files, *self.durable}
        result: Files = {}
        keeps_all, loses_all = chance.random() < 0.15, chance.random() < 0.3
        for name in sorted(names):
            if name not in self.files and (keeps_all or chance.random() < 0.5):
                continue  # It was removed, and that survived.
            if name not in self.durable and (loses_all or chance.random() < 0.3):
                continue  # It was made, and its name was not synced.
            old, new = self.durable.get(name, b""), self.files.get(name, self.durable.get(name, b""))
            result[name] = new if keeps_all else old if loses_all else _mixed(old, new, chance)
        return result

    def written_back(self, *names: str) -> Files:
        """What is left where the kernel has written out these files and all removals, and nothing else that
        was not synced."""
        left = {name: content for name, content in self.durable.items() if name not in self.gone}
        return left | {name: self.files[name] for name in names if name in self.files}


def _mixed(old: bytes, new: bytes, chance: random.Random) -> bytes:
    if old == new:
        return new
    size = chance.choice((len(old), len(new)))
    density = chance.random()
    parts = []
    for at in range(0, size, _BLOCK):
        source = new if chance.random() < density else old
        parts.append(source[at : at + _BLOCK].ljust(min(_BLOCK, size - at), b"\0"))
    return b"".join(parts)


@dataclass
class Recorder:
    """Records images of `directory`; `note` is called for each."""

    directory: Path
    note: Callable[[], Any] = lambda: None
    left: Image | None = None
    """The directory is what a killed process left; what of it is durable."""
    images: list[Image] = field(default_factory=list)
    steps: int = 0
    _durable: dict[int, bytes] = field(default_factory=dict)
    """Content by inode as it was synced last."""
    _removed: int = 0
    """Counts down: a number in place of an inode's, for each name that was removed."""
    _names: dict[str, int] = field(default_factory=dict)
    """Durable names and the inodes they lead to."""
    _made_as: dict[int, str] = field(default_factory=dict)
    """The name that each inode was made with."""

    def __post_init__(self) -> None:
        for name, path in self._walk():
            if self.left is None or name in self.left.durable:
                content = path.read_bytes() if self.left is None else self.left.durable[name]
                self._durable[path.stat().st_ino] = content
                self._names[name] = path.stat().st_ino
        if self.left is not None:
            for name, path in self._walk():
                # A name that is not durable yet may have come by a rename.
                self._made_as[path.stat().st_ino] = name if name in self.left.durable else ""
            for name in self.left.gone:
                self._removed -= 1
                self._durable[self._removed] = self.left.durable[name]
                self._names[name] = self._removed

    def unsynced(self, kind: str) -> None:
        """As if no file of this name had been synced by now, though its name is durable."""
        for name, inode in self._names.items():
            if name.endswith(f"/{kind}"):
                self._durable[inode] = b""

    def _walk(self) -> Iterator[tuple[str, Path]]:
        for path in sorted(self.directory.rglob("*")):
            if path.is_file():
                yield str(path.relative_to(self.directory)), path

    def take(self, call: str) -> None:
        """Keep an image, unless nothing changed since the last."""
        there = list(self._walk())
        files = {name: path.read_bytes() for name, path in there}
        self._made_as = {
            inode: self._made_as.get(inode, name)
            for name, inode in ((name, path.stat().st_ino) for name, path in there)
        }
        for name in self._names.keys() - files.keys():
            # Its inode's number may be given to another file from here on.
            self._removed -= 1
            self._durable[self._removed] = self._durable.get(self._names[name], b"")
            self._names[name] = self._removed
        durable = {name: self._durable.get(inode, b"") for name, inode in self._names.items()}
        noted = self.note()
        self.steps += 1
        if self.images:
            last = self.images[-1]
            if (last.files, last.durable, last.noted) == (files, durable, noted):
                return
        gone = frozenset(durable.keys() - files.keys())
        self.images.append(Image(self.steps, call, files, durable, gone, noted))

    def _name(self, path: object) -> str | None:
        text = os.path.abspath(os.fsdecode(path))  # type: ignore[arg-type]
        start = f"{self.directory}/"
        return text.removeprefix(start) if text.startswith(start) else None

    def synced(self, fd: int) -> None:
        """A file (then its name, too, as ext4, XFS and btrfs do it for a new one, but not a name that it was
        given by a rename) or a directory was synced."""
        path = os.readlink(f"/proc/self/fd/{fd}")
        if os.path.isdir(path):
            below = self._name(path + "/")
            self._names = {
                name: inode
                for name, inode in self._names.items()
                if os.path.dirname(name) != below or (self.directory / name).exists()
            }
            self._names |= {
                name: found.stat().st_ino for name, found in self._walk() if os.path.dirname(name) == below
            }
            return
        inode = os.fstat(fd).st_ino
        with open(f"/proc/self/fd/{fd}", "rb") as file:  # The descriptor itself may be write-only.
            self._durable[inode] = file.read()
        name = self._name(path)
        if os.path.exists(path) and name is not None and self._made_as.get(inode, name) == name:
            self._names[name] = inode

    @contextmanager
    def recording(self) -> Iterator["Recorder"]:
        """Within, every call of `os` that changes something below the directory is a moment to crash at."""
        with watching(self.directory, lambda call, name, fd: self.take(f"{call} {name}"), self.synced):
            yield self
        self.take("the end")


@contextmanager
def watching(
    directory: Path,
    before: Callable[[str, str, int], None],
    synced: Callable[[int], None] = lambda fd: None,
) -> Iterator[None]:
    """Call `before(call, name, descriptor or -1)` ahead of each call of `os` that changes or syncs a file
    below `directory`, and `synced(descriptor)` after each sync. What `before` raises, the call raises."""
    wrapped: dict[str, Callable[..., Any]] = {}
    busy = False

    def name_of(path: object) -> str | None:
        text = os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else os.fsdecode(path)  # type: ignore[arg-type]
        text = os.path.abspath(text)
        return text.removeprefix(f"{directory}/") if f"{text}/".startswith(f"{directory}/") else None

    def wrap(call: str) -> None:
        original = wrapped[call] = getattr(os, call)

        def wrapper(*args: Any, **options: Any) -> Any:
            nonlocal busy
            if busy or (call == "open" and not args[1] & (os.O_CREAT | os.O_TRUNC)):
                return original(*args, **options)
            busy = True
            try:
                name = name_of(args[0])
                if name is None:
                    return original(*args, **options)
                before(call, name, args[0] if isinstance(args[0], int) else -1)
                result = original(*args, **options)
                if call in ("fsync", "fdatasync"):
                    synced(args[0])
                return result
            finally:
                busy = False

        setattr(os, call, wrapper)

    for call in _CALLS:
        wrap(call)
    try:
        yield
    finally:
        for call, original in wrapped.items():
            setattr(os, call, original)
