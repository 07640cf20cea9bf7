"""The API's part in a change of primary: `/promote`, `/handoff`, and `/candidates`, which is ours.

    POST /promote[?wait=5s]      this node is to be the primary: it asks the primary for a handoff
    POST /handoff?nodeID=HEX     the primary is to hand its lease to a connected replica
    GET  /candidates             where this node is, for others that may become the primary; with
         ?history=DB             also which positions a database has had, for who was the primary before

The rule: statuses and texts are LiteFS's, and who decides anything is the node's `Turnover` (roles/loop.py).
`/promote` answers before the node is the primary, as LiteFS's does; with `wait` (ours) it answers after.
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pylitefs.config.model import parse_duration
from pylitefs.errors import PylitefsError
from pylitefs.ltx.position import Pos
from pylitefs.replication.primary import PrimaryStream
from pylitefs.replication.replica import TERM
from pylitefs.replication.threads import in_thread
from pylitefs.store.names import check_name
from pylitefs.store.store import Store

LOOK_S = 0.005
AGAIN_S = 1.0
LONGEST_WAIT_S = 60.0
MOST_HISTORY = 1000
NOT_CONNECTED = "target node is not currently connected"


class TurnoverError(PylitefsError):
    """The lease cannot change hands; the text is LiteFS's."""


class Turnover(Protocol):
    """What a node with a lease that changes hands can be asked. Both block, and raise TurnoverError."""

    def hand_off(self, node_id: str) -> None:
        """Begin to hand the lease to a connected replica."""

    def promote(self) -> None:
        """Have the primary hand its lease to this node."""

    @property
    def eligible(self) -> bool:
        """Whether this node would take the lease if it were free."""

    def candidates(self) -> Mapping[str, str]:
        """The nodes that may become the primary, as far as this one knows: their URLs by their ids."""


class TurnoverApi:
    """The requests of one node; `turnover` is None with a static lease."""

    def __init__(
        self,
        store: Store,
        lease_type: str,
        turnover: Turnover | None,
        streams: Callable[[], Iterable[PrimaryStream]],
    ) -> None:
        self._store = store
        self._type = lease_type
        self._turnover = turnover
        self._streams = streams

    async def promote(self, request: Request) -> Response:
        status, turnover = self._store.status, self._turnover
        if not status.candidate:
            raise HTTPException(409, "not eligible to become primary")
        try:
            wait = min(parse_duration(request.query_params.get("wait", "0")), LONGEST_WAIT_S)
        except ValueError as error:
            raise HTTPException(400, f"wait: {error}") from None
        if status.is_primary:
            return Response()
        if turnover is None:
            raise HTTPException(501, f"a {self._type} lease cannot be promoted: set lease.candidate")
        clock = asyncio.get_running_loop().time
        deadline, again = clock() + wait, clock()
        while not status.is_primary:
            # Who waits asks again: there may have been no primary just then, or writers in its way.
            if clock() >= again:
                refusal = await self._ask_for_handoff(turnover)
                if clock() >= deadline and refusal:
                    raise HTTPException(500, refusal)
                again = clock() + (LOOK_S if refusal else AGAIN_S)
            if not wait:
                break
            if clock() > deadline:
                raise HTTPException(504, f"not the primary after {wait:g} s: the primary's log says why")
            await asyncio.sleep(LOOK_S)
        return Response()

    async def _ask_for_handoff(self, turnover: Turnover) -> str:
        """Why that was refused; "" if it was not."""
        try:
            await in_thread(turnover.promote)
        except TurnoverError as error:
            return str(error)
        return ""

    async def handoff(self, request: Request) -> Response:
        text, turnover = request.query_params.get("nodeID", ""), self._turnover
        if re.fullmatch(r"0*[0-9A-Fa-f]{1,16}", text) is None:
            raise HTTPException(400, "invalid node id")
        node_id = f"{int(text, 16):016X}"
        if not self._store.status.is_primary:
            raise HTTPException(500, "cannot handoff: node is not currently primary")
        if turnover is None:
            connected = any(one.request.node_id == node_id for one in self._streams())
            why = f"{self._type} lease does not support handoff" if connected else NOT_CONNECTED
            raise HTTPException(500, f"cannot handoff: {why}")
        try:
            await in_thread(lambda: turnover.hand_off(node_id))
        except TurnoverError as error:
            raise HTTPException(500, str(error)) from None
        return Response()

    def stream_headers(self) -> dict[str, str] | None:
        """A replica that has all of this primary's state goes by its number from then on."""
        return {TERM: str(self._store.terms.term)} if self._turnover is not None else None

    async def candidates(self, request: Request) -> Response:
        status, turnover = self._store.status, self._turnover
        known = dict(turnover.candidates()) if turnover is not None else {}
        known |= {one.request.node_id: one.request.url for one in self._streams() if one.request.url}
        facts: dict[str, object] = {
            "id": self._store.node_id_text,
            "clusterID": self._store.cluster_id,
            "isPrimary": status.is_primary,
            "eligible": turnover is not None and turnover.eligible,
            "term": self._store.terms.term,
            "positions": {name: str(pos) for name, pos in self._store.positions().items()},
            "candidates": known,
        }
        if asked := request.query_params.get("history", ""):
            name = check_name(asked)
            facts["history"] = await in_thread(lambda: self._history(name))
        return Response(json.dumps(facts) + "\n", media_type="application/json")

    def _history(self, name: str) -> list[str]:
        database = self._store.get(name)
        if database is None:
            return []
        found = [str(database.pos)]
        for span in database.ltx_files()[-MOST_HISTORY:]:
            if (header := database.ltx_header(*span)) is not None:
                found.append(str(Pos(header.min_txid - 1, header.pre_apply_checksum)))
        return found
