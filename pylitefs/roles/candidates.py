"""Who else may become the primary, and whether one of them has newer data: then it goes first.

A replica that may become primary tells its primary where its API is. The primary tells everybody who asks
(`GET /candidates`). So each candidate knows the others, remembers them (`DATA/candidates.json`), and asks
them before it takes a free lease. The rule: newer is who followed the newer primary to its end, by its
number; of those, who has more transactions. Who cannot be reached, cannot reach the lease service, or is busy
with an older transaction stops nobody. Real LiteFS asks nobody (`lease.newest-first: false` is the same).
"""

import json
import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

import httpx

from pylitefs.config.token import authorization
from pylitefs.errors import LtxError
from pylitefs.ltx.position import Pos
from pylitefs.store.files import write_durably
from pylitefs.store.store import Store

log = logging.getLogger("pylitefs")

NAME = "candidates.json"
CONNECT_S, ANSWER_S = 0.5, 2.0
"""So long a candidate is waited for: the cluster has no primary meanwhile. A host that is there connects at
once. A busy node may be slow to answer, and its transactions are worth the wait."""
WHOLE_S = 5.0
MOST_BYTES = 16 << 20
"""Of one answer, however slowly it comes: it must not hold up the election."""
LEARN_S = 5.0
MOST = 32


@dataclass(frozen=True, slots=True)
class Standing:
    """How new a node's data is."""

    term: int
    """The number of the newest primary whose state it had in full."""
    transactions: int

    def is_older_than(self, other: "Standing") -> bool:
        return (self.term, self.transactions) < (other.term, other.transactions)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node says of itself to a candidate."""

    id: str
    cluster_id: str
    eligible: bool
    is_primary: bool
    standing: Standing
    candidates: Mapping[str, str]


def total(positions: Mapping[str, Pos]) -> int:
    """All databases' transactions."""
    return sum(pos.txid for pos in positions.values())


def read_answer(text: str) -> Answer:
    """Raises ValueError for what no node of ours says."""
    try:
        facts = json.loads(text)
        return Answer(
            str(facts["id"]),
            str(facts["clusterID"] or ""),
            bool(facts["eligible"]),
            bool(facts["isPrimary"]),
            Standing(int(facts["term"]), sum(Pos.parse(pos).txid for pos in facts["positions"].values())),
            {str(id): str(url) for id, url in facts["candidates"].items()},
        )
    except (LtxError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"no candidate's answer: {error!r}") from None


class Candidates:
    """Of one node, whose own URL is `own_url`; `token` is shown to the others."""

    def __init__(self, store: Store, own_url: str, *, token: str = "") -> None:
        self._store = store
        self._own_url = own_url.rstrip("/")
        self._headers = dict(authorization(token))
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        self._told = ""

    def load(self) -> None:
        """Remember who was known before the node's start."""
        try:
            found = json.loads((self._store.data_dir / NAME).read_text())
            self._known = {str(url): str(id) for url, id in found.items()}
        except FileNotFoundError:
            pass
        except (ValueError, AttributeError) as error:
            log.warning("%s is not what a node wrote (%s): it is written anew", NAME, error)

    def known(self) -> dict[str, str]:
        """Their URLs, each with the id it had last."""
        with self._lock:
            return dict(self._known)

    def note(self, found: Mapping[str, str]) -> None:
        """Others (URL by id) are candidates, too."""
        with self._lock:
            before = dict(self._known)
            for id, url in found.items():
                if url and url.rstrip("/") != self._own_url:
                    self._known.pop(url.rstrip("/"), None)
                    self._known[url.rstrip("/")] = id
            while len(self._known) > MOST:
                del self._known[next(iter(self._known))]
            if self._known.keys() == before.keys():
                return
            text = json.dumps(self._known)
        try:
            write_durably(self._store.data_dir / NAME, text.encode())
        except OSError as error:
            self._store.disk.note(error)

    def _get(self, url: str, **params: str) -> tuple[int, str]:
        """Status and text. httpx.HTTPError also for an answer without an end."""
        ends = time.monotonic() + WHOLE_S
        body = bytearray()
        with httpx.stream(
            "GET",
            f"{url}/candidates",
            params=params,
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            trust_env=False,
            verify=url.startswith("https:"),
            headers=self._headers,
        ) as said:
            for chunk in said.iter_bytes():
                body += chunk
                if len(body) > MOST_BYTES or time.monotonic() > ends:
                    raise httpx.ReadTimeout(f"{url} answers without an end")
            return said.status_code, body.decode("utf-8", "replace")

    def ask(self, url: str) -> Answer | None:
        """What the node at this URL says; None if there is none, or it is none of ours."""
        try:
            return read_answer(self._get(url)[1])
        except (httpx.HTTPError, httpx.InvalidURL, ValueError):
            return None

    def history(self, url: str, name: str) -> dict[int, int]:
        """The positions that a database of the node at this URL has had: checksums by TXID; {}: it says
        none."""
        try:
            _, said = self._get(url, history=name)
            positions = [Pos.parse(text) for text in json.loads(said)["history"]]
        except (httpx.HTTPError, httpx.InvalidURL):
            return {}
        except (LtxError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}
            return {}
        return {pos.txid: pos.checksum for pos in positions}

    def learn(self, url: str) -> bool:
        """Ask the primary who else is a candidate. False only where it has said that it knows of no such
        question, as real LiteFS does; what was not heard says nothing about it."""
        try:
            status, said = self._get(url)
            if status == HTTPStatus.NOT_FOUND:
                return False
            answer = read_answer(said)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError):
            return True
        if answer.is_primary:
            self.note({answer.id: url, **answer.candidates})
        return True

    def standing(self) -> Standing:
        """This node's."""
        return Standing(self._store.terms.term, total(self._store.positions()))

    def newer(self) -> str:
        """The URL of a candidate that is reachable and has newer data; "" if there is none."""
        urls = list(self.known())
        if not urls:
            return ""
        with ThreadPoolExecutor(len(urls)) as pool:
            answers = list(pool.map(partial(self.ask), urls))
        own, cluster = self.standing(), self._store.cluster_id or ""
        for url, answer in zip(urls, answers, strict=True):
            if answer is None or not answer.eligible or answer.id == self._store.node_id_text:
                continue
            if answer.cluster_id in {cluster, ""} and own.is_older_than(answer.standing):
                return url
        return ""
