"""The API's part in writes on a replica: `/halt` gives and takes back the HALT lock, `/tx` takes its holder's
transactions.

    POST   /halt?name=DB&id=N      the lock, or the same one for its whole time anew
    DELETE /halt?name=DB&id=N      it is given back
    POST   /tx?name=DB&lockID=N    a bare LTX file, made by the holder

The rule: statuses and texts are LiteFS's, where it has one. It takes `/tx` from anybody; here who
does not have the lock gets 409.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import BinaryIO

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from pylitefs.errors import BusyError, DatabaseNotFoundError, HaltError, LtxError, PositionMismatchError
from pylitefs.http.push import RequestFile, while_connected
from pylitefs.ltx.position import Pos
from pylitefs.replication.threads import in_thread
from pylitefs.store.halting import Grant, Halts
from pylitefs.store.names import check_name
from pylitefs.store.privacy import private
from pylitefs.store.store import Store
from pylitefs.store.turns import Patience

_LARGEST_ID = (1 << 63) - 1
_BLOCK = 256 << 10


class HaltApi:
    """The requests of one node."""

    def __init__(self, store: Store, halts: Halts) -> None:
        self._store = store
        self._halts = halts

    async def halt(self, request: Request) -> Response:
        lock_id, name = _lock_id(request), _name(request)
        release = request.method == "DELETE"
        node = self._sender(request, "unhalt" if release else "halt")
        if release:
            await in_thread(lambda: self._halts.release(name, lock_id))
            return Response()
        patience = Patience("a HALT lock", self._halts.acquire_timeout)
        try:
            grant = await while_connected(
                request, patience, lambda: self._halts.acquire(name, lock_id, patience, node)
            )
        except ClientDisconnect:
            # It may be had by now, for nobody.
            await in_thread(lambda: self._halts.release(name, lock_id))
            raise
        except (HaltError, BusyError) as error:
            raise HTTPException(500, f"acquire halt lock: {error}") from None
        return Response(_shown(grant), media_type="text/plain")

    async def tx(self, request: Request) -> Response:
        name = _name(request)
        self._sender(request, "halt")
        if self._store.get(name) is None:
            raise HTTPException(404, f'database not found: "{name}"')
        lock_id = _number(request.query_params.get("lockID", "")) or 0
        try:
            body = RequestFile(request)
            await in_thread(lambda: self._take_in(name, lock_id, body))
        except DatabaseNotFoundError as error:
            raise HTTPException(404, str(error)) from None
        except HaltError as error:
            raise HTTPException(409, str(error)) from None
        except (LtxError, PositionMismatchError) as error:
            raise HTTPException(500, f"write ltx file: {error}") from None
        except (BusyError, OSError) as error:
            raise HTTPException(500, f"cannot apply ltx: {error}") from None
        return Response()

    def _take_in(self, name: str, lock_id: int, body: RequestFile) -> Pos:
        """The whole body first: the lock may end while it comes, and not while it is applied. Who
        has no lock fills no disk."""
        self._halts.check_holder(name, lock_id)
        path = self._store.temp_path(".tx")
        try:
            with open(path, "w+b", opener=private) as file:
                path.unlink()
                while block := body.read(_BLOCK):
                    file.write(block)
                file.seek(0)
                return self._halts.take_in(name, lock_id, _blocks(file))
        finally:
            path.unlink(missing_ok=True)

    def _sender(self, request: Request, what: str) -> str:
        """The node id of who asks, "" if it says none."""
        node = request.headers.get("litefs-id", "").upper()
        if node == self._store.node_id_text:
            raise HTTPException(400, f"cannot remotely {what} self")
        return node


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: file.read(_BLOCK), b"")


def _name(request: Request) -> str:
    name = request.query_params.get("name", "")
    if not name:
        raise HTTPException(400, "name required")
    return check_name(name)


def _lock_id(request: Request) -> int:
    text = request.query_params.get("id", "")
    number = _number(text)
    if number is None:
        raise HTTPException(400, f"invalid id: {json.dumps(text)}")
    return number


def _number(text: str) -> int | None:
    """As Go reads one of 64 bits; None for what is none."""
    found = re.fullmatch(r"([-+]?)0*([0-9]{1,19})", text)
    if found is None or int(found[2]) > _LARGEST_ID:
        return None
    return int(found[1] + found[2])


def _shown(grant: Grant) -> str:
    """As LiteFS writes it: compact JSON and a newline."""
    facts = {
        "id": grant.id,
        "pos": {
            "TXID": f"{grant.pos.txid:016x}",
            "PostApplyChecksum": f"{grant.pos.checksum:016x}",
        },
        "expires": rfc3339(grant.expires),
    }
    return json.dumps(facts, separators=(",", ":")) + "\n"


def rfc3339(ns: int) -> str:
    """A wall-clock time as Go writes it, with as many digits as it needs."""
    seconds, rest = divmod(ns, 10**9)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{rest:09d}".rstrip("0").rstrip(".")
    return f"{text}{fraction}Z"
