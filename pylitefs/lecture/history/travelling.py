"""Frames between nodes: the same frame has the same id where it is sent and where it is received.

The rule: of equal frames (same nodes, database, TXID and kind) the one sent first is received first. The
sender's event and the receiver's may come in either order.
"""

from collections import defaultdict, deque

_Route = tuple[str, str, str, int, str]


class Travelling:
    """Frames that one end has told of and the other has not."""

    def __init__(self) -> None:
        self._count: defaultdict[_Route, int] = defaultdict(int)
        self._waiting: defaultdict[tuple[_Route, str], deque[str]] = defaultdict(deque)

    def seen(self, phase: str, ends: tuple[str, str], database: str, txid: int, kind: str) -> str:
        """The id of a frame that was sent or received (`phase`: send, receive); `ends`: sender, receiver."""
        route = (*ends, database, txid, kind.partition(":")[0])
        other = "receive" if phase == "send" else "send"
        waiting = self._waiting[route, other]
        if waiting:
            return waiting.popleft()
        self._count[route] += 1
        number = self._count[route]
        what = " ".join(part for part in (database, f"{txid}" if txid else "", route[4]) if part)
        name = f"{ends[0]}>{ends[1]} {what}" + (f" #{number}" if number > 1 else "")
        self._waiting[route, phase].append(name)
        return name

    def sender_of(self, receiver: str, database: str, txid: int, kind: str) -> str:
        """Who sent what `receiver` received, where the event does not say; "" if nobody is known to have."""
        wanted = (receiver, database, txid, kind.partition(":")[0])
        found = {
            route[0]
            for (route, phase), ids in self._waiting.items()
            if phase == "send" and ids and route[1:] == wanted
        }
        return found.pop() if len(found) == 1 else ""

    def lost(self, node: str, peer: str) -> None:
        """The connection between the two is another: what is under way does not arrive."""
        for (route, _), ids in self._waiting.items():
            if {route[0], route[1]} == {node, peer}:
                ids.clear()
