"""`pylitefs status`: every node, what is behind, what is not served."""

import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from pylitefs.child_python import python_module
from pylitefs.cli.main import run
from pylitefs.cli.nodes import NodeReport, ReplicaBehind
from pylitefs.cli.status import page, table
from pylitefs.config.token import VARIABLE
from pylitefs.http.client import DatabaseFacts
from pylitefs.ltx.position import Pos
from tests.cli.test_transfer import execute
from tests.conftest import ClusterFactory
from tests.replication.stores import opened, serving

Output = pytest.CaptureFixture[str]


@pytest.mark.fuse
def test_status_shows_every_node_and_database(cluster_factory: ClusterFactory, capsys: Output) -> None:
    cluster = cluster_factory(replicas=1)
    for name in ("a.db", "b.db"):
        execute(cluster.primary.database(name), "CREATE TABLE t (x)")
    cluster.wait_synced()
    position = cluster.primary.database("a.db-pos").read_text().strip()
    assert run(["status", "--dir", str(cluster.base_dir)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["node", "role", "lag", "database", "pages", "position", "(TXID/checksum)"]
    assert lines[1] == ["n1", "primary", "a.db", "2", position]
    assert lines[2][:2] == ["b.db", "2"]
    assert lines[3][:2] == ["n2", "replica"] and lines[3][3:] == ["ms", "a.db", "2", position]
    assert run(["status", "-url", cluster.primary.url, "-url", f"{cluster.replicas[0].url}/"]) == 0
    assert f"127.0.0.1:{cluster.primary.port}" in capsys.readouterr().out
    assert run(["status", "-config", str(cluster.replicas[0].config)]) == 0
    words = capsys.readouterr().out.split()
    assert "n1" in words and "primary" in words and "replica" in words
    cluster.replicas[0].stop()
    assert run(["status", "--dir", str(cluster.base_dir)]) == 1
    captured = capsys.readouterr()
    assert "n2    unreachable" in captured.out
    assert captured.err.startswith(f"n2: {cluster.replicas[0].url}: ")


@pytest.mark.fuse
@pytest.mark.parametrize("terminal", [False, True])
def test_status_watches_until_ctrl_c(cluster_factory: ClusterFactory, terminal: bool) -> None:
    cluster = cluster_factory(replicas=0)
    reader, writer = pty.openpty() if terminal else os.pipe()
    command = python_module("pylitefs", "status", "--watch", "--dir", str(cluster.base_dir))
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "PYTHONUNBUFFERED": "1"}
    watching = subprocess.Popen(command, stdout=writer, env=environment, process_group=0)
    os.close(writer)
    shown = b""
    while shown.count(b"primary") < 2:
        shown += os.read(reader, 4096)
    assert b"(none)" in shown and b"Traceback" not in shown
    execute(cluster.primary.database("a.db"), "CREATE TABLE t (x)")
    while b"0000000000000001/" not in shown:
        shown += os.read(reader, 4096)
    watching.send_signal(signal.SIGINT)
    assert watching.wait(10) == 0
    os.close(reader)


def test_status_shows_the_token_of_the_config_file(tmp_path: Path, capsys: Output) -> None:
    """Of the node whose config it is."""
    with (
        opened(tmp_path / "data", primary=True) as store,
        serving(store, token="of-this-config-file") as node,
    ):
        config = tmp_path / "litefs.yml"
        address = node.advertise_url.removeprefix("http://")
        config.write_text(
            f"http: {{addr: '{address}', token: of-this-config-file}}\nlease: {{type: static}}\n"
        )
        assert run(["status", "-config", str(config)]) == 0
        assert "primary" in capsys.readouterr().out
        assert run(["status", "-url", node.advertise_url]) == 1
        assert f"set {VARIABLE}" in capsys.readouterr().err


def test_status_marks_what_is_behind() -> None:
    reports = [
        NodeReport("n1", "u", is_primary=True, databases={"a.db": DatabaseFacts(Pos(7, 1))}),
        NodeReport("n2", "u", lag_ms=2147483647, databases={"a.db": DatabaseFacts(Pos(5, 1))}),
        NodeReport("n3", "u", error="down"),
    ]
    shown = table(reports)
    assert [str(column.header) for column in shown.columns][-1] == "TXIDs behind"
    assert list(map(str, shown.columns[-1].cells)) == ["", "2", ""]
    assert list(map(str, shown.columns[2].cells)) == ["", "never synced", ""]
    assert list(map(str, shown.columns[1].cells)) == ["primary", "replica", "unreachable"]


def test_status_shows_what_the_primary_has_not_sent() -> None:
    """Of replicas that it does not ask, too; who is asked has its name."""
    waits = (ReplicaBehind("AA", "a.db", 1234, 56789, 3.25), ReplicaBehind("BB", "[b].db", 1, 10, 0.0))
    reports = [
        NodeReport("n1", "u", is_primary=True, databases={"a.db": DatabaseFacts(Pos(7, 1))}, behind=waits),
        NodeReport("n2", "u", lag_ms=3, node_id="AA"),
    ]
    console = Console(width=200)
    with console.capture() as printed:
        console.print(page(reports))
    lines = [line.strip() for line in printed.get().splitlines()]
    assert lines[-2:] == [
        "replica n2 lacks 1,234 transactions of a.db (56,789 bytes), the oldest is 3.2 s old",
        "replica BB lacks 1 transactions of [b].db (10 bytes), the oldest is 0.0 s old",
    ]


def test_status_shows_how_far_the_backup_is() -> None:
    console = Console(width=100, record=True)
    console.print(page([NodeReport("n1", "", is_primary=True, backup_told="backs up into file:///b: level")]))
    assert "n1 backs up into file:///b: level" in console.export_text()


def test_status_shows_the_lease_and_which_roles_a_node_has_had() -> None:
    """Where the lease changes hands; a static one is no news."""
    first = NodeReport(
        "n1", "", is_primary=True, lease_ttl=3.0, lease_left=1.25, role_changes=("09:00:00 primary",)
    )
    console = Console(width=100, record=True)
    console.print(page([first, NodeReport("n2", "", role_changes=("09:00:01 replica of n1",))]))
    text = console.export_text()
    assert "n1 has the lease of 3 s for another 1.2 s\nn1 was: 09:00:00 primary\n" in text
    assert "n2 was" not in text
    console.print(page([NodeReport("n1", "", lease_ttl=3.0)]))
    assert "nobody here has the lease" in console.export_text()


def test_status_shows_a_clock_that_differs() -> None:
    """As a skew beside the lag, and not as a lag."""
    ahead = NodeReport("n2", "u", lag_ms=120, clock_ahead_ms=3_600_000)
    behind = NodeReport("n3", "u", lag_ms=120, clock_ahead_ms=-61_000)
    same = NodeReport("n4", "u", lag_ms=120, clock_ahead_ms=-20)
    shown = ["120 ms (clock 3,600 s ahead)", "120 ms (clock 61 s behind)", "120 ms"]
    assert list(map(str, table([ahead, behind, same]).columns[2].cells)) == shown


def test_status_without_anything_to_ask_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert run(["status"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("pylitefs: no demo is running, and no config file: ")
    assert error.endswith("a node with --url, or a demo's folder with --dir\n")
    assert run(["status", "--dir", str(tmp_path)]) == 1
    assert "start one, or name nodes with --url" in capsys.readouterr().err


def test_a_database_that_is_set_aside_has_a_row() -> None:
    console = Console(width=200)
    with console.capture() as printed:
        console.print(table([NodeReport("n1", "http://n1", is_primary=True, set_aside={"bad.db": "why"})]))
    (row,) = [line for line in printed.get().splitlines() if "bad.db" in line]
    assert row.startswith("n1") and "set aside: not served" in row


def test_a_name_is_neither_markup_nor_steers_the_terminal() -> None:
    """Another program's node may have such a name; what is told about it is one line."""
    names = ["[red]a.db", "[/]", "\x1b[31mb.db", "gp.\u202eexe", "c\nd.db", "e\udcff.db"]
    facts = {name: DatabaseFacts(Pos(7, 1)) for name in names}
    console = Console(width=200, force_terminal=True, color_system=None)
    with console.capture() as printed:
        console.print(table([NodeReport("[bold]n1", "u", is_primary=True, databases=facts)]))
    text = printed.get()
    told = ["[bold]n1", "[red]a.db", "[/]", r"\u001b[31mb.db", r"gp.\u202eexe", r"c\u000ad.db", r"e\udcff.db"]
    assert [name for name in told if name not in text] == []
    assert "\u202e" not in text and "\x1b[31mb" not in text and len(text.splitlines()) == 1 + len(names)


def test_who_holds_halt_is_a_line() -> None:
    """By the node's name, where that is known."""
    console = Console(width=120)
    reports = [NodeReport("n1", "http://n1", is_primary=True, halted={"a.db": "CD", "b.db": ""}),
               NodeReport("n2", "http://n2", node_id="CD")]  # fmt: skip
    with console.capture() as capture:
        console.print(page(reports))
    assert "n2 has the HALT lock of a.db: n1 waits" in capture.get()
    assert "somebody has the HALT lock of b.db" in capture.get()
