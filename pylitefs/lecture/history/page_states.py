"""How the pages of each node's databases stand: journalled, written, captured, shipped, stored, applied.

The rule: a page lights up when something happens to it, and keeps showing the last thing that did; what a
transaction did that came to nothing is taken back, and a page past the database's end is none.
"""

from collections.abc import Iterable

from pylitefs.lecture.model import Json

Light = tuple[str, str, int, str]

MOST_PAGES = 1000
"""Told one by one for one event; a lecture's databases are smaller."""


class PageStates:
    """The `page/…` keys of the state."""

    def __init__(self) -> None:
        self._shown: dict[tuple[str, str], dict[int, Json]] = {}
        self._open: dict[tuple[str, str], dict[int, Json | None]] = {}
        """What the pages showed before the transaction that is not captured yet."""

    def light(
        self, node: str, database: str, pgnos: Iterable[int], how: str, txid: int
    ) -> tuple[list[Light], Json]:
        """Something happened to these pages: their lights, and the changes of the state."""
        shown = self._shown.setdefault((node, database), {})
        before = self._open.setdefault((node, database), {})
        lights: list[Light] = []
        changes: Json = {}
        for pgno in list(pgnos)[:MOST_PAGES]:
            lights.append((node, database, pgno, how))
            value: Json = {"how": how, "txid": txid}
            if how in ("journalled", "written"):
                before.setdefault(pgno, shown.get(pgno))
            if shown.get(pgno) != value:
                changes[_key(node, database, pgno)] = shown[pgno] = value
        return lights, changes

    def txid(self, node: str, database: str, pgno: int) -> int:
        """Of the transaction that a page shows; 0 for none."""
        found = self._shown.get((node, database), {}).get(pgno)
        return int(found["txid"]) if found else 0

    def captured(self, node: str, database: str) -> None:
        """The open transaction is one for good."""
        self._open.pop((node, database), None)

    def taken_back(self, node: str, database: str) -> Json:
        """The open transaction came to nothing: its pages show what they showed before."""
        shown = self._shown.get((node, database), {})
        changes: Json = {}
        for pgno, value in self._open.pop((node, database), {}).items():
            if value is None:
                shown.pop(pgno, None)
            else:
                shown[pgno] = value
            changes[_key(node, database, pgno)] = value
        return changes

    def cut(self, node: str, database: str, pages: int) -> Json:
        """The database has `pages` pages now."""
        shown = self._shown.get((node, database), {})
        gone = [pgno for pgno in shown if pgno > pages]
        for pgno in gone:
            del shown[pgno]
        return {_key(node, database, pgno): None for pgno in gone}


def _key(node: str, database: str, pgno: int) -> str:
    return f"page/{node}/{database}/{pgno}"
