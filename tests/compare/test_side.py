"""What each kind of step does on a system, and what is read of it: on plain directories."""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pylitefs.compare import side as module
from pylitefs.compare.nodes import ProgramNode
from pylitefs.compare.probes import PROBES
from pylitefs.compare.side import Side, digest, txid_of
from pylitefs.compare.workload import VERBS, Step, parse
from pylitefs.errors import PylitefsError, RemoteError
from tests.compare.plain import ltx_bytes, plain_side, put_ltx


@pytest.fixture
def side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Side]:
    one = plain_side(monkeypatch, tmp_path)
    one.begin("w")
    yield one
    one.close()


def step(text: str) -> Step:
    return parse("w", f"# T.\n[open z z.db]\n{text}").steps[-1]


def said(side: Side, text: str) -> object:
    """A step's answer without its times."""
    answer = side.perform(step(text))
    assert answer.pop("began") <= answer.pop("ended")
    return answer


def test_every_verb_can_be_done(side: Side) -> None:
    for verb in ("sql", *VERBS):
        assert hasattr(side, f"_do_{verb}"), verb


def test_sql_runs_on_the_node_that_the_connection_was_opened_on(side: Side) -> None:
    assert said(side, "[open a one.db]") == {"rows": []}
    said(side, "a: CREATE TABLE t(x)")
    said(side, "a: INSERT INTO t VALUES (7)")
    assert said(side, "a: SELECT x FROM t") == {"rows": [[7]]}
    assert said(side, "a: nonsense") == {"error": 'SQLITE_ERROR: near "nonsense": syntax error'}
    assert (side.primary.mount / "one.db").exists() and not (side.replica.mount / "one.db").exists()
    said(side, "[open r two.db on the replica]")
    said(side, "r: CREATE TABLE t(x)")
    assert (side.replica.mount / "two.db").exists()
    said(side, "[close a]")
    assert said(side, "a: SELECT 1") == {"error": "the database could not be opened"}
    assert said(side, "[kill r]") == {"text": "killed"}


def test_files_come_from_outside_into_the_primary_s_mount(side: Side) -> None:
    said(side, "[open s seed.db outside]")
    said(side, "s: CREATE TABLE t(x)")
    said(side, "[close s]")
    assert said(side, "[copy seed.db to copy.db]") == {"rows": []}
    assert (side.primary.mount / "copy.db").read_bytes()[:15] == b"SQLite format 3"
    said(side, "[touch empty.db]")
    assert (side.primary.mount / "empty.db").exists()
    said(side, "[drop empty.db]")
    assert said(side, "[drop empty.db]") == {"error": "ENOENT"}


def test_attached_is_another_database_of_the_primary(side: Side) -> None:
    said(side, "[open a one.db]")
    assert said(side, "[attach a two.db]") == {"rows": []}
    said(side, "a: CREATE TABLE other.t(x)")
    assert (side.primary.mount / "two.db").stat().st_size


