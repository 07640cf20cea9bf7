"""The shells of a lecture by node and name, and those that only look (the `expect` of a lesson).

The rule: what a shell says becomes an entry once, when it is heard. Who only looks is no part of the
history: it takes no step and is never held.
"""

from collections.abc import Callable

from pylitefs.cluster.cluster import ClusterNode
from pylitefs.lecture.live.clients import Answer, Shell
from pylitefs.lecture.live.nodes import DATABASE
from pylitefs.lecture.live.scene import Scene
from pylitefs.lecture.model import Json

FIRST = "a"
"""The name of a node's first shell: `sql n1 …` and `sql n1/a …` are the same."""
YOURS = "you"
"""The shell of who types beside the lesson. Its locks are not looked at, as a terminal's are not: it reads
while the nodes are paused, and is held where it writes."""
LOOK_S = 2.0
_SHOWN = 400


class Shells:
    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._shells: dict[tuple[str, str], Shell] = {}
        self._observers: dict[str, Shell] = {}
        self._gone: dict[tuple[str, str], Shell] = {}
        """Shells that ended with their nodes, for what they said last."""
        self._ended: list[Shell] = []
        self._names: dict[int, str] = {}

    # What lessons type into

    def get(self, node: ClusterNode, connection: str = "") -> Shell:
        """A node's shell of that name; a new one is made ready as the cluster was asked for."""
        key = (node.name, connection or FIRST)
        shell = self._shells.get(key)
        if shell is None:
            shell = Shell("/".join(key), node.database(DATABASE))
            self._shells[key] = shell
            self._names[shell.pid] = shell.name
            shell.setup = self._setup(node.name)
            if connection != YOURS:
                self._scene.typists[shell.pid] = node.name
                if self._scene.paused:
                    self._scene.hold_by_mode()
        return shell

    def begin(self, shell: Shell, statement: str, verb: str = "sql", **more: object) -> None:
        """Type a statement, or have the shell do something else of which it says this; and tell of it."""
        shell.check_free()
        key, node = self._key(shell)
        shown = {"sql": statement, "state": "running", "result": "", "pid": shell.pid}
        self._scene.tell("command", verb, f"{shell.name}> {statement}", node, {key: shown})
        shell.begin(statement, **more)

    def _setup(self, node: str) -> str:
        made = self._scene.nodes.made
        found = [f"PRAGMA page_size={made.page_size}"]
        if made.journal_mode != "delete" and self._scene.nodes.roles[node].is_primary:
            found.append(f"PRAGMA journal_mode={made.journal_mode}")
        return "; ".join(found)

    def _key(self, shell: Shell) -> tuple[str, str]:
        """The state's key of a shell, and its node."""
        return f"sql/{shell.name}", shell.name.partition("/")[0]

    def find(self, node: str, connection: str = "") -> Shell | None:
        """A shell, also one that ended with its node."""
        key = (node, connection or FIRST)
        return self._shells.get(key) or self._gone.get(key)

    def running(self) -> list[Shell]:
        return [shell for shell in self._shells.values() if shell.is_running]

    def failed(self) -> list[Shell]:
        """Those whose last statement failed, where no `expect` has said that it should."""
        return [one for one in self._shells.values() if one.state == "error" and not one.is_failure_expected]

    def collect(self) -> None:
        """Hear what shells have said, and tell of it."""
        for shell in list(self._shells.values()):
            if shell.collect():
                self._tell_end(shell)

    def _tell_end(self, shell: Shell) -> None:
        key, node = self._key(shell)
        result = shell.result
        shown = result if len(result) <= _SHOWN else f"{result[:_SHOWN]} …"
        changes: Json = {key: {"sql": shell.sql, "state": shell.state, "result": shown, "pid": shell.pid}}
        self._scene.tell("sql", shell.state, f"{shell.name}: {_outcome(shell, shown)}", node, changes)

    def all_pids(self) -> list[int]:
        return [shell.pid for shell in (*self._shells.values(), *self._observers.values())]

    def name_of_pid(self, pid: int) -> str | None:
        return self._names.get(pid)

    # Those that only look

    def look(self, node: ClusterNode, hear: Callable[[], None], **request: object) -> Answer | None:
        """What a statement gives on a connection of its own; None if it does not come back soon.

        `hear` is called while it is waited for, so that nothing that others say is held up.
        """
        shell = self._observers.get(node.name)
        if shell is None:
            shell = self._observers[node.name] = Shell(f"{node.name}/look", node.database(DATABASE))
            self._scene.observers.add(shell.pid)
        shell.begin(str(request.pop("sql", "")), fresh=True, **request)
        answer = shell.wait(LOOK_S, hear)
        if answer is None:
            # It hangs in a mount where a name is held: another one does the next look.
            shell.kill()
            self._ended.append(self._observers.pop(node.name))
        return answer

    # Ends

    def kill(self, node: str = "") -> None:
        """End the shells on a node (or all) at once; their statements fail."""
        for shells in (self._shells, {(name, ""): one for name, one in self._observers.items()}):
            for key in [key for key in shells if node in ("", key[0])]:
                shell = shells[key]
                ran = shell.is_running
                shell.kill(f"{key[0]} ended, and this shell with it")
                if ran and shells is self._shells and self._scene.stage is not None:
                    self._tell_end(shell)
                self._ended.append(shell)
        for (name, _), shell in self._shells.items():
            if node in ("", name):
                self._scene.typists.pop(shell.pid, None)
        self._gone |= {key: one for key, one in self._shells.items() if node in ("", key[0])}
        self._shells = {key: one for key, one in self._shells.items() if node not in ("", key[0])}
        self._observers = {name: one for name, one in self._observers.items() if node not in ("", name)}
        self._reap()

    def forget(self) -> None:
        """A new cluster: nobody asks what the old one's shells said."""
        self.kill()
        self._gone.clear()
        self._names.clear()

    def tell_to_end(self) -> None:
        for shell in (*self._shells.values(), *self._observers.values()):
            shell.tell_to_end()

    def close(self) -> None:
        """End all; by force if need be."""
        self.tell_to_end()
        for shell in (*self._shells.values(), *self._observers.values(), *self._ended):
            shell.close()
        self._shells.clear()
        self._observers.clear()
        self._ended.clear()

    def _reap(self) -> None:
        self._ended = [shell for shell in self._ended if not shell.has_ended()]


def _outcome(shell: Shell, result: str) -> str:
    answer = shell.answer or {}
    if "error" in answer:
        return f"error: {result}"
    if result:
        return result
    changes = answer.get("changes", 0)
    return f"done, {changes} row{'' if changes == 1 else 's'} changed" if changes else "done"
