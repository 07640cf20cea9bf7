"""Which files this process has open, below a folder.

A test counts its own files only. What other tests left to the garbage collector may be closed at any moment.
"""

import os
from contextlib import suppress
from pathlib import Path


def open_below(folder: Path) -> list[str]:
    """Paths of the open files, relative to `folder` and sorted: one entry for each descriptor."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # The descriptor of the listing itself.
            path = Path(os.readlink(f"/proc/self/fd/{fd}"))
            found += [str(path.relative_to(folder))] if path.is_relative_to(folder) else []
    return sorted(found)