def test_a_node_that_does_not_start_again_is_an_answer(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def restart(number: int) -> None:
        asked.append(number)
        if number:
            raise PylitefsError("it is gone\nand this is its log")

    monkeypatch.setattr(side.system, "restart", restart)
    assert said(side, "[restart primary]") == {"text": "restarted"}
    assert said(side, "[restart replica]") == {"error": "does not start again: it is gone"}
    assert asked == [0, 1]


def test_a_node_that_does_not_answer_is_an_answer_too(side: Side) -> None:
    """Its ports are free: nobody listens."""
    assert said(side, "[http GET /info on the replica]") == {"text": "ConnectError"}
    assert side.export("a.db", "primary") == "ConnectError"


def test_http_answers_are_compared_without_ids_and_ports(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    def request(method: str, url: str, **options: object) -> httpx.Response:
        text = json.dumps({"b": "LFSC0123456789ABCDEF", "a": f"{side.primary.url} 0123456789ABCDEF"})
        assert (method, url) == ("GET", f"{side.primary.url}/info")
        return httpx.Response(
            200, headers={"content-type": "application/json; x", "Litefs-Id": "1"}, text=text
        )

    monkeypatch.setattr(httpx, "request", request)
    answer = said(side, "[http GET /info on the primary]")
    shown = '{"a": "http://HOST:PORT ID", "b": "LFSCID"}'
    assert answer == {"text": f"200 application/json ['litefs-id'] {shown}"}


def test_an_export_is_its_size_and_digest_or_the_refusal(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [httpx.Response(200, content=b"abc"), httpx.Response(404, text="database not found\n")]
    monkeypatch.setattr(httpx, "get", lambda url, **options: answers.pop(0))
    assert side.export("a.db", "replica") == digest(b"abc")
    assert side.export("a.db", "replica") == "404 database not found"


def test_a_position_is_what_the_file_beside_the_database_says(side: Side) -> None:
    (side.replica.mount / "a.db-pos").write_text("0000000000000002/8000000000000abc\n")
    assert side.position("a.db", "replica") == "0000000000000002/8000000000000abc"
    assert side.position("a.db") == "ENOENT"
    assert said(side, "[position a.db]") == {"text": "ENOENT"}


def test_an_ltx_file_is_new_once(side: Side) -> None:
    folder = side.primary.databases_dir / "a.db"
    for txid in (1, 2):
        put_ltx(folder, txid, ltx_bytes(txid))
    assert [one.header.max_txid for one in side.new_ltx("a.db")] == [1, 2]
    assert side.new_ltx("a.db") == []
    put_ltx(folder, 3, ltx_bytes(3))
    (folder / "ltx" / "something.ltx").touch()
    assert [one.header.max_txid for one in side.new_ltx("a.db")] == [3]


def test_one_waits_for_retention_with_an_end(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0)
    for node in side.system.pair:
        put_ltx(node.databases_dir / "a.db", 1, ltx_bytes(1))
    name = f"{1:016x}-{1:016x}.ltx"
    assert said(side, "[reaped a.db]") == {"text": f"left: {[[name], [name]]}"}
    put_ltx(side.replica.databases_dir / "a.db", 2, ltx_bytes(2))
    assert "0002.ltx" in str(said(side, "[reaped a.db]"))


def test_a_database_goes_in_and_out_by_pylitefs_s_own_commands(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From each node out, into the primary in; what a command complains of is compared without the port."""
    asked: list[list[str]] = []
    complaints: list[str] = []

    def run(command: list[str], **options: object) -> "subprocess.CompletedProcess[str]":
        asked.append(command[command.index("pylitefs") + 1 :])
        if "export" in command and not complaints:
            Path(command[-1]).write_bytes(b"abc")
        said = complaints.pop() if complaints else ""
        return subprocess.CompletedProcess(command, int(bool(said)), "", said)

    monkeypatch.setattr(subprocess, "run", run)
    assert said(side, "[export a.db]") == {
        "text": f"primary: {digest(b'abc')}; replica: {digest(b'abc')}",
    }
    assert said(side, "[import seed.db as a.db]") == {"text": "imported"}
    assert [(words[0], words[4]) for words in asked] == [
        ("export", side.primary.url),
        ("export", side.replica.url),
        ("import", side.primary.url),
    ]
    complaints.append(f"pylitefs: cannot reach {side.primary.url}: refused\n")
    assert said(side, "[import seed.db as a.db]") == {"error": "pylitefs: cannot reach URL: refused"}


def test_every_probe_is_made_on_the_replica_and_then_on_the_primary(side: Side) -> None:
    """The last one on the primary drops the database, and the replica would have none."""
    answer = side.perform(step("[probe a.db]"))["parts"]
    assert len(answer) == 2 * len(PROBES)
    assert next(iter(answer)).endswith(" on the replica") and list(answer)[-1].endswith(" on the primary")
    assert answer["unlink a name that is not there on the replica"] == "ENOENT"


def test_what_a_node_logged_since_then_is_told(side: Side) -> None:
    side.primary.log.write_bytes(b"before\n")
    places = side.log_places()
    side.primary.log.write_bytes(b"before\nafter\n")
    side.replica.log.write_bytes(b"new\n")
    assert side.log_since(places) == {"primary": "after\n", "replica": "new\n"}
    assert side.has_ended() == ["the primary has ended", "the replica has ended"], "they never started"


def test_a_path_may_name_a_node_by_its_id(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one that it had; zeros where it never told one."""
    ids = {"n2": "00000000000000AB"}

    def node_id(node: ProgramNode) -> str:
        if node.name not in ids:
            raise RemoteError("it does not run")
        return ids[node.name]

    monkeypatch.setattr(ProgramNode, "node_id", node_id)
    assert side._path("/handoff?nodeID={n2}") == "/handoff?nodeID=00000000000000AB"
    ids.clear()
    assert side._path("/{n2}/{n1}") == "/00000000000000AB/0000000000000000"


def test_a_position_s_number() -> None:
    assert [txid_of(text) for text in ("000000000000001f/8", "ENOENT", "x/y", "")] == [31, 0, 0, 0]


def test_a_digest_tells_two_files_of_one_size_apart() -> None:
    assert digest(b"abc") == f"3 bytes {hashlib.sha256(b'abc').hexdigest()[:16]}"
    assert digest(b"abc") != digest(b"abd")
