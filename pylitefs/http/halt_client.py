"""A replica asks its primary for the HALT lock, and sends it the transactions that are made with it.

The rule: whoever asks learns whether the primary has answered. What it says is a RemoteError; that nothing
came, although the request may have arrived, is UnsureError. Nothing is asked twice here.
"""

import http.client
import json
import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import IO
from urllib.parse import SplitResult, urlencode, urlsplit

from pylitefs.config.token import authorization
from pylitefs.errors import RemoteError
from pylitefs.ltx.position import Pos
from pylitefs.store.halted import Granted, UnreachableError, UnsureError
from pylitefs.store.status import lease_clock_stands

CONNECT_S = 5.0
RELEASE_S = 5.0
TX_S = 12.0
"""A primary's answer to a transaction is waited for so long."""
KEPT_S = 2.0
"""A connection that was not used for longer may be closed by the other side just now."""
MOST_KEPT = 4


class HaltClient:
    """`PrimaryCalls` of one node, which says who it is by `node_id` and shows `token`."""

    def __init__(self, node_id: str, token: str = "", *, tx_timeout: float = TX_S) -> None:
        self._headers = {"Litefs-Id": node_id, **authorization(token)}
        self._tx_timeout = tx_timeout
        self._lock = threading.Lock()
        self._kept: list[tuple[str, float, http.client.HTTPConnection]] = []

    def acquire(self, url: str, name: str, lock_id: int, timeout: float) -> Granted:
        """`POST /halt`."""
        text = self._ask(url, "POST /halt", {"name": name, "id": lock_id}, timeout=timeout)
        try:
            facts = json.loads(text)
            pos = facts["pos"]
            at = Pos(int(pos["TXID"], 16), int(pos["PostApplyChecksum"], 16))
            return Granted(at, nanoseconds(facts["expires"]))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise RemoteError(f"{url} answers to /halt with something that is no lock") from None

    def release(self, url: str, name: str, lock_id: int) -> None:
        """`DELETE /halt`."""
        self._ask(url, "DELETE /halt", {"name": name, "id": lock_id}, timeout=RELEASE_S)

    def commit(self, url: str, name: str, lock_id: int, ltx: Path) -> None:
        """`POST /tx`."""
        with open(ltx, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            query = {"name": name, "lockID": lock_id}
            self._ask(url, "POST /tx", query, timeout=self._tx_timeout, body=(file, size))

    def close(self) -> None:
        """Close what is kept open."""
        with self._lock:
            kept, self._kept = self._kept, []
        for _, _, connection in kept:
            connection.close()

    def _ask(
        self,
        url: str,
        what: str,
        query: Mapping[str, object],
        *,
        timeout: float,
        body: tuple[IO[bytes], int] | None = None,
    ) -> str:
        method, path = what.split()
        connection = self._take(url) or _connect(url)
        content, size = body if body is not None else (b"", 0)
        try:
            assert connection.sock is not None
            # In a lecture the primary may be held for as long as a class talks.
            connection.sock.settimeout(None if lease_clock_stands() else max(timeout, 0.1))
            headers = {**self._headers, "Content-Length": str(size)}
            connection.request(method, f"{path}?{urlencode(query)}", content, headers)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise UnsureError(f"no answer of {url} to {path}: {error or type(error).__name__}") from None
        if answer.will_close:
            connection.close()
        else:
            self._give_back(url, connection)
        if answer.status != HTTPStatus.OK:
            raise RemoteError(f"{text.strip() or answer.reason} ({answer.status})")
        return text

    def _take(self, url: str) -> http.client.HTTPConnection | None:
        with self._lock:
            now = time.monotonic()
            fresh = [one for one in self._kept if now - one[1] < KEPT_S]
            old = [one for one in self._kept if one not in fresh]
            found = next((one for one in fresh if one[0] == url), None)
            self._kept = [one for one in fresh if one is not found]
        for _, _, connection in old:
            connection.close()
        return found[2] if found is not None else None

    def _give_back(self, url: str, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._kept.append((url, time.monotonic(), connection))
            left = [self._kept.pop(0)[2] for _ in range(len(self._kept) - MOST_KEPT)]
        for one in left:
            one.close()


def _connect(url: str) -> http.client.HTTPConnection:
    """UnreachableError if nobody is there: then nothing has arrived."""
    parts: SplitResult = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(parts.hostname or "", parts.port, timeout=CONNECT_S)
        connection.connect()
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise UnreachableError(f"cannot reach {url}: {error}") from None
    return connection


def nanoseconds(text: str) -> int:
    """A time as Go writes it, since 1970. ValueError for anything else."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    if not text.endswith("Z"):
        with suppress(ValueError):
            return round(datetime.fromisoformat(text).timestamp() * 1e9)
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return seconds * 10**9 + (int(fraction.ljust(9, "0")[:9]) if fraction else 0)
