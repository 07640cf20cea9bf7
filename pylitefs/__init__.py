"""pylitefs: LiteFS in readable Python. See docs/architecture.md for the house and its floors.

A node is a mount of its own (`pylitefs mount`), or lives in a Python process: `pylitefs.connect`
(docs/vfs.md).
"""

from importlib import import_module
from typing import Any

from pylitefs.errors import MissingLibraryError

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`connect` and `open_node` of embedded.py, loaded when they are asked for: the rest does without."""
    if name in ("connect", "open_node"):
        try:
            return getattr(import_module("pylitefs.embedded"), name)
        except ModuleNotFoundError as error:
            if error.name != "apsw":
                raise
            text = (
                f"pylitefs.{name} needs the package apsw: pip install 'pylitefs[vfs]' (or: pip install apsw)"
            )
            raise MissingLibraryError(text) from None
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
