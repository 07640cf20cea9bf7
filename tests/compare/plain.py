"""Two nodes that are plain directories: what a comparison does and sees, without a mount or a process.

SQLite runs in this process, behind the words that a client process answers (`compare/client.py`).
"""

from pathlib import Path
from typing import Any

from pylitefs.compare.client import Session, answer
from pylitefs.compare.nodes import System
from pylitefs.compare.programs import Program
from pylitefs.compare.side import Side
from pylitefs.ltx.encoder import encode
from pylitefs.ltx.header import Header
from tests.ltx.samples import checksum_of, make_page

OURS = Program("pylitefs", ("pylitefs",), "1", is_pylitefs=True)
THEIRS = Program("LiteFS", ("litefs",), "0.5.14", is_pylitefs=False)


class PlainDriver:
    """A client without a process of its own."""

    is_silent = False

    def __init__(self) -> None:
        self.session = Session()

    def ask(self, op: str, seconds: float = 0, **arguments: object) -> dict[str, Any]:
        del seconds
        return answer(getattr(self.session, op), {"op": op, **arguments})


class PlainConnections:
    """Clients by name."""

    def __init__(self, salt: str = "") -> None:
        del salt
        self.drivers: dict[str, PlainDriver] = {}

    def get(self, name: str) -> PlainDriver:
        return self.drivers.setdefault(name, PlainDriver())

    def end(self, name: str, *, kill: bool = False) -> None:
        del kill
        if driver := self.drivers.pop(name, None):
            driver.ask("close")

    def close(self) -> None:
        for name in list(self.drivers):
            self.end(name)


class NoEar:
    """Hears what a test puts into it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.told: list[Any] = []

    def close(self) -> None:
        pass

    def first(self) -> dict[str, object]:
        return {"isPrimary": True}

    def heard(self, database: str) -> list[Any]:
        return [one for one in self.told if one.database == database]

    def pass_over(self, positions: dict[str, int]) -> None:
        self.told = [one for one in self.told if one.txid > positions.get(one.database, 0)]

    def passed(self, database: str) -> int:
        del database
        return 0


def plain_side(monkeypatch: Any, folder: Path, program: Program = OURS) -> Side:
    """A side over a system whose nodes are never started; its mounts are directories."""
    monkeypatch.setattr("pylitefs.compare.side.Connections", PlainConnections)
    monkeypatch.setattr("pylitefs.compare.side.Ear", NoEar)
    system = System(folder, program)
    for node in system.pair:
        node.mount.mkdir(parents=True)
        node.databases_dir.mkdir(parents=True)
    return Side(system)


def ltx_bytes(txid: int, pages: dict[int, bytes] | None = None, **fields: int) -> bytes:
    """An LTX file of two pages, of which `fields` of the header differ."""
    pages = pages or {1: make_page(1), 2: make_page(2, seed=txid)}
    header: dict[str, int] = {
        "flags": 0,
        "page_size": 512,
        "commit": max(pages),
        "min_txid": txid,
        "max_txid": txid,
        "timestamp_ms": 1_700_000_000_000,
        "pre_apply_checksum": 0 if txid == 1 else 1 << 63 | txid - 1,
        "node_id": 7,
    }
    return encode(Header(**header | fields), sorted(pages.items()), checksum_of(pages))


def put_ltx(folder: Path, txid: int, data: bytes) -> Path:
    """Where a node keeps it, below `dbs/DB`."""
    path = folder / "ltx" / f"{txid:016x}-{txid:016x}.ltx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
