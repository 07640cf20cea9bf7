"""What a node knows of its backup: how far it is, what it does just now, and what is wrong.

The rule: written by the backup's thread alone, read by everyone (`status`, `/debug/vars`, the metrics); a
trouble is one log line when it begins and one when it has ended, however often it is run into meanwhile.
"""

import logging
import threading
import time
from dataclasses import dataclass, field

log = logging.getLogger("pylitefs")


@dataclass
class BackupState:
    """The backup of one node. `""` as the name of a database stands for the backup as a whole."""

    url: str
    is_running: bool = False
    """Only a primary backs up."""
    now: str = ""
    """What it does just now, for people; "" while it waits."""
    positions: dict[str, int] = field(default_factory=dict)
    """The TXID up to which the backup has each database."""
    files: int = 0
    """LTX files written since the node's start; `size` is their bytes."""
    size: int = 0
    restores: int = 0
    level_at: float = 0.0
    """When all databases were last found, or made, level with the backup, on the wall clock."""
    _troubles: dict[str, tuple[str, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def troubles(self) -> dict[str, str]:
        """What is wrong, by database, and since when."""
        with self._lock:
            return {
                name: f"{text} (since {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(since))})"
                for name, (text, since) in sorted(self._troubles.items())
            }

    def fails(self, text: str, name: str = "") -> None:
        """Something is in the backup's way: told once."""
        with self._lock:
            before, since = self._troubles.get(name, ("", time.time()))
            self._troubles[name] = (text, since)
        if text != before:
            log.error("backup%s: %s", f" of {name}" if name else "", text)

    def works(self, name: str = "") -> None:
        """It is in its way no longer."""
        with self._lock:
            text, since = self._troubles.pop(name, ("", 0.0))
        if text:
            log.warning(
                "backup%s goes on again, after %.0f s", f" of {name}" if name else "", time.time() - since
            )
