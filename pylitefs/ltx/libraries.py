"""The two libraries that the format stands on: fastcrc for CRC-64, lz4 for the pages.

The rule: everything that reads or writes LTX files can be imported where they are missing. An error says
which one is, once it is needed.
"""

from collections.abc import Callable
from typing import NoReturn

from pylitefs.errors import MissingLibraryError
from pylitefs.sqlite import Buffer

__all__ = ["crc64_go_iso", "lz4_block", "lz4_frame"]


class _Missing:
    """Stands where a library should be."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> NoReturn:
        raise MissingLibraryError(f"the Python package {self._name} is missing: pip install {self._name}")


def _missing_crc64(data: Buffer, initial: int = 0) -> int:
    _Missing("fastcrc").crc64()


crc64_go_iso: Callable[..., int]
"""`crc64_go_iso(data, crc)`: CRC-64/GO-ISO of the data, going on from `crc` (0 at first)."""

try:
    from fastcrc.crc64 import go_iso

    crc64_go_iso = go_iso
except ImportError:
    crc64_go_iso = _missing_crc64
try:
    from lz4 import block as lz4_block
    from lz4 import frame as lz4_frame
except ImportError:
    lz4_block = lz4_frame = _Missing("lz4")  # type: ignore[assignment]
