"""Where `corrupt` flips a bit: of a node's newest file of a kind, in bytes that somebody will look at.

The rule: the file in the data directory is changed as a failing disk would, behind everybody's back.
References: https://www.sqlite.org/fileformat2.html (journal, WAL), docs on LTX in pylitefs/ltx/.
"""

from dataclasses import dataclass
from pathlib import Path

from pylitefs.errors import LessonError
from pylitefs.lecture.model import Json
from pylitefs.sqlite.header import DatabaseHeader
from pylitefs.sqlite.wal import FRAME_HEADER_SIZE, WAL_HEADER_SIZE


@dataclass(frozen=True, slots=True)
class Damage:
    path: Path
    offset: int
    before: int
    after: int
    pgno: int = 0
    """Of the database file: the page that the byte is in."""

    @property
    def facts(self) -> Json:
        """As an entry has them."""
        return {"file": self.path.name, "offset": self.offset, **({"pgno": self.pgno} if self.pgno else {})}

    def __str__(self) -> str:
        return f"byte {self.offset:,} of {self.path.name} was {self.before:#04x} and is {self.after:#04x}"


def corrupt(data_dir: Path, database: str, what: str, offset: int | None = None) -> Damage:
    """Flip one bit. LessonError if there is no such file, or it is too short."""
    path = _path(data_dir / "dbs" / database, what)
    size = path.stat().st_size
    place = _telling_offset(path, what, size) if offset is None else offset
    if place >= size:
        raise LessonError(f"{path} has {size:,} bytes: there is no byte {place:,} to corrupt")
    pgno = place // _page_size(path) + 1 if what == "database" else 0
    with path.open("r+b") as file:
        file.seek(place)
        before = file.read(1)[0]
        file.seek(place)
        file.write(bytes([before ^ 1]))
    return Damage(path, place, before, before ^ 1, pgno)


def _page_size(path: Path) -> int:
    with path.open("rb") as file:
        return DatabaseHeader.parse(file.read(100)).page_size


def _path(folder: Path, what: str) -> Path:
    if what == "ltx":
        files = sorted((folder / "ltx").glob("*.ltx"))
        path = files[-1] if files else folder / "ltx" / "*.ltx"
    else:
        path = folder / what
    if not path.exists():
        raise LessonError(f"there is no {path}: nothing to corrupt")
    return path


def _telling_offset(path: Path, what: str, size: int) -> int:
    """A byte of a page's content: the end of page 2 (or of the only page), which holds the first row; in a
    journal or WAL the first page's middle; in an LTX file the middle."""
    with path.open("rb") as file:
        head = file.read(100)
    if what == "database":
        page_size = DatabaseHeader.parse(head).page_size
        return min(size, 2 * page_size) - 1
    if what == "wal":
        page_size = int.from_bytes(head[8:12], "big")
        return WAL_HEADER_SIZE + FRAME_HEADER_SIZE + page_size // 2
    if what == "journal":
        sector = int.from_bytes(head[20:24], "big") or 512
        page_size = int.from_bytes(head[24:28], "big") or 512
        return sector + 4 + page_size // 2
    return size // 2
