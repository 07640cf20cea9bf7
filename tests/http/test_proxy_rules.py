"""What the proxy does with a request: decided by one pure function."""

from datetime import UTC, datetime

import pytest

from pylitefs.http.proxy_rules import Action, Rules, readings, set_cookie, txid_of

RULES = Rules(passthrough=("*.png", "/assets/*"), always_forward=("/admin*",))


@pytest.mark.parametrize(
    ("request_line", "cookies", "expected"),
    [
        ("GET /", "", (Action.READ, 0, False)),
        ("HEAD /", "a=b; __txid=000000000000000a", (Action.READ, 10, False)),
        ("GET /", '__txid="00000000000000ff"', (Action.READ, 255, False)),
        ("POST /", "__txid=000000000000000a", (Action.WRITE, 0, True)),
        ("DELETE /x", "", (Action.WRITE, 0, True)),
        ("OPTIONS /x", "", (Action.WRITE, 0, True)),
        ("GET /litefs/health", "", (Action.HEALTH, 0, False)),
        ("POST /litefs/health", "", (Action.WRITE, 0, True)),
        ("POST /a/b/c.png", "", (Action.PASS, 0, False)),
        ("GET /assets/a/b", "__txid=000000000000000a", (Action.PASS, 0, False)),
        ("GET /admin/users", "__txid=000000000000000a", (Action.WRITE, 0, False)),
        ("POST /admin", "", (Action.WRITE, 0, True)),
    ],
)
def test_a_request_is_routed(request_line: str, cookies: str, expected: tuple[Action, int, bool]) -> None:
    """Passthrough first, then health, then what may write, then always-forward, then reads."""
    method, path = request_line.split()
    route = RULES.route(method, path, cookies)
    assert (route.action, route.txid, route.sets_cookie) == expected
    assert route.reason


def test_a_glob_matches_the_whole_path() -> None:
    """A dot is a dot, and the star stands at any place, also for slashes."""
    rules = Rules(passthrough=("/a.b*c",))
    assert rules.route("POST", "/a.b/x/c").action is Action.PASS
    assert rules.route("POST", "/aXb/x/c").action is Action.WRITE
    assert rules.route("POST", "/a.bc/d").action is Action.WRITE


@pytest.mark.parametrize(
    ("target", "action"),
    [
        ("/%61dmin/users", Action.WRITE),
        ("/admin%2Fusers", Action.WRITE),
        ("/a.%70ng", Action.PASS),
        ("/a.png?q=/x", Action.PASS),
        ("/a?x=.png", Action.READ),
        ("/a%3Fx=.png", Action.PASS),
        ("/a%2570ng", Action.READ),
        ("http://host:80/a.png", Action.PASS),
        ("http://host/litefs/health?x", Action.HEALTH),
        ("/litefs/he%61lth", Action.HEALTH),
        ("http://host.png", Action.READ),
        ("*", Action.READ),
        ("/%ff.png", Action.PASS),
        ("/%zz.png", Action.PASS),
        # Two readings: passed through if both match, forwarded if one does.
        ("/assets/../admin", Action.WRITE),
        ("/assets/%2e%2e/x", Action.READ),
        ("/assets//x", Action.PASS),
        ("//admin/x", Action.WRITE),
        ("/x/../admin", Action.WRITE),
        ("/admin/../x", Action.WRITE),
        ("/admi/./../admin;a=b", Action.WRITE),
        ("/x;.png", Action.READ),
        ("/x.png;v=1", Action.READ),
        ("/assets/x;v=1", Action.PASS),
    ],
)
def test_globs_are_about_what_the_application_sees(target: str, action: Action) -> None:
    """The path without its query, decoded once; where applications differ, what promises the client more."""
    assert RULES.route("GET", target).action is action


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/", ("/", "/")),
        ("/a/b/", ("/a/b/", "/a/b/")),
        ("//a//b", ("//a//b", "/a/b")),
        ("/a/..", ("/a/..", "/")),
        ("/a/b/..", ("/a/b/..", "/a/")),
        ("/../a", ("/../a", "/a")),
        ("/a;x/b;y", ("/a;x/b;y", "/a/b")),
        ("http://h", ("/", "/")),
    ],
)
def test_a_path_has_two_readings(target: str, expected: tuple[str, str]) -> None:
    assert readings(target) == expected


@pytest.mark.parametrize(
    "text", ["", "__txid=", "__txid=xyz", "__txid=12", "x__txid=000000000000000a", "a;b;;"]
)
def test_a_cookie_that_cannot_be_read_is_none(text: str) -> None:
    assert txid_of(text) == 0


def test_the_cookie_is_litefs_s() -> None:
    """Its name, 16 hex digits, the whole site, five minutes, and out of scripts' reach."""
    assert set_cookie(26, datetime(2026, 1, 31, 23, 58, 1, tzinfo=UTC)) == (
        "__txid=000000000000001a; Path=/; Expires=Sun, 01 Feb 2026 00:03:01 GMT; HttpOnly"
    )
