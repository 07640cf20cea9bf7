"""Requests that no browser sends, for every route of a server: no answer is the server's own error.

`requests` makes them as bytes, `outcomes` sends each on a connection of its own and tells the statuses.
"""

import socket
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote

DIGITS = "9" * 5000
DEEP = b'{"a":' * 8000 + b"1" + b"}" * 8000
SURROGATE = b'"\\ud800"'
TEXTS = (
    "",
    "\0",
    "\u0080",
    "\u202e",
    "%",
    "%zz",
    "%ff%fe",
    "%ed%a0%80",
    "..%2f..%2fx",
    "'",
    DIGITS,
    "-1",
    "1e999",
    "x" * 3000,
)
"""Values of a parameter, or of a part of a path. Those with `%` are taken as they stand."""
HOSTS = (
    "[::1",
    "::1]",
    "[",
    "]",
    "[]",
    "[::1]x",
    "[v1.x]",
    "a@127.0.0.1",
    "127.0.0.1:x",
    f"127.0.0.1:{DIGITS}",
)
MORE_HOSTS = ("127.1", "0x7f.1", "localhost.", "LOCALHOST:", "\u00e9", "..", "%00", "x" * 3000, "")
HEADERS = (
    ("Last-Event-ID", DIGITS),
    ("Last-Event-ID", f"{DIGITS}-{DIGITS}"),
    ("Last-Event-ID", "0-999999999"),
    ("Last-Event-ID", "\u00b2-\u00b2"),
    ("Litefs-Id", "\u00ff" * 300),
    ("Litefs-Id", DIGITS),
    ("Origin", "http://[::1"),
    ("Origin", "\u00ff"),
    ("Sec-Fetch-Site", "\u00ff"),
    ("Authorization", "\u00ff"),
    ("Authorization", "Bearer " + "x" * 3000),
    ("Cookie", "pin=\u00ff; __txid=" + DIGITS[:3000]),
    ("Cookie", '=;;="'),
    ("Content-Type", "multipart/form-data; boundary=\u00ff"),
    ("Content-Type", "application/json; charset=nothing"),
    ("Accept-Encoding", "\u00ff"),
    ("Range", "bytes=9-1"),
    ("Range", f"bytes={DIGITS}-"),
    ("If-Modified-Since", "\u00ff"),
    ("If-None-Match", '"\u00ff'),
    ("X-Forwarded-For", "[::1"),
    ("Expect", "100-continue"),
    ("Upgrade", "h2c"),
    ("Transfer-Encoding", "nothing"),
    ("Content-Length", DIGITS),
    ("Content-Length", "-1"),
)
BODIES = (
    b"",
    b"\0",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"[" * 60_000,
    DEEP,
    b"null",
    b"[]",
    b"{}",
    b"NaN",
    b'{"next":' + SURROGATE + b"}",
    b"{" + SURROGATE + b":1}",
    b'{"line":' + SURROGATE + b"}",
    b'{"line":"note \\ud800"}',
    b'{"line":"delay n1 ' + DIGITS.encode() + b's"}',
    b'{"line":"step n1 ' + DIGITS.encode() + b'"}',
    b'{"answer":' + DIGITS.encode() + b"}",
    b'{"answer":' + b"9" * 4299 + b"}",
    b'{"again":-' + b"9" * 4299 + b"}",
    b'{"again":1e999}',
    b"customer=%ff&item=%ed%a0%80&quantity=" + DIGITS.encode(),
    b"quantity=\xc2\xb2&customer=\0",
    b"\0\0\0\xff" * 40,
    b"SQLite format 3\0" + b"\xff" * 500,
)
SECONDS = 20.0


def requests(
    routes: Mapping[str, str], query: Iterable[str] = (), token: str = ""
) -> Iterator[tuple[str, bytes]]:
    """(what it is, its bytes): each route (a path, and its method) with each of the above.

    `{}` in a path, and each parameter of `query`, gets each of TEXTS.
    """
    for path, method in routes.items():
        known = path.replace("{}", "1")
        also = f"?token={token}" if token else "?"
        for name in query:
            for text in TEXTS:
                value = text if text.startswith(("%", "..")) else quote(text)
                yield (
                    f"{method} {path} {name}={text[:20]!r}",
                    _request(method, f"{known}{also}&{name}={value}"),
                )
        for text in TEXTS if "{}" in path else ():
            value = text if text.startswith(("%", "..")) else quote(text)
            yield f"{method} {path} {text[:20]!r}", _request(method, path.replace("{}", value) + also)
        for host in (*HOSTS, *MORE_HOSTS):
            yield f"{method} {path} Host {host[:20]!r}", _request(method, known + also, host=host)
        for header, value in HEADERS:
            yield f"{method} {path} {header} {value[:20]!r}", _request(method, known + also, (header, value))
        for body in BODIES if method == "POST" else BODIES[4:6]:
            yield f"{method} {path} {body[:20]!r}", _request(method, known + also, body=body)
        for other in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE", "X" * 50):
            yield f"{other} {path}", _request(other, known + also)
    for target in (
        "*",
        "//",
        "/..",
        "http://[::1/",
        "/\xff",
        "/a b",
        "/%",
        "/[",
        "a",
        "/" + "x" * 5000,
        "/?token=%ff",
    ):
        yield f"target {target[:20]!r}", _request("GET", target)


def errors(seen: Iterable[tuple[str, int, str]], *known: str) -> list[tuple[str, int, str]]:
    """Those that the server calls its own error. 501 is the answer to a transfer coding that nobody knows."""
    return [
        one for one in seen if one[1] >= 500 and one[1:] != (501, "") and not any(w in one[2] for w in known)
    ]


def _request(
    method: str, target: str, *headers: tuple[str, str], host: str = "127.0.0.1", body: bytes = b""
) -> bytes:
    given = {name.lower() for name, _ in headers}
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close"]
    if "content-length" not in given and "transfer-encoding" not in given:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def outcomes(port: int, asked: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, int, str]]:
    """(what was asked, the status, the answer's beginning); status 0 where the connection was closed."""
    for what, data in asked:
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
            answer = b""
            try:
                connection.sendall(data)
                while b"\r\n\r\n" not in answer or (answer[9:10] in b"45" and len(answer) < 4000):
                    if not (piece := connection.recv(65536)):
                        break
                    answer += piece
            except ConnectionError:
                pass  # It is closed while the rest of a request that was refused is on its way.
            words = answer.split(maxsplit=2)
            text = answer.partition(b"\r\n\r\n")[2].decode("utf-8", "replace")
            yield what, int(words[1]) if len(words) > 1 else 0, text
