"""A node's door, on real nodes: web pages in a real browser, and a cluster with a token."""

import http.server
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pylitefs.cli.main import run
from pylitefs.cluster.cluster import Cluster
from pylitefs.config.token import VARIABLE
from tests.conftest import ClusterFactory
from tests.lecture.browsing import chromium

pytestmark = pytest.mark.fuse

TOKEN = "0123456789-of-the-test"
PAGE = b"""<!doctype html><title>evil</title>
<form id=form method=post enctype=text/plain target=frame><input name=SQLite value=3></form>
<iframe name=frame></iframe>"""


def execute(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db, db:
        return db.execute(sql).fetchall()


class _Evil(http.server.BaseHTTPRequestHandler):
    """A web page of somebody else's, at every path, and the database that it wants to put in place."""

    database = b""

    def do_GET(self) -> None:
        body = self.database if self.path == "/evil.db" else PAGE
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """There is nothing to say."""


@contextmanager
def evil_site(database: bytes) -> Iterator[int]:
    """Its port on 127.0.0.1."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Evil", (_Evil,), {"database": database}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.browser
def test_a_web_page_gets_nothing_and_changes_nothing(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    """It sends a database as every page may, by fetch and by a form: from another name, from another port of
    the same name, and from a name that was rebound to this machine."""
    node = cluster_factory(replicas=0).primary
    execute(node.database("app.db"), "CREATE TABLE t AS SELECT 'kept' AS x")
    before = node.positions()
    execute(tmp_path / "evil.db", "CREATE TABLE t AS SELECT 'evil' AS x")
    target = f"{node.url}/import?name=app.db"
    with (
        evil_site((tmp_path / "evil.db").read_bytes()) as port,
        chromium("--host-resolver-rules=MAP evil.test 127.0.0.1") as browser,
    ):
        page = browser.new_page()
        answers: list[int] = []
        page.on("response", lambda answer: answers.append(answer.status) if answer.url == target else None)
        for site in (f"http://localhost:{port}", f"http://127.0.0.1:{port}", f"http://evil.test:{port}"):
            page.goto(site)
            page.evaluate(
                """async url => {
                    const body = await (await fetch("/evil.db")).arrayBuffer();
                    await fetch(url, {method: "POST", mode: "no-cors", body});
                }""",
                target,
            )
            page.evaluate("url => { form.action = url; form.submit(); }", target)
            page.frame_locator("iframe").get_by_text("web page of").wait_for()
        assert answers == [403] * 6
        answer = page.goto(f"http://evil.test:{node.port}/export?name=app.db")
        assert answer is not None and answer.status == 421
        answer = page.goto(f"http://localhost:{node.port}/info")
        assert answer is not None and answer.status == 200, "but a person may look"
    assert node.positions() == before
    assert execute(node.database("app.db"), "SELECT x FROM t") == [("kept",)]
    log = node.log.read_text()
    assert log.count("POST '/import' from 127.0.0.1:") == 1 and "GET '/export' from 127.0.0.1:" in log


def test_a_cluster_with_a_token_works_for_those_who_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Replica, `status`, `export`, `import`; and nobody else. A node that others reach does not warn then."""
    monkeypatch.setenv(VARIABLE, TOKEN)
    settings: dict[str, dict[str, object]] = {"n2": {}}
    cluster = Cluster(tmp_path / "c", 1, node_settings=settings)
    settings["n2"]["http"] = {"addr": f":{cluster.replicas[0].port}"}
    with cluster:
        primary, replica = cluster.primary, cluster.replicas[0]
        execute(primary.database("a.db"), "CREATE TABLE t AS SELECT 1 AS x")
        cluster.wait_synced()
        copy = tmp_path / "copy.db"
        assert run(["export", "-name", "a.db", "-url", replica.url, str(copy)]) == 0
        assert run(["import", "-name", "b.db", "-url", primary.url, str(copy)]) == 0
        cluster.wait_synced()
        assert run(["status", "--dir", str(cluster.base_dir)]) == 0
        monkeypatch.delenv(VARIABLE)
        capsys.readouterr()
        for arguments in (["export", "-name", "a.db"], ["import", "-name", "a.db"]):
            assert run([*arguments, "-url", primary.url, str(copy)]) == 1
            assert f"set {VARIABLE}" in capsys.readouterr().err
        assert run(["status", "--dir", str(cluster.base_dir)]) == 1
        assert f"set {VARIABLE}" in capsys.readouterr().err
        monkeypatch.setenv(VARIABLE, TOKEN)
        assert "can read and replace every database" not in replica.log.read_text()
        assert TOKEN not in primary.log.read_text() + replica.log.read_text()


def test_a_node_that_others_reach_warns_once_without_a_token(tmp_path: Path) -> None:
    """And says what to do."""
    settings: dict[str, dict[str, object]] = {"n1": {}}
    cluster = Cluster(tmp_path / "c", 0, node_settings=settings)
    settings["n1"]["http"] = {"addr": f"0.0.0.0:{cluster.primary.port}"}
    with cluster:
        log = cluster.primary.log.read_text()
    assert log.count("level=WARNING") == 1 and log.count("set http.token") == 1
    assert f"127.0.0.1:{cluster.primary.port}" in log
