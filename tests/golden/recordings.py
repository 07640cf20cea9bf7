"""The golden recordings of real LiteFS: where they are, and what their manifests say."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
FLAVOURS = ("plain", "lz4")
FORMATS = DATA / "formats"
"""Small files that versions of the real library wrote, each the same pages in another format."""
REPLICA = DATA / "litestream" / "replica"
"""A replica directory of Litestream 0.5.17: levels 0, 1, 2, 9; a commit that grows, a VACUUM that shrinks."""


@dataclass(frozen=True)
class RecordedDatabase:
    """One database of one recording."""

    flavour: str
    name: str
    manifest: dict[str, Any]

    @property
    def dir(self) -> Path:
        return DATA / self.flavour / self.name

    @property
    def ltx_paths(self) -> list[Path]:
        """Its LTX files, oldest first."""
        return [self.dir / "ltx" / one["file"] for one in self.manifest["ltx"]]

    @property
    def export(self) -> bytes:
        """The database after the last file; b"" for the one that was dropped."""
        path = self.dir / "export.db"
        return path.read_bytes() if path.exists() else b""

    def __str__(self) -> str:
        return f"{self.flavour}/{self.name}"


def recorded_databases() -> list[RecordedDatabase]:
    """Every database of both recordings."""
    return [
        RecordedDatabase(flavour, name, manifest)
        for flavour in FLAVOURS
        for name, manifest in json.loads((DATA / flavour / "manifest.json").read_text()).items()
    ]


def recorded_files() -> list[tuple[Path, dict[str, Any]]]:
    """Every LTX file with its entry in the manifest."""
    return [
        (path, entry)
        for database in recorded_databases()
        for path, entry in zip(database.ltx_paths, database.manifest["ltx"], strict=True)
    ]


def recorded_formats() -> list[Path]:
    """Names in FORMATS: FORMAT-(sums|bare)-(snapshot|transaction).ltx."""
    return [Path(path.name) for path in sorted(FORMATS.glob("*.ltx"))]


def recorded_restores() -> dict[int, tuple[str, int]]:
    """What real Litestream restored of REPLICA at each TXID: SHA-256 and size."""
    lines = (DATA / "litestream" / "restored.sha256").read_text().splitlines()
    return {int(txid, 16): (digest, int(size)) for txid, digest, size in map(str.split, lines)}
