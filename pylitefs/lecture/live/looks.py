"""`look`: what the lesson points at, checked to be there and told; and the links of its prose.

The rule: nothing is touched. What is pointed at is found by what was shown so far (lecture/looking.py). A
link has to lead somewhere at one stop at least while its passage is read.
"""

from collections.abc import Callable, Mapping, Sequence

from pylitefs.errors import LessonError
from pylitefs.lecture.language import look
from pylitefs.lecture.language.commands import Command
from pylitefs.lecture.language.lesson import Section
from pylitefs.lecture.live.scene import Scene
from pylitefs.lecture.looking import Seen
from pylitefs.lecture.model import Entry


class Looks:
    def __init__(self, scene: Scene, seen: Seen) -> None:
        self._scene = scene
        self._seen = seen
        self.doing: Mapping[type[Command], Callable[..., None]] = {look.Look: self._look}

    def _look(self, command: look.Look) -> None:
        found = self._seen.find(command.target)
        entry = Entry(0, 0.0, "command", "look", command.target.node, text=found.text)
        entry.detail = {"look": str(command.target)}
        self._scene.chronicle.tell(entry, lambda: {"lesson/step": self._scene.chronicle.step})


class Links:
    """Whether each link of a lesson's prose has led somewhere while its passage was read."""

    def __init__(self, sections: Sequence[Section], seen: Seen) -> None:
        self._seen = seen
        self._left = [dict.fromkeys(look.links(section.html), "") for section in sections]

    def stop(self, section: int) -> None:
        """The lesson has stopped in this passage: what leads somewhere now is well."""
        for one in list(self._left[section]):
            try:
                self._seen.find(look.link(one))
            except LessonError as error:
                self._left[section][one] = str(error)
            else:
                del self._left[section][one]

    def check(self, section: int) -> None:
        """The passage is over. Raises LessonError for a link that never led anywhere."""
        for one, why in self._left[section].items():
            raise LessonError(f"the link ({look.SCHEME}{one}) of this passage leads nowhere: {why}")
