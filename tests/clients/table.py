"""The table of docs/clients.md: what its cells say, and what a script's two runs make of them.

    | Python | [sqlite3](../tests/clients/python_sqlite3.py) 3.11.7 * | 3.40.1 * | 5000 | `…` | both | … |

The rule: a cell that a run can tell is compared with the run, the last one is ours. A version with a star is
the machine's, and another machine's may differ.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.clients.rows import ROOT, Row

PAGE = ROOT / "docs" / "clients.md"
MACHINE = " *"

Ran = Mapping[str, Mapping[str, Any]]
"""What a script printed, by journal mode."""


@dataclass(frozen=True)
class Line:
    """One row. `version` and `sqlite` are "" where they are the machine's."""

    script: str
    version: str
    sqlite: str
    timeout: str
    refused: str
    settings: str


_LIBRARY = re.compile(r"\[[^]]+\]\(\.\./tests/clients/([\w.]+)\) (.+)")


def _pinned(version: str) -> str:
    return "" if version.endswith(MACHINE) else version


def lines() -> list[Line]:
    """The table as it is in the docs."""
    rows = [
        line.strip("|").split(" | ") for line in PAGE.read_text().splitlines() if "(../tests/clients/" in line
    ]
    found = []
    for row in rows:
        assert len(row) == 7, f"{PAGE.name}: seven cells a row, not {len(row)}: {row}"
        _, library, sqlite, timeout, refused, settings, _ = (cell.strip() for cell in row)
        match = _LIBRARY.fullmatch(library)
        assert match, f"{PAGE.name}: {library} is not [library](../tests/clients/SCRIPT) VERSION"
        found.append(Line(match[1], _pinned(match[2]), _pinned(sqlite), timeout, refused, settings))
    return found


def versions() -> list[str]:
    """The versions of APSW that the page says were tried."""
    [listed] = re.findall(r"^Tried with: (.*)\.$", PAGE.read_text(), re.MULTILINE)
    return str(listed).split(", ")


def line_of(row: Row, ran: Ran) -> Line:
    """What the runs say the table's line is."""
    wal, delete = ran["wal"], ran["delete"]
    return Line(
        row.script,
        row.version,
        wal["sqlite"] if row.brings_sqlite else "",
        str(wal["timeout"]),
        _refused(wal["refused"], delete["refused"]),
        _settings(ran),
    )


def _refused(wal: str, delete: str) -> str:
    return f"`{wal}`" if wal == delete else f"WAL: `{wal}`; DELETE: `{delete}`"


def _settings(ran: Ran) -> str:
    """Settings that switch to WAL are a write where the database is not in it."""
    works = [mode for mode in ("wal", "delete") if ran[mode]["settings"] == "ok"]
    refused = "attempt to write a readonly database" in ran["delete"]["settings"]
    if works == ["wal", "delete"]:
        return "both"
    if works == ["wal"] and refused:
        return "WAL"
    return "; ".join(f"{mode}: `{ran[mode]['settings']}`" for mode in ("wal", "delete"))
