"""What is asked of the lecture's server, by whoever: done, or refused, and never the server's own error."""

import logging

import pytest

from pylitefs.lecture.show.asking import MAX_NUMBER, Refused, parse_request
from tests.http.hostile import errors, outcomes, requests
from tests.lecture.scripted import live, recorded

ROUTES = {"/": "GET", "/events": "GET", "/recording": "GET", "/do": "POST", "/{}": "GET"}


@pytest.mark.parametrize(("serve", "every"), [(live, 1), (recorded, 5)], ids=["live", "recorded"])
def test_no_request_is_an_error_of_the_server_s(
    serve: object, every: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Every route with odd hosts, headers, queries and bodies: never a 500, never a traceback in the log."""
    with caplog.at_level(logging.ERROR), live() if serve is live else recorded() as found:
        server = found[0] if isinstance(found, tuple) else found
        asked = list(requests(ROUTES, ("token", "x"), token=server.token))[::every]
        seen = list(outcomes(server.port, asked))
        assert next(outcomes(server.port, asked[:1]))[1] in (200, 403), "it still answers"
    assert errors(seen) == []
    assert len(seen) > 400 / every and {200, 400, 403, 404, 405} <= {status for _, status, _ in seen}
    assert [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    ("what", "header", "body"),
    [
        ("a host without its bracket", "Host: [::1", b'{"next":true}'),
        ("an id of 5,000 digits", f"Last-Event-ID: {'9' * 5000}", None),
        ("deep JSON", "X: y", b"[" * 60_000),
        ("half a character", "X: y", b'{"line":"\\ud800"}'),
        ("half a character as a key", "X: y", b'{"\\udc80":1}'),
        ("a number without end", "X: y", b'{"answer":' + b"9" * 4299 + b"}"),
    ],
)
def test_what_is_wrong_gets_its_4xx_and_a_sentence(what: str, header: str, body: bytes | None) -> None:
    with live() as (server, session):
        target = f"{'POST /do' if body else 'GET /events'}?token={server.token}"
        host = "" if header.startswith("Host") else "Host: 127.0.0.1\r\n"
        text = f"{target} HTTP/1.1\r\n{host}{header}\r\nConnection: close\r\n"
        text += f"Content-Length: {len(body or b'')}\r\n\r\n"
        [(_, status, said)] = outcomes(server.port, [(what, text.encode() + (body or b""))])
        assert status == (403 if not host else 400) and '"error"' in said, said
        assert session.asked == []


def test_a_number_has_an_end() -> None:
    assert parse_request(b'{"answer":%d}' % MAX_NUMBER) == ("answer", MAX_NUMBER)
    with pytest.raises(Refused, match="no lesson has so many"):
        parse_request(b'{"answer":%d}' % (MAX_NUMBER + 1))
