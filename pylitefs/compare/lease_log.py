"""What each candidate asked of the lease service, so that two programs' requests can be held side by side.

    n1  PUT /v1/session/create application/json {"Behavior":"delete",…}
    n1  PUT /v1/kv/…?acquire=SESSION application/octet-stream {"hostname":"n1",…} -> true

The rule: order and form are compared, and not how often the clock made a node ask. So what must differ gets a
name (a session, a port, the cluster's id); a question that is asked again and again stands there once; and a
renewal counts where it is part of a handoff.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

LONGEST_CYCLE = 8
"""So many requests a node makes in a round, at most, before it begins anew."""
_RENEW = "PUT /v1/session/renew/"
_TIMED_BEFORE = ("/v1/catalog/register", "?release=")


@dataclass(frozen=True, slots=True)
class Request:
    """One request and its answer. `node` is who asked."""

    node: str
    method: str
    path: str
    """With its query."""
    content_type: str
    body: str
    status: int
    answer: str

    @property
    def is_acquired(self) -> bool:
        """Whether it made the key the session's."""
        return "?acquire=" in self.path and "true" in self.answer


def sessions_of(requests: Iterable[Request]) -> dict[str, str]:
    """Who made each session, by its id."""
    found = {}
    for one in requests:
        if one.path == "/v1/session/create" and (made := re.search(r'"ID": ?"([^"]+)"', one.answer)):
            found[made[1]] = one.node
    return found


def told(requests: Sequence[Request], sessions: Mapping[str, str]) -> dict[str, list[str]]:
    """Each node's requests in their order, a line each; `sessions` says who made which."""
    found: dict[str, list[str]] = {}
    for one in requests:
        found.setdefault(one.node, []).append(_line(one, sessions))
    return {node: without_repeats(without_timed(lines)) for node, lines in sorted(found.items())}


def _line(request: Request, sessions: Mapping[str, str]) -> str:
    parts = [request.method, request.path, request.content_type, request.body.strip()]
    text = " ".join(part for part in parts if part)
    for id, maker in sessions.items():
        text = text.replace(id, "SESSION" if maker == request.node else f"{maker}'s-SESSION")
    text = re.sub(r"127\.0\.0\.1:\d+", "HOST:PORT", text)
    text = re.sub(r"LFSC[0-9A-F]{16}", "CLUSTER-ID", text)
    if "?acquire=" in request.path or "?release=" in request.path:
        return f"{text} -> {request.answer.strip()}"
    failed = request.method == "PUT" and request.status != 200
    return f"{text} -> {request.status}" if failed else text


def without_timed(lines: Sequence[str]) -> list[str]:
    """Renewals in a row become one. One that the clock made goes: it is the last word, or before an end."""
    found: list[str] = []
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        renews = line.startswith(_RENEW)
        if renews and (after == line or not after or any(mark in after for mark in _TIMED_BEFORE)):
            continue
        found.append(line)
    return found


def without_repeats(lines: Sequence[str]) -> list[str]:
    """A round that is asked again at once stands there once."""
    found: list[str] = []
    for line in lines:
        found.append(line)
        for size in range(1, LONGEST_CYCLE + 1):
            if len(found) >= 2 * size and found[-size:] == found[-2 * size : -size]:
                del found[-size:]
                break
    return found
