"""The invoice application alone, on a plain database: whatever it is asked, it answers."""

import logging
import sys
from importlib import import_module
from pathlib import Path

import pytest
from starlette.types import ASGIApp

from pylitefs import sample
from pylitefs.http.server import HttpServer
from tests.http.hostile import errors, outcomes, requests

ROUTES = {
    "/": "GET",
    "/invoices": "POST",
    "/invoices/new": "GET",
    "/invoices/{}": "GET",
    "/invoices/{}/paid": "POST",
    "/load": "GET",
    "/node": "GET",
    "/pin": "GET",
    "/forget": "GET",
    "/static/{}": "GET",
}


class _Page:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def end_streams(self) -> None:
        """There are none."""


def test_no_request_is_an_error_of_the_page_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every route with odd hosts, headers, queries, cookies and forms: never a 500, never a traceback."""
    monkeypatch.setenv("DATABASE", str(tmp_path / "data.db"))
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "demo" / "app"))
    for name in ("app", "invoices", "node"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    sample.create(tmp_path / "data.db")
    server = HttpServer(_Page(import_module("app").app), ("127.0.0.1", 0))
    with caplog.at_level(logging.ERROR):
        server.start()
        try:
            asked = requests(ROUTES, ("q", "page", "node", "back"))
            seen = list(outcomes(server.port, [one for one in asked if one[0] != "POST /load"]))
        finally:
            assert server.stop()
            for name in ("app", "invoices", "node"):
                sys.modules.pop(name, None)
    assert errors(seen) == []
    assert len(seen) > 1000 and {200, 303, 400, 404, 405} <= {status for _, status, _ in seen}
    assert [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR] == []
