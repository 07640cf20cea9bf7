"""When this node was the primary: what it has to remember of that beyond its own life.

    DATA/terms.json      {"primary": true, "term": 7, "ids": ["0123456789ABCDEF"],
                          "handed": {"my.db": "TXID/CHECKSUM"}}

`term` is the number of the newest primary whose state this node had in full: each primary has a higher one.
`ids` are the node ids under which it made transactions; `handed` is where each database was when another node
took over all of it; `primary` says whether what lies there is from when this node was the primary, and was
not recovered since. The rule: what is noted is durable before the node takes its first write. Real LiteFS
does not look at the file.
"""

import json
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path

from pylitefs.ltx.position import Pos
from pylitefs.store.files import write_durably

log = logging.getLogger("pylitefs")

NAME = "terms.json"
MOST_IDS = 100


class Terms:
    """Of one node. Without `load` nothing is kept on disk."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._ids: list[str] = []
        self.term = 0
        self.was_primary = False
        """Whether what lies in the data directory is from when this node was the primary."""
        self.handed: dict[str, Pos] = {}
        """Where each database was when all of it was handed over."""
        self.history: Callable[[str], Mapping[int, int]] = lambda database: {}
        """Which positions of a database the new primary knows: checksums by TXID; {} where it does not
        tell."""

    def load(self, data_dir: Path) -> None:
        """Read what the lives before this one noted, and note there from now on."""
        self._path = data_dir / NAME
        try:
            saved = json.loads(self._path.read_text())
            self._ids = [str(one) for one in saved["ids"]]
            self.was_primary = bool(saved["primary"])
            self.term = int(saved["term"])
            self.handed = {str(name): Pos.parse(pos) for name, pos in saved["handed"].items()}
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s is not what a node wrote (%s): it is written anew", self._path, error)

    def is_own(self, node_id: int) -> bool:
        """Whether a transaction with this node id was made here, as the primary."""
        return f"{node_id:016X}" in self._ids

    def begin(self, node_id: int, index: int = 0) -> None:
        """This node is about to be the primary; `index` is higher than every primary's number before."""
        self.term = max(self.term + 1, index)
        self._add(node_id)
        self.was_primary = True
        self._save()

    def recovering(self, node_id: int) -> None:
        """What lies there is about to be recovered: what is captured of it now, was made as the primary."""
        if self.was_primary:
            self._add(node_id)
            self._save()

    def _add(self, node_id: int) -> None:
        text = f"{node_id:016X}"
        self._ids = [*(one for one in self._ids if one != text), text][-MOST_IDS:]

    def end(self, handed: dict[str, Pos] | None = None) -> None:
        """It is the primary no longer; `handed`: another has everything up to these positions."""
        self.was_primary = False
        if handed is not None:
            self.handed = dict(handed)
        self._save()

    def recovered(self, set_aside: Collection[str]) -> None:
        """What was there when this node was the primary is recovered as that. What comes now, comes over a
        stream, and is recovered as a replica's; what is set aside, was not recovered yet."""
        if self.was_primary and not set_aside:
            with suppress(OSError):  # Then it is noted by the next role.
                self.end()

    def follow(self, term: int) -> None:
        """This node has the whole state of the primary with this number."""
        if term != self.term:
            self.term = term
            self._save()

    def _save(self) -> None:
        if self._path is not None:
            handed = {name: str(pos) for name, pos in self.handed.items()}
            saved = {"primary": self.was_primary, "term": self.term, "ids": self._ids, "handed": handed}
            write_durably(self._path, json.dumps(saved).encode())
