"""What followers get of a lecture: what has been shown, and not a word of what is to come.

    header, entries, dumps --> Audience --> lines

The rule: a lesson's file has its answers in it, so nothing of it goes out as it is. The header is made of
known fields alone: the prose of a passage is sent once the lecture has come to it, a command once it is
done, and of a question's command only the question. Its answer comes with the entry that shows it. So
whoever reads all that comes over the network learns no answer before the class. No path of the lecturer's
machine goes along either.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from pylitefs.lecture.model import Dump, Entry, Json, to_line
from pylitefs.lecture.recording import without_mounts
from pylitefs.lecture.show.entry_lines import EntryLines

TO_COME = "…"


class Audience:
    """One lecture's lines for those who follow it; an entry numbered 0 begins it anew.

    `hidden` is a folder whose path must not get out: it becomes "…".
    """

    def __init__(self, head: Json, hidden: Path | None = None) -> None:
        self._head = head
        self._hidden = json.dumps(str(hidden), ensure_ascii=False)[1:-1] if hidden else ""
        self._begin()

    def _begin(self) -> None:
        self._entry_lines = EntryLines()
        self._steps = 0
        """So many of the lesson's commands are shown."""
        self._sections = 0

    def opening(self) -> list[str]:
        """The first lines: a header with room for what is to come, and the first passage."""
        head = self._head
        empty = {
            **{key: head[key] for key in ("pylitefs", "format", "lesson", "title", "summary")},
            "sections": [{"heading": "", "html": ""} for _ in head["sections"]],
            "steps": [
                {"index": step["index"], "text": TO_COME, "section": step["section"]}
                for step in head["steps"]
            ],
        }
        return self._texts([empty, self._shown(-1)])

    def lines(self, entry: Entry, dumps: Sequence[Dump]) -> list[str]:
        """One entry's lines; of entry 0 the first lines before."""
        before: list[str] = []
        if entry.seq == 0:
            self._begin()
            before = self.opening()
        found: list[Json] = []
        told = entry.set.get("lesson/step")
        done = max(entry.step, -1 if told is None else told)
        if done >= self._steps:
            found.append(self._shown(done))
        found += [without_mounts(line) for line in self._entry_lines.of(entry, dumps)]
        return before + self._texts(found)

    def _shown(self, done: int) -> Json:
        """What the lesson's text has more, now that command `done` is done."""
        head = self._head
        steps = head["steps"][self._steps : done + 1]
        at = head["steps"][max(done, 0)]["section"] if head["steps"] else 0
        sections = head["sections"][self._sections : at + 1]
        first_section = self._sections
        self._steps = max(self._steps, done + 1)
        self._sections = max(self._sections, at + 1)
        return {
            "shown": {
                "steps": [[step["index"], _command(step["text"])] for step in steps],
                "sections": [
                    [number, section["heading"], section["html"]]
                    for number, section in enumerate(sections, first_section)
                ],
            }
        }

    def _texts(self, lines: Sequence[Json]) -> list[str]:
        texts = [to_line(line) for line in lines]
        return [text.replace(self._hidden, "…") for text in texts] if self._hidden else texts


def _command(text: str) -> str:
    """A command that is done; of a question only the question."""
    return text.split("\n", 1)[0] if text.split(None, 1)[:1] == ["ask"] else text
