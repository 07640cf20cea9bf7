"""The requests to Consul, beside those of real LiteFS."""

import base64
import json
from collections.abc import Callable

import pytest

from pylitefs.config.model import ConsulConfig
from pylitefs.errors import ConfigError
from pylitefs.lease import consul_calls
from pylitefs.lease.base import LeaseError, LeaseExpiredError, PrimaryInfo
from pylitefs.lease.consul_calls import Call, ConsulCalls, go_duration
from tests.golden import consul

CONFIG = ConsulConfig(url="http://anybody:tok3n@127.0.0.1:8500/pre/fix", key="litefs/primary", ttl=4.0)
A = PrimaryInfo("host-a", "http://127.0.0.1:20202")
B = PrimaryInfo("host-b", "http://127.0.0.1:20203")
CALL = Call("GET", "/v1/x")


def test_each_recorded_request_is_one_of_ours_byte_for_byte() -> None:
    """Method, path, query, headers and body of all that two real nodes asked, in a start, renewals, a
    handoff and two stops."""
    recorded = list(consul.requests())
    assert len(recorded) == 38
    made: set[tuple[str, str, bytes, str]] = set()
    sessions = {json.loads(one.answer)["ID"] for one in recorded if one.path == "/v1/session/create"}
    for me in (A, B):
        calls = ConsulCalls(CONFIG, me)
        assert calls.headers == {"X-Consul-Token": "tok3n"} and calls.base_url == "http://127.0.0.1:8500"
        ours = [calls.register(), calls.create_session(), calls.get_primary(), calls.get_cluster_id()]
        ours.append(calls.put_cluster_id("LFSC28D30B5E16551872"))
        for session in sessions:
            ours += [calls.acquire(session), calls.renew(session)]
            ours += [calls.release(session), calls.destroy(session)]
        made |= {(one.method, one.path, one.body, one.content_type) for one in ours if one is not None}
    for one in recorded:
        assert one.headers["X-Consul-Token"] == "tok3n"
        asked = (one.method, one.path, one.body, one.headers.get("Content-Type", ""))
        assert asked in made, one


def test_without_a_path_in_the_url_nothing_is_registered_and_a_session_names_no_node() -> None:
    """As real LiteFS: the prefix is the URL's path."""
    calls = ConsulCalls(ConsulConfig(url="http://h:8500", key="/a//b/"), A)
    assert calls.register() is None and calls.get_primary().path == "/v1/kv/a/b"
    assert b"Node" in calls.create_session().body and b'"Node":' not in calls.create_session().body
    assert b'"TTL":"10s"' in calls.create_session().body


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(10, "10s"), (60, "1m0s"), (1.5, "1.5s"), (0.5, "500ms"), (3661, "1h1m1s"), (3600, "1h0m0s"), (0, "0s")],
)
def test_durations_are_go_s(seconds: float, text: str) -> None:
    """As `time.Duration` prints itself."""
    assert go_duration(seconds) == text


@pytest.mark.parametrize(
    ("url", "key"), [("", "k"), ("consul:8500", "k"), ("ftp://h", "k"), ("http://h", "")]
)
def test_a_url_that_names_no_consul_is_refused(url: str, key: str) -> None:
    """With what to write."""
    with pytest.raises(ConfigError, match="write url"):
        ConsulCalls(ConsulConfig(url=url, key=key), A)


def test_who_the_primary_is() -> None:
    """No key and an empty key are no primary; else it is who the value names."""
    value = base64.b64encode(b'{"hostname":"host-a","advertise-url":"http://127.0.0.1:20202"}').decode()
    full = json.dumps([{"Key": "k", "Value": value}]).encode()
    assert consul_calls.value_of(CALL, 404, b"") is None
    assert consul_calls.value_of(CALL, 200, b'[{"Key": "k", "Value": null}]') is None
    assert consul_calls.primary_of(consul_calls.value_of(CALL, 200, full)) == A
    with pytest.raises(LeaseError, match=r"lease\.consul\.key"):
        consul_calls.primary_of(b"another program's")


def test_what_a_renewal_says() -> None:
    """One session is good, with the TTL that it tells; none, and 404, is the end; all else is not known."""
    assert consul_calls.ttl_left(CALL, 200, b'[{"ID": "x", "TTL": "4s"}]', 10.0) == 4.0
    assert consul_calls.ttl_left(CALL, 200, b'[{"ID": "x", "TTL": "15s"}]', 10.0) == 10.0
    for status, body in ((404, b"Session id 'x' not found"), (200, b"[]")):
        with pytest.raises(LeaseExpiredError):
            consul_calls.ttl_left(CALL, status, body, 10.0)
    for status, body in ((500, b"no leader"), (200, b"true"), (200, b"<html>"), (200, b'[{"TTL": "x"}]')):
        with pytest.raises(LeaseError) as caught:
            consul_calls.ttl_left(CALL, status, body, 10.0)
        assert not isinstance(caught.value, LeaseExpiredError)


def test_an_acquisition_is_had_or_not_or_not_known() -> None:
    """`true` and `false`; an error is no `false`."""
    assert consul_calls.is_true(CALL, 200, b"true\n") and not consul_calls.is_true(CALL, 200, b"false")
    with pytest.raises(LeaseError, match="500 invalid session"):
        consul_calls.is_true(CALL, 500, b"invalid session")
    with pytest.raises(LeaseError, match="without a session's ID"):
        consul_calls.session_id(CALL, 200, b"{}")
    for body in (b"no json", b"[]", b'[{"Value": 7}]', b'[{"Value": "%"}]'):
        with pytest.raises(LeaseError):
            consul_calls.value_of(CALL, 200, body)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_an_answer_that_is_nested_without_an_end_is_no_answer(text: str) -> None:
    """Python gives up on such JSON with an error of its own."""
    body = text.encode()
    asked: list[Callable[[], object]] = [
        lambda: consul_calls.session_id(CALL, 200, body),
        lambda: consul_calls.ttl_left(CALL, 200, body, 10.0),
        lambda: consul_calls.value_of(CALL, 200, body),
        lambda: consul_calls.primary_of(body),
    ]
    for ask in asked:
        with pytest.raises(LeaseError):
            ask()
    assert consul_calls.index_of(200, body, "7") == 0
