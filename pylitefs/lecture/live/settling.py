"""When a command has been done: all that follows from it is held, or has ended.

The rule: that is seen, not guessed from silence. No process of the lecture has anything to do
(stillness.py), no link has anything to pass on, no shell has said anything that was not heard; then every
node is asked once more, and had nothing to add.
"""

import time
from typing import TYPE_CHECKING

from pylitefs.cluster.cluster import ClusterNode, is_mounted, node_facts
from pylitefs.errors import LessonError, RemoteError
from pylitefs.lecture.live.links import Link
from pylitefs.lecture.live.stillness import APART_S, Process, look

if TYPE_CHECKING:
    from pylitefs.lecture.live.director import Director

SETTLE_S = 10.0
UP_S = 30.0
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.002, 0.02


class Settling:
    def __init__(self, director: "Director") -> None:
        self._director = director

    def settle(self, seconds: float = SETTLE_S) -> None:
        """Return when all is held or quiet. LessonError, saying what is still going on, after `seconds`."""
        deadline = time.monotonic() + seconds
        marks: dict[Link, int] = {}
        pause = _FIRST_PAUSE_S
        while True:
            self._director.check_open()
            self._director.refresh()
            if self._is_quiet() and self._has_arrived(marks):
                return
            if time.monotonic() > deadline:
                raise LessonError(f"after {seconds:g} s it still goes on: {self._going_on()}")
            time.sleep(pause)
            pause = min(pause * 1.3, _LAST_PAUSE_S)

    def wait_up(self, node: ClusterNode, seconds: float = UP_S) -> bool:
        """Wait until a node that was started serves, is held on the way, or has ended; whether it serves.

        A replica that can reach its primary has also caught up with it once, where nothing is held.
        """
        director = self._director
        stage = director.nodes
        deadline = time.monotonic() + seconds
        while node.pid:
            director.check_open()
            director.refresh()
            facts = self._facts(node)
            if facts and (facts["ready"] or not stage.should_be_connected(node.name)):
                return True
            if director.holds and self._is_quiet():
                return bool(facts)
            if time.monotonic() > deadline:
                raise LessonError(f"{node.name} is not up after {seconds:g} s:\n{node.log_tail()}")
            time.sleep(0.01)
        return False

    @staticmethod
    def _facts(node: ClusterNode) -> dict[str, object]:
        if not is_mounted(node.mount):
            return {}
        try:
            return node_facts(node.url, 1.0)
        except RemoteError:
            return {}

    def _processes(self) -> list[Process]:
        director = self._director
        return director.nodes.processes() + [
            Process(pid, may_wait=True) for pid in director.shells.all_pids()
        ]

    def _is_quiet(self) -> bool:
        """Whether nothing has been going on for a moment, and nobody has anything to say."""
        director = self._director
        processes = self._processes()
        before = look(processes)
        if before is None or not self._is_heard():
            return False
        time.sleep(APART_S)
        if look(processes) != before:
            return False
        count = director.chronicle.count
        for node in director.nodes.alive:
            if node.control is not None:
                try:
                    node.control.ping()
                except EOFError:
                    return False
        return self._is_heard() and director.chronicle.count == count

    def _is_heard(self) -> bool:
        """Whether all that was said is known: events, shells' answers, bytes on links."""
        director = self._director
        count = director.chronicle.count
        director.refresh()
        waits = director.shells.running() and not director.holds
        return (
            not waits
            and director.chronicle.count == count
            and all(link.is_idle() for link in director.nodes.links.values())
        )

    def _has_arrived(self, marks: dict[Link, int]) -> bool:
        """While paused: whether what was under way on slow links when all was quiet first has arrived."""
        if not self._director.paused:
            return True
        arrived = True
        for link in self._director.nodes.links.values():
            mark = marks.setdefault(link, link.taken)
            arrived = arrived and link.given >= mark
        return arrived

    def _going_on(self) -> str:
        director = self._director
        found = [f"{shell.name} runs {shell.sql!r}" for shell in director.shells.running()]
        for node in director.nodes.alive:
            if look(p for p in director.nodes.processes() if p.pid == node.pid) is None:
                found.append(f"{node.name} is busy")
        found += [
            f"the link of {name} is slow" for name, link in director.nodes.links.items() if not link.is_idle()
        ]
        return (", ".join(found) or "something that ends soon") + f"; held: {director.holds.told()}"
