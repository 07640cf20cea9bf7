"""What two programs asked of a lease service is the same in order and form, however often the clock asked."""

from pylitefs.compare.lease_log import Request, sessions_of, told, without_repeats, without_timed
from tests.golden import consul

RENEW = "PUT /v1/session/renew/S"


def asked(node: str, request: str, body: str = "", answer: str = "", status: int = 200) -> Request:
    method, _, path = request.partition(" ")
    return Request(node, method, path, "", body, status, answer)


def test_a_session_is_told_by_who_made_it_and_what_must_differ_has_a_name() -> None:
    requests = [
        asked("n1", "PUT /v1/session/create", "{}\n", '{"ID": "f00"}'),
        asked("n1", "PUT /v1/kv/k?acquire=f00", '{"advertise-url":"http://127.0.0.1:4711"}', "true"),
        asked("n1", "PUT /v1/kv/k/clusterid", "LFSC28D30B5E16551872", "true"),
        asked("n2", "PUT /v1/session/renew/f00", status=404),
        asked("n2", "PUT /v1/kv/k?acquire=f00", "", "false\n"),
    ]
    assert [one.is_acquired for one in requests] == [False, True, False, False, False]
    assert told(requests, sessions_of(requests)) == {
        "n1": [
            "PUT /v1/session/create {}",
            'PUT /v1/kv/k?acquire=SESSION {"advertise-url":"http://HOST:PORT"} -> true',
            "PUT /v1/kv/k/clusterid CLUSTER-ID",
        ],
        "n2": ["PUT /v1/session/renew/n1's-SESSION -> 404", "PUT /v1/kv/k?acquire=n1's-SESSION -> false"],
    }


def test_a_renewal_counts_where_it_is_part_of_a_handoff() -> None:
    """One that the clock made may be there or not: at the end, and before the lease is given back."""
    assert without_timed([RENEW, RENEW, "GET /id", RENEW]) == [RENEW, "GET /id"]
    assert without_timed([RENEW, "PUT /v1/kv/k?release=S -> true"]) == ["PUT /v1/kv/k?release=S -> true"]
    assert without_timed([RENEW, "PUT /v1/catalog/register {}"]) == ["PUT /v1/catalog/register {}"]
    assert without_timed(["GET /id", RENEW, "PUT /v1/kv/k?acquire=S -> true"])[1] == RENEW


def test_a_round_that_is_asked_again_stands_there_once() -> None:
    look, refused = ["GET /id", "GET /k"], ["GET /id", "GET /k", "PUT /c", "PUT /a -> false"]
    assert without_repeats([*look * 5, *refused * 3, *look, "PUT /c", "PUT /a -> true"]) == [
        *look,
        "PUT /c",
        "PUT /a -> false",
        *look,
        "PUT /c",
        "PUT /a -> true",
    ]
    assert without_repeats(["a", "b", "c"]) == ["a", "b", "c"]


def test_what_real_nodes_asked_in_twenty_seconds_becomes_short() -> None:
    """The recording does not say which node it was. Of all renewals the handoff's round is left."""
    requests = [
        Request("n1", one.method, one.path, "", one.body.decode(), one.status, one.answer.decode())
        for one in consul.requests()
    ]
    lines = told(requests, sessions_of(requests))["n1"]
    assert sum("/renew/" in one.path for one in requests) > 10
    assert [line.partition("renew/")[2] for line in lines if "/renew/" in line] == ["SESSION"]
    assert [line.rpartition(" ")[2] for line in lines if "?acquire=" in line] == ["true"] * 3
