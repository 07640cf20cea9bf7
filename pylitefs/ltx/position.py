"""A database's position: how many transactions it has seen, and what they amount to.

Two nodes at the same position hold the same bytes. It reads `TXID/checksum`, each as 16 lower-case
hex digits, as in the mount's `DB-pos`.
"""

import re
from dataclasses import dataclass

from pylitefs.errors import LtxError

_TEXT = re.compile(r"([0-9a-f]{16})/([0-9a-f]{16})", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Pos:
    """TXID and database checksum after that transaction. Pos() is before the first one."""

    txid: int = 0
    checksum: int = 0

    def __str__(self) -> str:
        return f"{self.txid:016x}/{self.checksum:016x}"

    @classmethod
    def parse(cls, text: str) -> "Pos":
        """The position that `str(pos)` wrote; LtxError if the text is none."""
        match = _TEXT.fullmatch(text.strip())
        if match is None:
            raise LtxError(f"not a position: {text!r} (expected 16 hex digits, '/', 16 hex digits)")
        return cls(int(match[1], 16), int(match[2], 16))
