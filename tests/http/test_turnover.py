"""`/promote`, `/handoff` and `/candidates`: LiteFS's answers, and ours."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from pylitefs.http.app import Api
from pylitefs.http.server import HttpServer
from pylitefs.http.turnover import TurnoverApi, TurnoverError
from pylitefs.lease.static import StaticLease
from pylitefs.store.store import Store
from tests.golden.recordings import DATA
from tests.replication.stores import CLUSTER, Writer, opened


class Asked:
    """A node's `Turnover` that does what the test says."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.error = ""
        self.handed: list[str] = []
        self.becomes_primary = True
        self.eligible = True

    def hand_off(self, node_id: str) -> None:
        if self.error:
            raise TurnoverError(self.error)
        self.handed.append(node_id)

    def promote(self) -> None:
        if self.error:
            raise TurnoverError(self.error)
        self.store.status.is_primary = self.becomes_primary

    def candidates(self) -> Mapping[str, str]:
        return {"AA": "http://a:1"}


@contextmanager
def asked(store: Store) -> Iterator[tuple[Asked, httpx.Client]]:
    turnover = Asked(store)
    api = Api(store, StaticLease(True, "me", "http://me:1"), turnover=turnover)
    server = HttpServer(api, ("127.0.0.1", 0))
    server.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as http:
            yield turnover, http
    finally:
        server.stop()


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "replica") as store:
        store.status.candidate = True
        yield store


def said(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.text


def test_a_handoff_s_answers_are_litefs_s(replica: Store) -> None:
    """The texts are in the recording of the real one."""
    recorded = (DATA / "cluster" / "cluster-answers.txt").read_text()
    with asked(replica) as (turnover, http):
        answers = [http.post("/handoff"), http.post("/handoff?nodeID=zz"), http.post("/handoff?nodeID=AB")]
        assert [one.status_code for one in answers] == [400, 400, 500]
        replica.status.is_primary = True
        turnover.error = "cannot handoff: target node is not currently connected"
        answers.append(http.post("/handoff?nodeID=AB"))
        assert answers[-1].status_code == 500
        for one in answers:
            assert one.text in recorded
        turnover.error = ""
        assert said(http.post("/handoff?nodeID=ab")) == (200, "") and turnover.handed == ["00000000000000AB"]


def test_a_static_lease_is_handed_to_nobody_and_says_so_as_litefs_does(replica: Store) -> None:
    """That of a node which is not connected is said first."""
    replica.status.is_primary = True
    stream = SimpleNamespace(request=SimpleNamespace(node_id="00000000000000AB"))
    api = TurnoverApi(replica, "static", None, lambda: [stream])  # type: ignore[list-item]
    for asked, text in (
        ("ab", "cannot handoff: static lease does not support handoff"),
        ("0000000000000000AB", "cannot handoff: static lease does not support handoff"),
        ("ac", "cannot handoff: target node is not currently connected"),
    ):
        request = Request({"type": "http", "query_string": f"nodeID={asked}".encode()})
        with pytest.raises(HTTPException) as refused:
            asyncio.run(api.handoff(request))
        assert (refused.value.status_code, refused.value.detail) == (500, text)


def test_a_promotion_answers_at_once_or_waits(replica: Store) -> None:
    """Real LiteFS answers before the node is the primary. With `wait` the answer comes after it, or says that
    it is none."""
    with asked(replica) as (turnover, http):
        turnover.becomes_primary = False
        assert said(http.post("/promote")) == (200, "")
        assert http.post("/promote?wait=20ms").status_code == 504
        assert http.post("/promote?wait=soon").status_code == 400
        turnover.error = "no primary is currently available for handoff, cannot promote"
        assert said(http.post("/promote")) == (500, f"{turnover.error}\n")
        turnover.error, turnover.becomes_primary = "", True
        assert said(http.post("/promote?wait=5s")) == (200, "") and replica.status.is_primary
        turnover.error = "not asked any more"
        assert said(http.post("/promote")) == (200, "")
        replica.status.candidate = False
        assert said(http.post("/promote")) == (409, "not eligible to become primary\n")


def test_a_node_tells_candidates_where_it_is(replica: Store) -> None:
    """Its number, positions, the others it knows, and which positions a database has had."""
    writer = Writer(replica)
    positions = [writer.commit({1: 1}), writer.commit({1: 2})]
    replica.terms.follow(4)
    with asked(replica) as (_, http):
        facts = http.get("/candidates").json()
        assert facts == {
            "id": replica.node_id_text,
            "clusterID": CLUSTER,
            "isPrimary": False,
            "eligible": True,
            "term": 4,
            "positions": {"made.db": str(positions[1])},
            "candidates": {"AA": "http://a:1"},
        }
        history = http.get("/candidates?history=made.db").json()["history"]
        assert set(map(str, positions)) <= set(history)
        assert http.get("/candidates?history=none.db").json()["history"] == []
        assert http.get("/candidates?history=../x").status_code == 400
