"""A director whose entries are kept, for tests: `run(lines)` does a lesson's commands one by one."""

from collections.abc import Sequence
from pathlib import Path

from pylitefs.cluster.cluster import is_mounted
from pylitefs.lecture.language.grammar import parse
from pylitefs.lecture.live.director import Director
from pylitefs.lecture.model import Dump, Entry, Json, state_at


class Conducted:
    """A director and all that it has told."""

    def __init__(self, base_dir: Path) -> None:
        self.base_dir = base_dir
        self.entries: list[Entry] = []
        self.dumps: dict[str, Dump] = {}
        self.director = Director(base_dir, self._emit)

    def _emit(self, entry: Entry, dumps: Sequence[Dump]) -> None:
        self.entries.append(entry)
        self.dumps.update({dump.id: dump for dump in dumps})

    def run(self, *lines: str) -> list[Entry]:
        """Do these commands; the entries of the last one."""
        begin = 0
        for line in lines:
            begin = len(self.entries)
            self.director.do(parse(line))
        return self.entries[begin:]

    def events(self, name: str, node: str = "") -> list[Entry]:
        return [one for one in self.entries if one.name == name and node in ("", one.node)]

    @property
    def state(self) -> Json:
        return state_at(self.entries)

    def held(self, node: str) -> list[str]:
        return [one["name"] for one in self.state[f"node/{node}/held"]]

    def mounts(self) -> list[Path]:
        paths = (self.base_dir / f"n{number}" / "mnt" for number in range(1, 6))
        return [path for path in paths if is_mounted(path)]

    def __enter__(self) -> "Conducted":
        return self

    def __exit__(self, *_: object) -> None:
        self.director.close()
        assert not self.mounts()
