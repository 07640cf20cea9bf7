"""When a command has been done: all that follows from it is held, or has ended.

The rule: that is seen, not guessed from silence. No process of the lecture has anything to do
(stillness.py), no link has anything to pass on, no shell has said anything that was not heard; then every
node is asked once more, and had nothing to add.
"""

import time

from pylitefs.cluster.cluster import ClusterNode, is_mounted, node_facts
from pylitefs.errors import LessonError, RemoteError
from pylitefs.lecture.live.links import Link
from pylitefs.lecture.live.scene import Scene
from pylitefs.lecture.live.shells import Shells
from pylitefs.lecture.live.stillness import APART_S, Process, look

SETTLE_S = 10.0
UP_S = 30.0
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.002, 0.02


class Settling:
    def __init__(self, scene: Scene, shells: Shells) -> None:
        self._scene = scene
        self._shells = shells

    def refresh(self) -> None:
        """Hear whatever was said: events, shells' answers, nodes that ended by themselves."""
        scene = self._scene
        scene.chronicle.drain()
        if scene.stage is None:
            return
        self._shells.collect()
        for name in scene.nodes.newly_ended():
            self.node_ended(name, "end", f"{name} ended by itself, {scene.nodes.last_words(name)}")

    def node_ended(self, name: str, how: str, text: str) -> None:
        """A node is down, by whatever it was: its locks, what it held, and its shells are gone."""
        scene = self._scene
        scene.chronicle.drain()
        if scene.nodes.roles[name].is_primary:
            scene.halted_by = ""
        scene.nodes.seen_ended(name)
        scene.holds.forget(name)
        changes = scene.chronicle.historian.node_ended(name)
        scene.tell("fault", how, text, name, changes)
        self._shells.kill(name)

    def settle(self, seconds: float = SETTLE_S) -> None:
        """Return when all is held or quiet. LessonError, saying what is still going on, after `seconds`."""
        deadline = time.monotonic() + seconds
        marks: dict[Link, int] = {}
        pause = _FIRST_PAUSE_S
        while True:
            self._scene.check_open()
            self.refresh()
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
        scene = self._scene
        stage = scene.nodes
        deadline = time.monotonic() + seconds
        while node.pid:
            scene.check_open()
            self.refresh()
            facts = self._facts(node)
            if facts and (facts["ready"] or not stage.should_be_connected(node.name)):
                return True
            if scene.holds and self._is_quiet():
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
        scene = self._scene
        return scene.nodes.processes() + [Process(pid, may_wait=True) for pid in self._shells.all_pids()]

    def _is_quiet(self) -> bool:
        """Whether nothing has been going on for a moment, and nobody has anything to say."""
        scene = self._scene
        processes = self._processes()
        before = look(processes)
        if before is None or not self._is_heard():
            return False
        time.sleep(APART_S)
        if look(processes) != before:
            return False
        count = scene.chronicle.count
        for node in scene.nodes.alive:
            if node.control is not None:
                try:
                    node.control.ping()
                except EOFError:
                    return False
        return self._is_heard() and scene.chronicle.count == count

    def _is_heard(self) -> bool:
        """Whether all that was said is known: events, shells' answers, bytes on links."""
        scene = self._scene
        count = scene.chronicle.count
        self.refresh()
        waits = self._shells.running() and not scene.holds
        return (
            not waits
            and scene.chronicle.count == count
            and all(link.is_idle() for link in scene.nodes.all_links)
        )

    def _has_arrived(self, marks: dict[Link, int]) -> bool:
        """While paused: whether what was under way on slow links when all was quiet first has arrived."""
        if not self._scene.paused:
            return True
        arrived = True
        for link in self._scene.nodes.all_links:
            mark = marks.setdefault(link, link.taken)
            arrived = arrived and link.given >= mark
        return arrived

    def _going_on(self) -> str:
        scene = self._scene
        found = [f"{shell.name} runs {shell.sql!r}" for shell in self._shells.running()]
        for node in scene.nodes.alive:
            if look(p for p in scene.nodes.processes() if p.pid == node.pid) is None:
                found.append(f"{node.name} is busy")
        found += [
            f"the link of {name} is slow" for name, link in scene.nodes.links.items() if not link.is_idle()
        ]
        return (", ".join(found) or "something that ends soon") + f"; held: {scene.holds.told()}"
