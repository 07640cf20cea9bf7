"""Where a path leads, without asking a mount.

The rule: a mount whose node is stopped, or held at a gate, answers nobody, and who asks it cannot be killed.
So its own directory is never looked at: the folders above it are, and what a symbolic link says.
"""

import os
from pathlib import Path

_MOST_LINKS = 40


def real_path(mount_dir: Path) -> Path:
    """Where `mount_dir` lies without symbolic links; `Path.resolve` would ask the mount itself."""
    path = mount_dir.parent.resolve() / mount_dir.name
    for _ in range(_MOST_LINKS):
        try:
            target = path.parent / os.readlink(path)
        except OSError:
            break
        path = target.parent.resolve() / target.name
    return path


def beside(mount_dir: Path, other: Path) -> tuple[Path, Path]:
    """Both without symbolic links. As they are where the other is the mount, or lies in it, by name."""
    if other.absolute().is_relative_to(mount_dir.absolute()):
        return mount_dir.absolute(), other.absolute()
    return real_path(mount_dir), other.resolve()
