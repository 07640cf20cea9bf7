"""From the bytes that came with an event to the dumps that are shown with it."""

from pylitefs.lecture.model import Dump, Json
from pylitefs.lecture.raw_events import RawItem


class Dumps:
    """Keeps the last dump for each key."""

    def of_event(self, node: str, event: Json, items: list[RawItem], frame: Json | None = None) -> list[Dump]:
        return []

    def forget(self, node: str) -> None:
        pass
