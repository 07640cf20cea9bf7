"""pylitefs: LiteFS in readable Python. See docs/architecture.md for the house and its floors.

A node is a mount of its own (`pylitefs mount`), or lives in a Python process: `pylitefs.connect`
(docs/vfs.md).
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`connect` and `open_node` of embedded.py, loaded when they are asked for: the rest does without."""
    if name in ("connect", "open_node"):
        return getattr(import_module("pylitefs.embedded"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
